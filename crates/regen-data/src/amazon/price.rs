//! Prices as the releases write them.

use serde::{Deserialize, Serialize};

/// What a price field holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Price {
    /// Nothing: absent, null, empty, white space, or a dash.
    Missing,
    /// One amount, greater than zero: `12.99`, `"$1,299.00"`, `"from 12.99"`.
    One(f64),
    /// From the cheapest to the dearest variant: `"$4.99 - $15.99"`.
    Range {
        /// The lower end.
        low: f64,
        /// The upper end.
        high: f64,
    },
    /// Something else, shortened: page style that a scraper caught, zero, several numbers.
    Unreadable(String),
}

impl Price {
    /// Reads a price field.
    ///
    /// ```
    /// use regen_data::amazon::Price;
    /// assert_eq!(Price::parse("$1,299.00"), Price::One(1299.0));
    /// assert_eq!(Price::parse("$4.99 - $15.99"), Price::Range { low: 4.99, high: 15.99 });
    /// assert_eq!(Price::parse(" \n "), Price::Missing);
    /// assert!(matches!(Price::parse(".a-box-inner{background-color:#fff}"), Price::Unreadable(_)));
    /// ```
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        if matches!(text, "" | "-" | "\u{2013}" | "\u{2014}" | "None" | "nan" | "NaN" | "null" | "N/A") {
            return Self::Missing;
        }
        let unreadable = || {
            Self::Unreadable(text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(60).collect())
        };
        let body = text.strip_prefix("from ").or_else(|| text.strip_prefix("From ")).unwrap_or(text);
        let ends: Vec<&str> =
            body.split([' ', '\u{2013}']).filter(|part| !part.is_empty() && *part != "-").collect();
        let ends = match ends[..] {
            // "$4.99-$15.99", without spaces.
            [one] => one.splitn(2, '-').collect(),
            _ => ends,
        };
        match ends.iter().map(|end| amount(end)).collect::<Option<Vec<f64>>>().as_deref() {
            Some(&[price]) => Self::One(price),
            Some(&[low, high]) if low < high => Self::Range { low, high },
            Some(&[low, high]) if low == high => Self::One(low),
            _ => unreadable(),
        }
    }

    /// The amount to keep: of a range the lower end, at which the item is offered ("from"); the middle is a price
    /// that nobody pays.
    pub fn amount(&self) -> Option<f64> {
        match *self {
            Self::One(price) => Some(price),
            Self::Range { low, .. } => Some(low),
            Self::Missing | Self::Unreadable(_) => None,
        }
    }
}

/// `$1,299.00` → 1299. Only digits, with commas between thousands and a point: `1e9`, `inf` and `+5` are no prices.
fn amount(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(['$', '£', '€']);
    if text.len() - digits.len() > 3 || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if !digits.chars().all(|c| c.is_ascii_digit() || c == ',' || c == '.') {
        return None;
    }
    digits.replace(',', "").parse().ok().filter(|price: &f64| *price > 0.0 && price.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_as_documented() {
        let check = |text: &str, expected: Price| assert_eq!(Price::parse(text), expected, "{text:?}");
        check("12", Price::One(12.0));
        check("$.99", Price::One(0.99));
        check("from 12.99", Price::One(12.99));
        check("$5.00 - $5.00", Price::One(5.0));
        check("$4.99-$15.99", Price::Range { low: 4.99, high: 15.99 });
        check("$4.99 – $15.99", Price::Range { low: 4.99, high: 15.99 });
        check("—", Price::Missing);
        for bad in
            ["$0.00", "-5", "1e9", "inf", "$1.2.3", "$9 - $3", "1 2 3", "€", "{", "$12.99 (used)", "5-"]
        {
            assert!(matches!(Price::parse(bad), Price::Unreadable(_)), "{bad:?}: {:?}", Price::parse(bad));
        }
    }

    #[test]
    fn what_cannot_be_read_is_kept_short() {
        let Price::Unreadable(sample) = Price::parse(&"x\n\t ".repeat(500)) else { panic!() };
        assert!(sample.chars().count() <= 60 && !sample.contains('\n'));
    }
}
