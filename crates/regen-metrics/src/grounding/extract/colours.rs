//! Colours where they are the item's: before its noun or a part of it, or standing for themselves.

use std::ops::Range;

use super::super::claim::{ClaimValue, Subject};
use super::super::lexicon::{COLOUR_IDIOMS, Colour, FUNCTION_WORDS, PARTS, colour};
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

/// What the colour in `range` is the colour of.
fn subject(reading: &Reading<'_>, range: &Range<usize>, found: &Colour) -> Subject {
    let (start, end) = (range.start, range.end);
    // Adjectives and numbers may stand between the colour and its noun.
    let before_item = (end..end + 3)
        .take_while(|&at| {
            reading.get(at).is_some_and(|token| !token.is_mark() && !token.is_one_of(FUNCTION_WORDS))
        })
        .any(|at| reading.is_item_word(at) || reading.is_at(at, PARTS));
    let alone = reading
        .get(end)
        .is_none_or(|token| token.is_mark() && !token.is("-") || token.is_one_of(FUNCTION_WORDS));
    let in_place =
        reading.is_before(start, 1, &["in", "is", "deep", "light", "dark", "bright", "calm", "pale", "and"])
            || reading.is_before(
                start,
                1,
                &["a", "classic", "elegant", "soft", "rich", "vibrant", "matte", "or"],
            );
    if before_item || (alone && (in_place || !found.ambiguous)) {
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
