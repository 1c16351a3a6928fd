//! Colours where they are the item's: before its noun or a part of it, or standing for themselves.

use std::ops::Range;

use super::super::claim::{ClaimValue, Subject};
use super::super::lexicon::{
    ARTICLES, CHOSEN, COLOUR_IDIOMS, COLOUR_PLACES, Colour, FUNCTION_WORDS, PARTS, colour,
};
use super::names::known_brand;
use super::sentence::Reading;

/// Whether the word at `at` belongs to a phrase such as "red tape".
fn is_idiom(reading: &Reading<'_>, at: usize) -> bool {
    COLOUR_IDIOMS.iter().any(|idiom| {
        (0..idiom.len()).any(|offset| {
            offset <= at
                && reading.get(at).is_some_and(|token| token.is(idiom[offset]))
                && reading.reads(at - offset, idiom)
        })
    })
}

/// The end of the words after a colour that may be its noun: no marks, no function words.
fn noun_phrase_end(reading: &Reading<'_>, end: usize) -> usize {
    const LONGEST: usize = 5;
    let inside =
        |at: usize| reading.get(at).is_some_and(|token| !token.is_mark() && !token.is_one_of(FUNCTION_WORDS));
    (end..end + LONGEST).find(|&at| !inside(at)).unwrap_or(end + LONGEST)
}

/// Whether the words after the colour are offered or chosen as the item, whatever they call it: they have or are
/// followed by a maker ("the olive pencil by Juniper"), or stand after a word such as "picked" or "try".
fn is_offered(reading: &Reading<'_>, range: &Range<usize>, noun_end: usize) -> bool {
    if noun_end == range.end {
        return false;
    }
    let maker = reading.is_at(noun_end, &["by", "from"])
        && reading.get(noun_end + 1).is_some_and(|token| token.is_capitalised());
    let named = (range.end..noun_end).any(|at| known_brand(reading, at).is_some());
    let chosen = reading.is_before(range.start, 1, ARTICLES) && reading.is_before(range.start, 2, CHOSEN);
    maker || named || chosen
}

/// What the colour in `range` is the colour of.
fn subject(reading: &Reading<'_>, range: &Range<usize>, found: &Colour) -> Subject {
    let (start, end) = (range.start, range.end);
    let noun_end = noun_phrase_end(reading, end);
    if is_offered(reading, range, noun_end) {
        return if reading.is_before(start, 1, &["your", "their"]) { Subject::User } else { Subject::Item };
    }
    // Adjectives and numbers may stand between the colour and its noun.
    let before_item =
        (end..noun_end.min(end + 3)).any(|at| reading.is_item_word(at) || reading.is_at(at, PARTS));
    let alone = noun_end == end && !reading.is_at(end, &["-"]);
    // "In a lovely coral"
    let in_a = reading.is_before(start, 2, &["a", "an"]) && reading.is_before(start, 3, &["in"]);
    let in_place = reading.is_before(start, 1, COLOUR_PLACES) || in_a;
    // "This olive beauty": what it is called matters less than that it is this one.
    let this = reading.is_before(start, 1, &["this"]) && noun_end > end;
    if before_item || this || (alone && (in_place || !found.ambiguous)) {
        reading.subject(start)
    } else {
        Subject::Unclear
    }
}

pub(super) fn find(reading: &mut Reading<'_>) {
    let mut at = 0;
    while at < reading.tokens.len() {
        let Some(found) = colour(&reading.tokens[at].lower) else {
            at += 1;
            continue;
        };
        // "Navy blue" is one colour.
        let mut end = at + 1;
        while reading
            .get(end)
            .and_then(|token| colour(&token.lower))
            .is_some_and(|next| next.family == found.family)
        {
            end += 1;
        }
        let range = at..end;
        let subject = subject(reading, &range, found);
        // An ambiguous word in an unclear place is no colour at all.
        let is_colour = !(found.ambiguous && subject == Subject::Unclear);
        if is_colour && !is_idiom(reading, at) && !reading.is_denied(at) {
            reading.claim(range, ClaimValue::Colour { name: found.name, subject });
        }
        at = end;
    }
}
