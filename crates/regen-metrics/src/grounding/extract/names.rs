//! Product names: in quotation marks, or several capitals in a row after a word such as "the" or "try".

use std::ops::Range;

use super::super::claim::{ClaimValue, Subject};
use super::super::lexicon::{ARTICLES, COUNTED, NAME_CUES, OFFERS, OTHER_NAMES, PLACES, RECOMMENDATIONS};
use super::super::tokens::tokenize;
use super::super::units::Unit;
use super::sentence::Reading;

/// The Porter stem of a lower-case word; words of other scripts stay as they are.
pub(in super::super) fn stem_of(lower: &str) -> String {
    if !lower.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return lower.to_owned();
    }
    let mut bytes = lower.as_bytes().to_vec();
    crate::porter::stem(&mut bytes);
    bytes.into_iter().map(char::from).collect()
}

/// The stems of the words and numbers of a title.
pub(in super::super) fn stems(title: &str) -> Vec<String> {
    tokenize(title)
        .iter()
        .filter(|token| !token.is_mark() && !token.is("'s"))
        .map(|token| stem_of(&token.lower))
        .collect()
}

/// The end of the run of capitalised words from `at`, with numbers and "&" inside.
pub(super) fn run_end(reading: &Reading<'_>, at: usize) -> usize {
    let mut end = at;
    while let Some(token) = reading.get(end) {
        let next_capital = reading.get(end + 1).is_some_and(|next| next.is_capitalised());
        let number = token.number().is_some()
            && !reading.is_at(end + 1, COUNTED)
            && !reading.is_at(end + 1, &["-"])
            && reading.get(end + 1).is_none_or(|next| Unit::named(&next.lower).is_none());
        let joins = token.is_capitalised()
            || (end > at && number)
            || (end > at && token.is_one_of(&["&", "-"]) && next_capital)
            || is_dot_of_number(reading, at, end);
        if !joins {
            break;
        }
        end += 1;
    }
    end
}

/// Whether the token is the dot of "No. 9" inside a name.
fn is_dot_of_number(reading: &Reading<'_>, start: usize, at: usize) -> bool {
    at > start
        && reading.is_at(at, &["."])
        && reading.is_before(at, 1, &["no", "nr", "vol"])
        && reading.get(at + 1).is_some_and(|next| next.number().is_some())
}

/// The known brand that begins at `at`, as a range of tokens.
pub(super) fn known_brand(reading: &Reading<'_>, at: usize) -> Option<Range<usize>> {
    let token = reading.get(at)?;
    let found = reading.words.brands.iter().find(|brand| {
        brand.iter().enumerate().all(|(offset, word)| reading.get(at + offset).is_some_and(|t| t.is(word)))
    })?;
    // "Tern" is a brand, "tern" a bird.
    (!token.text.starts_with(char::is_lowercase)).then(|| at..at + found.len())
}

/// The tokens between quotation marks whose opening one is at `at`.
fn quoted(reading: &Reading<'_>, at: usize) -> Option<Range<usize>> {
    let opening = reading.get(at).filter(|token| token.is_one_of(&["\"", "“", "«"]))?;
    // An inch mark touches its number.
    if opening.is("\"")
        && reading.before(at, 1).is_some_and(|token| token.number().is_some())
        && !opening.spaced
    {
        return None;
    }
    let length =
        reading.tokens[at + 1..].iter().take(16).position(|token| token.is_one_of(&["\"", "”", "»"]))?;
    (length > 0).then_some(at + 1..at + 1 + length)
}

/// Whether the name stands for the item: after "try", "recommend" and the like, or as the subject of a sentence ("The X
/// is …"), or because a known brand makes it a product for certain.
fn subject(reading: &Reading<'_>, range: &Range<usize>) -> Subject {
    const STATING: &[&str] =
        &["is", "was", "makes", "has", "offers", "brings", "might", "may", "could", "will", "can"];
    const QUOTES: &[&str] = &["\"", "“", "”", "«", "»"];
    let back = |start: usize, words: &[&str]| start - usize::from(reading.is_before(start, 1, words));
    let quoted = back(range.start, QUOTES);
    let start = back(quoted, ARTICLES);
    let offered = reading.is_before(start, 1, OFFERS)
        || (reading.is_before(start, 1, &["to"]) && reading.is_before(start, 2, &["hello", "yourself"]))
        || (reading.is_before(start, 1, &["at"]) && reading.is_before(start, 2, &["look"]))
        || (reading.is_before(start, 1, &["out"]) && reading.is_before(start, 2, &["check"]))
        || (reading.is_before(start, 1, &["seen", "tried"]) && reading.is_before(start, 2, &["you"]))
        || (reading.is_before(start, 1, &["you"]) && reading.is_before(start, 2, &["offer", "show"]))
        || is_recommended(reading, start)
        || reading.is_before(start, 1, &["this", "your", "new"]);
    let end = range.end + usize::from(reading.is_at(range.end, QUOTES));
    let opens = reading.get(start).is_some_and(|token| token.opens);
    let stated = opens && reading.is_at(end, STATING);
    let branded = range.clone().any(|at| known_brand(reading, at).is_some());
    let place = reading.is_at(range.end - 1, PLACES);
    if branded || ((offered || stated) && !place) { Subject::Item } else { Subject::Unclear }
}

/// "Our suggestion: the X", "my choice would be the X".
fn is_recommended(reading: &Reading<'_>, start: usize) -> bool {
    let colon = reading.is_before(start, 1, &[":"]) && reading.is_before(start, 2, RECOMMENDATIONS);
    let is = reading.is_before(start, 1, &["is", "be"])
        && reading.clause_before(start, 6).any(|token| token.is_one_of(RECOMMENDATIONS));
    colon || is
}

pub(super) fn find(reading: &mut Reading<'_>) {
    let mut at = 0;
    while at < reading.tokens.len() {
        let range = if let Some(inside) = quoted(reading, at) {
            let is_name = inside.len() > 1 && reading.tokens[inside.start].is_capitalised();
            let capitals =
                reading.tokens[inside.clone()].iter().filter(|token| token.is_capitalised()).count();
            // A quoted sentence has one capital, a name several.
            (is_name && capitals > 1).then_some(inside)
        } else if reading.is_before(at, 1, NAME_CUES) && !reading.is_at(at, OTHER_NAMES) {
            let end = run_end(reading, at);
            let brand = (at..end).find_map(|at| known_brand(reading, at));
            let numbered = (at..end).any(|at| reading.tokens[at].number().is_some());
            // Two capitals alone may be a place or a person.
            let is_name = match &brand {
                Some(brand) => end - at > brand.len(),
                None => end >= at + 3 || (numbered && end >= at + 2),
            };
            is_name.then_some(at..end)
        } else {
            None
        };
        match range {
            Some(range) => {
                at = range.end;
                let name = reading.text[reading.span(&range)].to_owned();
                let subject = subject(reading, &range);
                if !reading.is_denied(range.start) {
                    reading.claim(range, ClaimValue::Product { name, subject });
                }
            }
            None => at += 1,
        }
    }
}
