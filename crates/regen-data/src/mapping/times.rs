//! Points in time as own catalogues write them: numbers of some unit, or ISO 8601.

use serde::{Deserialize, Serialize};

/// The unit of a number that counts from 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Told by its size: below 10¹¹ seconds (as seconds the year 5138), below 10¹⁴ milliseconds, below 10¹⁷
    /// microseconds, else nanoseconds. Right for every purchase since 1973.
    #[default]
    Auto,
    /// Days.
    Days,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl TimeUnit {
    /// Seconds since 1970-01-01 UTC of `number`; `None` beyond what 64 bits hold.
    pub(super) fn seconds(self, number: i64) -> Option<i64> {
        match self {
            Self::Auto => {
                let unit = match number.unsigned_abs() {
                    0..100_000_000_000 => Self::Seconds,
                    100_000_000_000..100_000_000_000_000 => Self::Milliseconds,
                    100_000_000_000_000..100_000_000_000_000_000 => Self::Microseconds,
                    _ => Self::Nanoseconds,
                };
                unit.seconds(number)
            }
            Self::Days => number.checked_mul(86_400),
            Self::Seconds => Some(number),
            Self::Milliseconds => Some(number.div_euclid(1_000)),
            Self::Microseconds => Some(number.div_euclid(1_000_000)),
            Self::Nanoseconds => Some(number.div_euclid(1_000_000_000)),
        }
    }
}

/// How dates are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateOrder {
    /// As ISO 8601: `2021-03-04`, `2021-03-04T10:11:12Z`.
    #[default]
    YearFirst,
    /// `4.3.2021`, `04-03-2021`, `04/03/2021 10:11:12`.
    DayFirst,
    /// `3/4/2021`, `03-04-2021 10:11`.
    MonthFirst,
}

impl DateOrder {
    /// Seconds since 1970-01-01 UTC of a date, with or without a time of day behind a blank or `T`.
    pub(super) fn seconds(self, text: &str) -> Option<i64> {
        if self == Self::YearFirst {
            return iso(text);
        }
        let (date, rest) = text.split_at(text.find([' ', 'T']).unwrap_or(text.len()));
        let separator = ['-', '/', '.'].into_iter().find(|&separator| date.contains(separator))?;
        let mut parts = date.split(separator);
        let mut part = |digits: std::ops::RangeInclusive<usize>| -> Option<u32> {
            let part = parts.next()?;
            let plain = digits.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| part.parse().ok())?
        };
        let (first, second, year) = (part(1..=2)?, part(1..=2)?, part(4..=4)?);
        let (day, month) = if self == Self::DayFirst { (first, second) } else { (second, first) };
        if parts.next().is_some() {
            return None;
        }
        iso(&format!("{year:04}-{month:02}-{day:02}{rest}"))
    }

    /// What is read, in words.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::YearFirst => {
                "a number, or a time such as 2021-03-04T10:11:12Z (date_order says how dates are written)"
            }
            Self::DayFirst => "a number, or a date such as 31.12.2021 or 31-12-2021 10:11",
            Self::MonthFirst => "a number, or a date such as 12/31/2021 or 12-31-2021 10:11",
        }
    }
}

/// Seconds since 1970-01-01 UTC of `2021-03-04`, `2021-03-04T10:11`, `2021-03-04 10:11:12.5Z`, `…+02:00`. Without an
/// offset the time counts as UTC; fractions of seconds are dropped.
pub(super) fn iso(text: &str) -> Option<i64> {
    let digits = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let dashes = text.get(4..5)? == "-" && text.get(7..8)? == "-";
    if !dashes || !(1..=12).contains(&month) || day < 1 || day > days_of(year, month) {
        return None;
    }
    let midnight = days_from_civil(year, month, day) * 86_400;
    let Some(rest) = text.get(10..).filter(|rest| !rest.is_empty()) else { return Some(midnight) };
    if !rest.starts_with(['T', 't', ' ']) || text.get(13..14)? != ":" {
        return None;
    }
    let (hour, minute) = (digits(11..13)?, digits(14..16)?);
    let mut end = 16;
    let mut second = 0;
    if text.get(16..17) == Some(":") {
        second = digits(17..19)?;
        end = 19;
        if text.get(19..20) == Some(".") {
            end = 20 + text.get(20..)?.bytes().take_while(u8::is_ascii_digit).count();
        }
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let zone = text.get(end..)?.trim();
    let offset = match zone {
        "" | "Z" | "z" | "UTC" => 0,
        _ => {
            let sign = match zone.as_bytes()[0] {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let plain: String = zone[1..].chars().filter(|&c| c != ':').collect();
            if !matches!(plain.len(), 2 | 4) || !plain.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let hours: i64 = plain[..2].parse().ok()?;
            let minutes: i64 = plain[2..].parse().unwrap_or(0);
            sign * (hours * 3_600 + minutes * 60)
        }
    };
    Some(midnight + hour * 3_600 + minute * 60 + second - offset)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01.
///
/// **Source** Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_inverse_of_the_days_that_cards_print() {
        for seconds in (-3_000_000_000i64..4_000_000_000).step_by(86_400 * 97) {
            let midnight = seconds.div_euclid(86_400) * 86_400;
            assert_eq!(iso(&crate::time::day(seconds)), Some(midnight));
        }
    }

    #[test]
    fn times_are_read_with_fractions_and_offsets() {
        for text in [
            "2018-06-17T00:00:01Z",
            "2018-06-17 00:00:01",
            "2018-06-17T02:00:01.987+02:00",
            "2018-06-16T19:00:01-0500",
        ] {
            assert_eq!(iso(text), Some(1_529_193_601), "{text}");
        }
        assert_eq!(iso("2018-06-17T00:02"), Some(1_529_193_720));
        for text in [
            "",
            "2018",
            "2018-13-01",
            "2018-02-29",
            "2018-06-17x",
            "2018-06-17T25:00:00",
            "17.06.2018",
            "2018-06-17T00:00:01é",
            "２018-06-17",
        ] {
            assert_eq!(iso(text), None, "{text}");
        }
    }

    #[test]
    fn units_are_told_by_size_or_by_name() {
        for number in [1_529_193_600, 1_529_193_600_123, 1_529_193_600_123_456, 1_529_193_600_123_456_789] {
            assert_eq!(TimeUnit::Auto.seconds(number), Some(1_529_193_600), "{number}");
        }
        assert_eq!(TimeUnit::Days.seconds(2), Some(172_800));
        assert_eq!(TimeUnit::Milliseconds.seconds(2_500), Some(2));
        assert_eq!(TimeUnit::Days.seconds(i64::MAX), None);
    }

    #[test]
    fn dates_are_read_in_the_order_that_is_said() {
        let day = |order: DateOrder, text: &str| order.seconds(text);
        let expected = iso("2014-07-22");
        for text in ["22-07-2014", "22.7.2014", "22/07/2014 00:00"] {
            assert_eq!(day(DateOrder::DayFirst, text), expected, "{text}");
            assert_eq!(day(DateOrder::MonthFirst, text), None, "{text}");
        }
        assert_eq!(day(DateOrder::MonthFirst, "7/22/2014"), expected);
        assert_eq!(day(DateOrder::DayFirst, "22-07-2014T10:11:12Z"), iso("2014-07-22T10:11:12Z"));
        for text in ["", "22", "22-07", "22-07-14", "22-07-2014-1", "+2-07-2014", "31.02.2014", "22-07-2014x"]
        {
            assert_eq!(day(DateOrder::DayFirst, text), None, "{text:?}");
        }
    }
}
