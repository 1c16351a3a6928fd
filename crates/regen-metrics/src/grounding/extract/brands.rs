//! Brands: names that are known, and unknown ones where the grammar says that somebody made the item.

use std::ops::Range;

use super::super::claim::{ClaimValue, Subject};
use super::super::lexicon::{MAKING, OTHER_NAMES, PARTS};
use super::names::{known_brand, run_end};
use super::sentence::Reading;

/// Whether the name stands as something that the item works with, not as its maker.
fn is_compatibility(reading: &Reading<'_>, at: usize) -> bool {
    reading.is_before(at, 1, &["for", "fits"])
        || (reading.is_before(at, 1, &["with"]) && reading.is_before(at, 2, &["compatible", "works", "work"]))
}

fn is_item_noun(reading: &Reading<'_>, at: usize) -> bool {
    reading.is_item_word(at) || reading.is_at(at, PARTS)
}

/// An unknown name and what the words around it say: made by, from, "X makes", "X's pen", "a X product".
fn unknown(reading: &Reading<'_>, at: usize) -> Option<(Range<usize>, Subject)> {
    let token = reading.get(at)?;
    if !token.is_capitalised() || token.opens || token.is_one_of(OTHER_NAMES) || reading.is_item_word(at) {
        return None;
    }
    let range = at..run_end(reading, at);
    let maker = |back| {
        reading.is_before(at, back, MAKING)
            || at.checked_sub(back).is_some_and(|at| is_item_noun(reading, at))
    };
    let by = reading.is_before(at, 1, &["by"]) && maker(2);
    let from = reading.is_before(at, 1, &["from"])
        && (maker(2) || reading.is_before(at, 2, &["comes", "come", "coming"]));
    let named = reading.is_before(at, 1, &["brand"])
        || (reading.is_before(at, 1, &["is"]) && reading.is_before(at, 2, &["brand"]))
        || reading.is_at(range.end, &["brand", "brand's"]);
    let makes = reading.is_at(range.end, MAKING);
    let possessive = reading.is_at(range.end, &["'s"]) && is_item_noun(reading, range.end + 1);
    let article = reading.is_before(at, 1, &["a", "an", "the", "this"]);
    if by || from || named || makes || possessive || (article && reading.is_at(range.end, &["product"])) {
        return Some((range, Subject::Item));
    }
    // "A Bluetooth speaker": a name before the noun need not be a brand.
    (article && range.len() == 1 && reading.is_item_word(range.end)).then_some((range, Subject::Unclear))
}

pub(super) fn find(reading: &mut Reading<'_>) {
    let mut at = 0;
    while at < reading.tokens.len() {
        let found = match known_brand(reading, at) {
            Some(range) => Some((range, reading.subject(at))),
            None => unknown(reading, at),
        };
        let Some((range, subject)) = found else {
            at += 1;
            continue;
        };
        let next = range.end;
        if !reading.is_denied(at) && !is_compatibility(reading, at) {
            let name = reading.text[reading.span(&range)].to_owned();
            reading.claim(range, ClaimValue::Brand { name, subject });
        }
        at = next;
    }
}
