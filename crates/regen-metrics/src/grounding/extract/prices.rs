//! "$12.99", "13 dollars", "under €20", "$10 to $15".

use super::super::claim::ClaimValue;
use super::super::lexicon::{
    ABOUT, AT_LEAST, AT_MOST, FUNCTION_WORDS, OTHER_MONEY_AFTER, OTHER_MONEY_BEFORE,
};
use super::sentence::Reading;

const SIGNS: &[&str] = &["$", "€", "£"];
const CODES: &[&str] = &["usd", "eur", "gbp", "us"];
const NAMES: &[&str] = &["dollars", "dollar", "bucks", "usd", "euros", "euro", "eur", "gbp"];

/// A sum of money: the tokens from `start` to `end`, and how far it may be rounded.
struct Sum {
    start: usize,
    end: usize,
    value: f64,
    rounding: f64,
}

/// Half of a whole unit, or of the last decimal.
fn rounding(decimals: u8) -> f64 {
    0.5 * 10f64.powi(-i32::from(decimals)) + 1e-9
}

/// The sum whose number stands at `at`.
fn sum(reading: &Reading<'_>, at: usize) -> Option<Sum> {
    let (value, decimals) = reading.get(at)?.number()?;
    if reading.is_before(at, 1, SIGNS) {
        let coded = reading.is_before(at, 2, CODES);
        let start = at - 1 - usize::from(coded);
        return Some(Sum { start, end: at + 1, value, rounding: rounding(decimals) });
    }
    // "12 US dollars"
    let foreign = usize::from(reading.is_at(at + 1, &["us", "canadian", "australian"]));
    if reading.is_at(at + 1 + foreign, NAMES) {
        let name = at + 1 + foreign;
        // "12 dollars and 99 cents", "12 dollars 99"
        let and = usize::from(reading.is_at(name + 1, &["and"]));
        let says_cents = reading.is_at(name + 2 + and, &["cents", "cent"]);
        let cents = reading
            .get(name + 1 + and)
            .and_then(|token| token.number())
            .filter(|(cents, places)| *places == 0 && *cents < 100.0 && decimals == 0)
            .filter(|_| says_cents || (and == 0 && is_clause_end(reading, name + 2)));
        if let Some((cents, _)) = cents {
            let end = name + 2 + and + usize::from(says_cents);
            return Some(Sum { start: at, end, value: value + cents / 100.0, rounding: rounding(2) });
        }
        return Some(Sum { start: at, end: name + 1, value, rounding: rounding(decimals) });
    }
    if reading.is_at(at + 1, &["cents"]) {
        return Some(Sum { start: at, end: at + 2, value: value / 100.0, rounding: rounding(2) });
    }
    if reading.is_before(at, 1, &["usd", "eur", "gbp"]) {
        return Some(Sum { start: at - 1, end: at + 1, value, rounding: rounding(decimals) });
    }
    None
}

/// Whether nothing follows that a number could count.
fn is_clause_end(reading: &Reading<'_>, at: usize) -> bool {
    reading.get(at).is_none_or(|token| {
        token.ends_clause() || token.is_one_of(FUNCTION_WORDS) || token.is_one_of(&["buys"])
    })
}

/// How many words before `at` say one of the limits.
fn limit(reading: &Reading<'_>, at: usize, limits: &[&str]) -> Option<usize> {
    let one = reading.before(at, 1)?;
    if let Some(two) = reading.before(at, 2)
        && limits.contains(&format!("{} {}", two.lower, one.lower).as_str())
    {
        return Some(2);
    }
    one.is_one_of(limits).then_some(1)
}

pub(super) fn find(reading: &mut Reading<'_>) {
    let mut at = 0;
    while at < reading.tokens.len() {
        let Some(first) = sum(reading, at) else {
            at += 1;
            continue;
        };
        at = first.end;
        let to = first.end + usize::from(reading.is_at(first.end, &["-", "–", "to", "and"]));
        let second = (to > first.end)
            .then(|| (to..to + 3).find_map(|at| sum(reading, at)))
            .flatten()
            .filter(|second| second.start == to);
        let (mut start, end) = (first.start, second.as_ref().map_or(first.end, |second| second.end));
        let (low, high) = if let Some(second) = second {
            at = second.end;
            (first.value - first.rounding, second.value + second.rounding)
        } else if reading.is_before(start, 2, &["more"]) && reading.is_before(start, 3, &["no", "not"]) {
            start -= 3;
            (0.0, first.value + first.rounding)
        } else if let Some(words) = limit(reading, start, AT_MOST) {
            start -= words;
            (0.0, first.value + first.rounding)
        } else if let Some(words) = limit(reading, start, AT_LEAST) {
            start -= words;
            (first.value - first.rounding, f64::INFINITY)
        } else if let Some(words) = limit(reading, start, ABOUT) {
            start -= words;
            // "About" is taken as a tenth either way.
            let reach = first.rounding.max(0.1 * first.value);
            (first.value - reach, first.value + reach)
        } else {
            (first.value - first.rounding, first.value + first.rounding)
        };
        let other = reading
            .clause_before(start, 3)
            .any(|token| token.is_one_of(OTHER_MONEY_BEFORE) && !reading.is_of_item(token))
            || reading.is_at(end, OTHER_MONEY_AFTER);
        if !other {
            reading.claim(start..end, ClaimValue::Price { low, high });
        }
    }
}
