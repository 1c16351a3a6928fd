//! "8 inches", "0.7mm", "8.5 x 11 in.", "12 fl oz".

use super::super::claim::ClaimValue;
use super::super::lexicon::DISTANCES;
use super::super::units::{Quantity, Unit};
use super::sentence::Reading;

/// A unit at `at`: itself and the tokens it takes.
pub(super) fn unit(reading: &Reading<'_>, at: usize) -> Option<(Unit, usize)> {
    // "8-inch"
    let dash = usize::from(reading.is_at(at, &["-"]));
    let at = at + dash;
    let token = reading.get(at)?;
    let close = dash == 1 || !token.spaced;
    if token.is_one_of(&["fl", "fluid"]) {
        let dot = usize::from(reading.is_at(at + 1, &["."]));
        return reading
            .is_at(at + 1 + dot, &["oz", "ounce", "ounces"])
            .then(|| Unit::named("fl oz"))
            .flatten()
            .map(|unit| (unit, dash + dot + 2));
    }
    let accepted = match token.lower.as_str() {
        // A preposition unless it touches the number or something follows that only follows a length.
        "in" => close || (is_after_length(reading, at + 1) && !reading.is_at(at + 1, &["the"])),
        // Quotation marks unless they touch the number, or what follows does not touch them.
        "\"" => !token.spaced || reading.get(at + 1).is_none_or(|next| next.spaced || next.is_mark()),
        "″" | "”" => !token.spaced,
        // Single letters mean too much to stand alone.
        "m" | "l" | "g" => close,
        _ => true,
    };
    if !accepted {
        return None;
    }
    // The dot of "in." belongs to it where the sentence goes on.
    let dotted = reading.is_at(at + 1, &["."])
        && reading.get(at + 2).is_some_and(|next| !next.opens || !next.is_capitalised());
    Unit::named(&token.lower).map(|unit| (unit, dash + 1 + usize::from(dotted)))
}

fn is_after_length(reading: &Reading<'_>, at: usize) -> bool {
    const AFTER: &[&str] =
        &["long", "wide", "tall", "high", "deep", "thick", "of", "by", "x", "×", "across", "size"];
    reading.get(at).is_none_or(|token| token.is_mark() || token.is_one_of(AFTER)) || reading.is_item_word(at)
}

pub(super) fn find(reading: &mut Reading<'_>) {
    for at in 0..reading.tokens.len() {
        let Some((value, decimals)) = reading.tokens[at].number() else { continue };
        // The numbers of "8.5 x 11 inches" share the last one's unit.
        let mut last = at;
        while reading.is_at(last + 1, &["x", "×", "by"])
            && reading.get(last + 2).is_some_and(|token| token.number().is_some())
        {
            last += 2;
        }
        let Some((unit, taken)) = unit(reading, last + 1) else { continue };
        let end = if last == at { last + 1 + taken } else { at + 1 };
        let after = last + 1 + taken;
        // "8 in of reach" is a size, "within 2 feet of your desk" a distance.
        let within = reading.is_before(at, 1, &["within"]) && reading.is_at(after, &["of"]);
        let is_distance = within || reading.is_at(after, DISTANCES);
        if !is_distance && !reading.is_denied(at) {
            reading.claim(at..end, ClaimValue::Size(Quantity::written(value, decimals, unit)));
        }
    }
}
