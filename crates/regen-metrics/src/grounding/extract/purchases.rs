//! "You bought X", "after buying X", "your purchase of X", "the X that you own".

use std::ops::Range;

use super::super::claim::ClaimValue;
use super::super::lexicon::{ABSTRACT, ADVERBS, AFTER_OBJECT, ARTICLES, BOUGHT, BUYERS, WEAK_BOUGHT};
use super::sentence::Reading;

/// The longest object, in tokens: a title.
const LONGEST: usize = 16;

/// The object that begins at `at`, without its article; `None` where no noun phrase begins.
fn object(reading: &Reading<'_>, at: usize, needs_article: bool) -> Option<Range<usize>> {
    let has_article = reading.is_at(at, ARTICLES);
    let start = at + usize::from(has_article);
    let first = reading.get(start)?;
    let opens = has_article
        || (!needs_article
            && (first.is_capitalised()
                || first.number().is_some()
                || (first.lower.ends_with('s') && first.lower.len() > 3)));
    if !opens || first.is_one_of(&["this", "these", "its", "yours", "others"]) {
        return None;
    }
    let mut end = start;
    while let Some(token) = reading.get(end).filter(|_| end - start < LONGEST) {
        let joins_names = token.is("and") && !reading.is_at(end + 1, ARTICLES) && {
            let capital = |at| reading.get(at).is_some_and(|token| token.is_capitalised());
            capital(end + 1) && end > start && capital(end - 1)
        };
        let is_inside = token.is_one_of(&["&", "-", "'s", "/", "+"]);
        let ends = (token.is_mark() && !is_inside)
            || (token.is("and") && !joins_names)
            || token.is_one_of(AFTER_OBJECT);
        // Small words of a title stay: "Made for You" is rare, "pens for you" is not.
        if ends {
            break;
        }
        end += 1;
    }
    // "You bought some time"
    let is_thing = end != start + 1 || !reading.is_at(start, ABSTRACT);
    (end > start && is_thing).then_some(start..end)
}

/// Whether somebody who buys stands before the verb, and where the subject begins.
fn buyer(reading: &Reading<'_>, verb: usize) -> Option<usize> {
    let mut back = 1;
    while back <= 3 && reading.is_before(verb, back, ADVERBS) {
        back += 1;
    }
    reading.is_before(verb, back, BUYERS).then(|| verb - back)
}

/// The noun phrase that a relative clause belongs to: "the stapler (that) you own".
fn before_relative(reading: &Reading<'_>, subject: usize) -> Option<Range<usize>> {
    let end = subject - usize::from(reading.is_before(subject, 1, &["that", "which"]));
    let start = (end.saturating_sub(LONGEST)..end).rev().take_while(|&at| {
        let token = &reading.tokens[at];
        !token.is_mark() || token.is_one_of(&["&", "-"])
    });
    let article = start.into_iter().find(|&at| reading.is_at(at, ARTICLES))?;
    // "The day after you bought" has a conjunction between.
    let range = article + 1..end;
    let clean = !range.is_empty()
        && !reading.tokens[range.clone()]
            .iter()
            .any(|token| token.is_one_of(AFTER_OBJECT) || token.is_one_of(&["because", "and"]));
    clean.then_some(range)
}

/// The object of the verb at `at`.
fn of_verb(reading: &Reading<'_>, at: usize) -> Option<Range<usize>> {
    let verb = reading.get(at).filter(|token| token.is_one_of(BOUGHT))?;
    let up = reading.is_at(at + 1, &["up"]);
    if verb.is("picked") && !up {
        return None;
    }
    let after = at + 1 + usize::from(up && verb.is("picked"));
    let gerund = verb.is_one_of(&["buying", "purchasing", "ordering"])
        && reading.is_before(at, 1, &["after", "since", "besides"]);
    let having = reading.is_before(at, 1, &["having"]);
    if gerund || having {
        return object(reading, after, false);
    }
    let subject = buyer(reading, at)?;
    let weak = verb.is_one_of(WEAK_BOUGHT);
    if let Some(range) = object(reading, after, weak) {
        let has = verb.is_one_of(&["have", "has"]);
        // "You have a stapler at home" owns, "you have a choice" does not.
        let at_home = reading.is_at(range.end, &["at"]) && reading.is_at(range.end + 1, &["home", "work"]);
        let already = (1..3).any(|back| reading.is_before(at, back, &["already"]));
        return (!has || at_home || already).then_some(range);
    }
    if verb.is_one_of(&["have", "has", "chose", "picked"]) {
        return None;
    }
    before_relative(reading, subject)
}

/// The object of "your (earlier) purchase of" and "your last order included".
fn of_noun(reading: &Reading<'_>, at: usize) -> Option<Range<usize>> {
    let is_noun = reading.is_at(at, &["purchase", "purchases", "order", "orders"])
        && reading.is_at(at + 1, &["of", "included", "contained"])
        // "The Order of the Phoenix"
        && reading.get(at).is_some_and(|token| token.opens || !token.is_capitalised());
    // "As the proud owner of"
    let owner = reading.is_at(at, &["owner", "owners"])
        && reading.is_at(at + 1, &["of"])
        && (1..4).any(|back| reading.is_before(at, back, &["as", "you're", "are", "being"]));
    if owner {
        return object(reading, at + 2, false);
    }
    let owned = (1..4).any(|back| reading.is_before(at, back, &["your", "their", "previous", "'s"]));
    if is_noun && owned { object(reading, at + 2, false) } else { None }
}

pub(super) fn find(reading: &mut Reading<'_>) {
    for at in 0..reading.tokens.len() {
        let mut next = of_verb(reading, at).or_else(|| of_noun(reading, at));
        while let Some(range) = next {
            // "a stapler and a punch": the second was bought as well.
            let more = range.end;
            let again = reading.is_at(more, &["and"]) && reading.is_at(more + 1, ARTICLES);
            if !reading.is_denied(range.start) {
                let object = reading.text[reading.span(&range)].to_owned();
                reading.claim(range, ClaimValue::Purchase { object });
            }
            next = if again { object_after(reading, more + 1) } else { None };
        }
    }
}

fn object_after(reading: &Reading<'_>, at: usize) -> Option<Range<usize>> {
    object(reading, at, true)
}
