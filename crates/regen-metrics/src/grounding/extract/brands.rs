//! Brands: names that are known, and unknown ones where the grammar says that somebody made the item.

use std::ops::Range;

use super::super::claim::{ClaimValue, Subject};
use super::super::lexicon::{
    ACHIEVED, ACTING, ADMIRERS, ARTICLES, FUNCTION_WORDS, KINDS_OF_THINGS, LABELS, MAKERS, MAKING, NAMING,
    NO_MAKERS, OTHER_NAMES, PARTS, PERSONS, VOUCHING,
};
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

/// Whether a name can begin at `at`. The first word of a sentence has its capital for another reason.
fn is_name(reading: &Reading<'_>, at: usize) -> bool {
    reading.get(at).is_some_and(|token| {
        token.is_capitalised()
            && !token.is_one_of(OTHER_NAMES)
            && !token.is_one_of(ARTICLES)
            && !token.is_one_of(FUNCTION_WORDS)
    }) && !reading.is_item_word(at)
        && !reading.is_before(at, 1, PERSONS)
        && !reading.is_before(at, 2, PERSONS)
}

/// An unknown name and what the words around it say.
fn unknown(reading: &Reading<'_>, at: usize) -> Option<(Range<usize>, Subject)> {
    if !is_name(reading, at) {
        return None;
    }
    let range = at..run_end(reading, at);
    if reading.get(at)?.opens {
        let is_maker = !reading.is_at(at, NO_MAKERS)
            && (reading.is_at(range.end, ACTING)
                || is_possessive(reading, &range)
                || is_called_maker(reading, range.end));
        return is_maker.then_some((range, Subject::Item));
    }
    if is_made_by(reading, &range) || is_named_as_brand(reading, &range) || is_acting(reading, &range) {
        return Some((range, Subject::Item));
    }
    if is_praised(reading, &range) {
        let subject = reading.subject(at);
        return Some((range, subject));
    }
    if range.len() <= 2 && stands_before_noun(reading, &range) {
        // "A Victorian lamp" and "a USB lamp" say what kind of lamp it is; who could make one, stands alone.
        let token = reading.get(at)?;
        let is_kind = token.is_one_of(KINDS_OF_THINGS)
            || ["ian", "ish", "ese"].iter().any(|ending| token.lower.ends_with(ending))
            || !token.text.contains(char::is_lowercase);
        let subject = if is_kind { Subject::Unclear } else { reading.subject(at) };
        return Some((range, subject));
    }
    None
}

/// "Made by X", "the pen from X", "comes from X", "the people at X".
fn is_made_by(reading: &Reading<'_>, range: &Range<usize>) -> bool {
    let at = range.start;
    let maker = |back: usize| {
        reading.is_before(at, back, MAKING)
            || at.checked_sub(back).is_some_and(|at| is_item_noun(reading, at))
    };
    let by = reading.is_before(at, 1, &["by"]) && maker(2);
    let from = reading.is_before(at, 1, &["from"])
        && (maker(2) || reading.is_before(at, 2, &["comes", "come", "coming"]));
    let of_makers = reading.is_before(at, 1, &["of", "at", "behind"]) && reading.is_before(at, 2, MAKERS);
    by || from || of_makers
}

/// "The brand is X", "the X label", "a X product", "X, the maker".
fn is_named_as_brand(reading: &Reading<'_>, range: &Range<usize>) -> bool {
    let at = range.start;
    let named = reading.is_before(at, 1, NAMING)
        || (reading.is_before(at, 1, &["is"])
            && reading.is_before(at, 2, &["brand", "maker", "manufacturer"]));
    let article = reading.is_before(at, 1, &["a", "an", "the", "this"]);
    named
        || reading.is_at(range.end, &["brand", "brand's"])
        || (article && (reading.is_at(range.end, LABELS) || reading.is_at(range.end, &["product"])))
        || is_called_maker(reading, range.end)
}

/// Whether ", the maker" follows.
fn is_called_maker(reading: &Reading<'_>, end: usize) -> bool {
    reading.is_at(end, &[","])
        && reading.is_at(end + 1, &["the", "its"])
        && reading.is_at(end + 2, &["maker", "manufacturer", "brand", "company"])
}

/// "X makes", "X knows how to", "X has done it again".
fn is_acting(reading: &Reading<'_>, range: &Range<usize>) -> bool {
    let end = range.end;
    let achieved =
        reading.is_at(end, &["has", "have"]) && (1..3).any(|next| reading.is_at(end + next, ACHIEVED));
    reading.is_at(end, MAKING) || reading.is_at(end, ACTING) || achieved || is_possessive(reading, range)
}

/// "X's pen".
fn is_possessive(reading: &Reading<'_>, range: &Range<usize>) -> bool {
    reading.is_at(range.end, &["'s", "’s"]) && is_item_noun(reading, range.end + 1)
}

/// "Trust X to", "leave it to X", "fans of X".
fn is_praised(reading: &Reading<'_>, range: &Range<usize>) -> bool {
    let at = range.start;
    let trusted = reading.is_before(at, 1, &["trust"])
        || (reading.is_before(at, 1, &["on"]) && reading.is_before(at, 2, &["count", "rely"]));
    let left = reading.is_before(at, 1, &["to"])
        && (reading.is_before(at, 2, &["leave"]) || reading.is_before(at, 3, &["leave"]));
    let admired = reading.is_before(at, 1, &["of"]) && reading.is_before(at, 2, ADMIRERS);
    (trusted && reading.is_at(range.end, &["to"])) || left || admired
}

/// "A X pen", "a genuine X pen", and "it is a X" with nothing after.
fn stands_before_noun(reading: &Reading<'_>, range: &Range<usize>) -> bool {
    let start = range.start - usize::from(reading.is_before(range.start, 1, VOUCHING));
    let article = reading.is_before(start, 1, &["a", "an", "the", "this"]);
    let predicate = reading.is_before(start, 1, &["a", "an"])
        && reading.is_before(start, 2, &["is", "it's"])
        && reading.get(range.end).is_none_or(|token| token.ends_clause() || token.is_one_of(FUNCTION_WORDS));
    (article && reading.is_item_word(range.end)) || predicate
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
