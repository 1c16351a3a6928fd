//! What all extractors share: a cursor over the tokens, the item's own words, and who may speak first.

use std::collections::HashSet;
use std::ops::Range;

use super::super::claim::{Claim, ClaimValue, Subject};
use super::super::facts::Facts;
use super::super::lexicon::{BUYERS_OR_THEIRS, NEGATIONS, ORDERS, USER_CUES};
use super::super::tokens::{Token, tokenize};
use super::names::{stem_of, stems};
use super::{brands, colours, counts, names, prices, purchases, sizes};

/// What is known before reading: brands, and the words of the item and the history.
pub(in super::super) struct Words {
    /// Known brands, each as its tokens in lower case.
    pub(super) brands: Vec<Vec<String>>,
    /// Stems of the words of the item's title.
    pub(super) item: HashSet<String>,
}

impl Words {
    pub(in super::super) fn new(brands: &[Vec<String>], facts: &Facts) -> Self {
        let mut brands = brands.to_vec();
        brands.extend(facts.brand.as_ref().map(|brand| tokens_of(&brand.value)));
        brands.retain(|brand| !brand.is_empty());
        // The longest name wins where one begins with another.
        brands.sort_by_key(|brand| std::cmp::Reverse(brand.len()));
        Self { brands, item: stems(facts.title()).into_iter().collect() }
    }
}

impl Words {
    /// Whether the token belongs to a known brand, written in any case.
    pub(in super::super) fn is_brand_word(&self, tokens: &[Token<'_>], at: usize) -> bool {
        self.brands.iter().any(|brand| brand.len() == 1 && tokens[at].is(&brand[0]))
    }
}

/// Whether `needle` stands in `haystack` side by side; nothing stands nowhere.
pub(in super::super) fn contains_run(haystack: &[String], needle: &[String]) -> bool {
    !needle.is_empty() && haystack.windows(needle.len()).any(|window| window == needle)
}

/// The tokens of a name in lower case.
pub(in super::super) fn tokens_of(name: &str) -> Vec<String> {
    tokenize(name).into_iter().map(|token| token.lower).collect()
}

/// The text as all extractors see it.
pub(super) struct Reading<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: Vec<Token<'a>>,
    pub(super) words: &'a Words,
    /// Tokens that belong to a claim already.
    taken: Vec<bool>,
    claims: Vec<Claim>,
}

impl<'a> Reading<'a> {
    pub(super) fn get(&self, at: usize) -> Option<&Token<'a>> {
        self.tokens.get(at)
    }

    /// The token `back` places before `at`.
    pub(super) fn before(&self, at: usize, back: usize) -> Option<&Token<'a>> {
        at.checked_sub(back).and_then(|at| self.tokens.get(at))
    }

    /// Whether the token at `at` is one of `words`.
    pub(super) fn is_at(&self, at: usize, words: &[&str]) -> bool {
        self.get(at).is_some_and(|token| token.is_one_of(words))
    }

    pub(super) fn is_before(&self, at: usize, back: usize, words: &[&str]) -> bool {
        self.before(at, back).is_some_and(|token| token.is_one_of(words))
    }

    /// Whether the tokens from `at` are these words.
    pub(super) fn reads(&self, at: usize, words: &[&str]) -> bool {
        words
            .iter()
            .enumerate()
            .all(|(offset, word)| self.get(at + offset).is_some_and(|token| token.is(word)))
    }

    /// Whether the token is a word of the item's title, in any form.
    pub(super) fn is_item_word(&self, at: usize) -> bool {
        self.get(at).is_some_and(|token| self.is_of_item(token))
    }

    /// The same of a token.
    pub(super) fn is_of_item(&self, token: &Token<'_>) -> bool {
        !token.is_mark() && self.words.item.contains(&stem_of(&token.lower))
    }

    /// The tokens of the clause before `at`, nearest first, at most `most` of them.
    pub(super) fn clause_before(&self, at: usize, most: usize) -> impl Iterator<Item = &Token<'a>> {
        self.tokens[..at].iter().rev().take_while(|token| !token.ends_clause()).take(most)
    }

    /// Whether the clause denies what stands at `at`, or compares with it.
    pub(super) fn is_denied(&self, at: usize) -> bool {
        self.clause_before(at, 6).any(|token| token.is_one_of(NEGATIONS))
    }

    /// Whether words before `at` make the statement one about the user.
    pub(super) fn subject(&self, at: usize) -> Subject {
        // "Your last order included the Solano spatula" is about that spatula and not about the item.
        let says = |words: &[&str]| self.clause_before(at, 10).any(|token| token.is_one_of(words));
        if says(ORDERS) && says(BUYERS_OR_THEIRS) {
            return Subject::User;
        }
        for token in self.clause_before(at, 5) {
            // "your new red pen" and "you love this red pen" are about the item.
            if token.is_one_of(&["new", "this", "the", "its"]) {
                return Subject::Item;
            }
            if token.is_one_of(USER_CUES) {
                return Subject::User;
            }
        }
        Subject::Item
    }

    pub(super) fn is_free(&self, range: &Range<usize>) -> bool {
        !self.taken[range.clone()].contains(&true)
    }

    /// The bytes of a range of tokens.
    pub(super) fn span(&self, range: &Range<usize>) -> Range<usize> {
        self.tokens[range.start].span.start..self.tokens[range.end - 1].span.end
    }

    /// Records a claim over a non-empty range of tokens, unless another claim has them.
    pub(super) fn claim(&mut self, range: Range<usize>, value: ClaimValue) {
        if self.is_free(&range) {
            let span = self.span(&range);
            self.taken[range].fill(true);
            self.claims.push(Claim { value, span });
        }
    }
}

/// All claims of a text in order of their places.
pub(in super::super) fn extract(text: &str, words: &Words) -> Vec<Claim> {
    let tokens = tokenize(text);
    let taken = vec![false; tokens.len()];
    let mut reading = Reading { text, tokens, words, taken, claims: Vec::new() };
    // What holds other claims' words comes first: a red pen that was bought is no red item.
    purchases::find(&mut reading);
    names::find(&mut reading);
    prices::find(&mut reading);
    sizes::find(&mut reading);
    counts::find(&mut reading);
    brands::find(&mut reading);
    colours::find(&mut reading);
    reading.claims.sort_by_key(|claim| claim.span.start);
    reading.claims
}
