//! "12-pack", "set of 6", "24 gel pens" where the item is gel pens.

use super::super::claim::ClaimValue;
use super::super::lexicon::{CONTAINERS, COUNTED, NO_COUNT_BEFORE};
use super::sentence::Reading;
use super::sizes::unit;

/// How many words may stand between a number and the plural that it counts ("12 fine black pens").
const REACH: usize = 6;

/// The tokens of the number at `at` ("two dozen", "a dozen" included) and its value, where it is a whole one.
fn whole(reading: &Reading<'_>, at: usize) -> Option<(usize, usize, u32)> {
    let (mut value, decimals) = reading.get(at)?.number()?;
    let mut end = at + 1;
    if reading.is_at(end, &["dozen", "hundred"])
        && let Some((times, _)) = reading.get(end).and_then(|token| token.number())
    {
        value *= times;
        end += 1;
    }
    let half = reading.is_at(at, &["dozen"])
        && reading.is_before(at, 1, &["a"])
        && reading.is_before(at, 2, &["half"]);
    if half {
        value /= 2.0;
    }
    let is_whole = decimals == 0 && value.fract() == 0.0 && (1.0..1e6).contains(&value);
    is_whole.then_some((at - if half { 2 } else { 0 }, end, value as u32))
}

/// Whether a plural of a word of the item's title follows closely, with nothing but adjectives and sizes between.
fn counts_items(reading: &Reading<'_>, end: usize) -> bool {
    let mut next = end;
    while next < end + REACH {
        let at = next;
        next += 1;
        let Some(token) = reading.get(at) else { return false };
        // "16 14-in leashes": the size between belongs to the leashes.
        if token.number().is_some()
            && let Some((_, taken)) = unit(reading, at + 1)
        {
            next += taken;
            continue;
        }
        if token.lower.ends_with('s') && token.lower.len() > 2 && reading.is_item_word(at) {
            return true;
        }
        let between = !token.is_mark() || token.is("-");
        if !between
            || token.is_one_of(&["of", "to", "and", "or", "the", "in", "for", "with", "other", "out", "%"])
        {
            return false;
        }
    }
    false
}

pub(super) fn find(reading: &mut Reading<'_>) {
    let mut at = 0;
    while at < reading.tokens.len() {
        let Some((start, end, pieces)) = whole(reading, at) else {
            at += 1;
            continue;
        };
        at = end;
        let dash = usize::from(reading.is_at(end, &["-"]));
        let counted = reading.is_at(end + dash, COUNTED);
        let contained = reading.is_before(start, 1, &["of"]) && reading.is_before(start, 2, CONTAINERS)
            || (reading.is_before(start, 1, &["a"])
                && reading.is_before(start, 2, &["of"])
                && reading.is_before(start, 3, CONTAINERS));
        let of_them = reading.is_at(end, &["of"]) && reading.is_at(end + 1, &["them", "these", "those"]);
        let excluded = reading.is_before(start, 1, NO_COUNT_BEFORE)
            || reading.is_before(start, 1, &["$", "€", "£", "#", "/"])
            || reading.is_at(end, &["%", "/", "out"]);
        // "3 x 12-pack" and "2 packs of 12" say more than one number can.
        if excluded
            || reading.is_denied(start)
            || !(counted || contained || of_them || counts_items(reading, end))
        {
            continue;
        }
        let end = if counted { end + dash + 1 } else { end };
        at = end;
        reading.claim(start..end, ClaimValue::Count { pieces });
    }
}
