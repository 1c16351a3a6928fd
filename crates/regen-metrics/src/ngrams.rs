//! Counting n-grams exactly and without allocating per n-gram.
//!
//! Words are small integers already (see `vocabulary`), and an n-gram is the pair of its prefix's number and its
//! last word's number. Such a pair fits one `u64`, so a table keyed by it can never confuse two n-grams.

use crate::table::Table;

/// How often an n-gram occurs in the references.
#[derive(Clone, Copy, Default)]
struct Count {
    /// The reference that `current` counts in.
    reference: u32,
    current: u32,
    /// The most in any one reference, and while matching: how many are left to match.
    most: u32,
}

impl Count {
    fn bump(&mut self, reference: u32) {
        if self.reference != reference {
            self.reference = reference;
            self.current = 0;
        }
        self.current += 1;
        self.most = self.most.max(self.current);
    }

    fn take(&mut self) -> u64 {
        let taken = self.most.min(1);
        self.most -= taken;
        u64::from(taken)
    }
}

/// Clipped n-gram matches of one hypothesis with one or more references, for all orders up to a maximum.
#[derive(Default)]
pub(crate) struct NgramMatcher {
    table: Table<u64>,
    references: u32,
    /// By word, for order 1.
    words: Vec<Count>,
    /// By n-gram, for the higher orders; longer than there are n-grams.
    ngrams: Vec<Count>,
    /// How many n-grams there are.
    known: u32,
}

/// Marks a prefix that is a single word, so that it differs from every n-gram's number.
const WORD: u32 = 1 << 31;

impl NgramMatcher {
    /// Forgets all references and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.table.clear();
        self.references = 0;
        self.words.clear();
        self.ngrams.clear();
        self.known = 0;
    }

    /// Adds a reference whose words are numbered below `vocabulary`.
    pub(crate) fn add_reference(&mut self, words: &[u32], vocabulary: usize, max_order: usize) {
        self.references += 1;
        self.words.resize(vocabulary.max(self.words.len()), Count::default());
        let most = self.known as usize + words.len() * (max_order - 1);
        self.ngrams.resize(most, Count::default());
        self.table.reserve(most);
        for (start, &first) in words.iter().enumerate() {
            self.words[first as usize].bump(self.references);
            let mut prefix = first | WORD;
            for &word in words.iter().skip(start + 1).take(max_order - 1) {
                let (ngram, is_new) = self.table.number(pair(prefix, word), self.known);
                self.known += u32::from(is_new);
                prefix = ngram;
                self.ngrams[prefix as usize].bump(self.references);
            }
        }
    }

    /// Adds the number of matched n-grams of each order to `matches`, whose length is the highest order.
    ///
    /// Uses the counts up: call once after the references were added. `None` is a word that no
    /// reference has.
    pub(crate) fn take_matches(&mut self, hypothesis: &[Option<u32>], matches: &mut [u64]) {
        for (start, &first) in hypothesis.iter().enumerate() {
            let Some(first) = first else { continue };
            matches[0] += self.words[first as usize].take();
            let mut prefix = first | WORD;
            for (word, matched) in hypothesis[start + 1..].iter().zip(&mut matches[1..]) {
                let Some(ngram) = word.and_then(|word| self.find(prefix, word)) else { break };
                *matched += self.ngrams[ngram as usize].take();
                prefix = ngram;
            }
        }
    }

    fn find(&self, prefix: u32, word: u32) -> Option<u32> {
        self.table.probe(pair(prefix, word), |_| true).ok()
    }
}

fn pair(prefix: u32, word: u32) -> u64 {
    u64::from(prefix) << 32 | u64::from(word)
}

/// Common n-grams of one order, none counted more often than it occurs on either side.
#[derive(Default)]
pub(crate) struct CommonNgrams {
    table: Table<u64>,
    /// By word for order 1, by n-gram (and prefix of one) above: how many of the reference are left to match.
    left: Vec<u32>,
}

impl CommonNgrams {
    /// Counts them; words of both sides are numbered below `vocabulary`.
    pub(crate) fn count(
        &mut self,
        hypothesis: &[u32],
        reference: &[u32],
        order: usize,
        vocabulary: usize,
    ) -> usize {
        self.left.clear();
        if order == 1 {
            self.left.resize(vocabulary, 0);
            reference.iter().for_each(|&word| self.left[word as usize] += 1);
            return hypothesis.iter().map(|&word| self.take(word)).sum();
        }
        // The last place is that of all n-grams which the reference has not, and stays zero.
        let most = reference.len() * (order - 1);
        let (absent, mut known) = (most as u32, 0);
        self.left.resize(most + 1, 0);
        self.table.clear();
        self.table.reserve(most);
        for ngram in reference.windows(order) {
            let (mut prefix, rest) = first_word(ngram);
            for &word in rest {
                let (number, is_new) = self.table.number(pair(prefix, word), known);
                known += u32::from(is_new);
                prefix = number;
            }
            self.left[prefix as usize] += 1;
        }
        let mut common = 0;
        for ngram in hypothesis.windows(order) {
            let (prefix, rest) = first_word(ngram);
            let find = |prefix, &word: &u32| self.table.find_or(pair(prefix, word), absent);
            let number = rest.iter().fold(prefix, find);
            common += self.take(number);
        }
        common
    }

    #[inline]
    fn take(&mut self, number: u32) -> usize {
        let left = &mut self.left[number as usize];
        let taken = (*left).min(1);
        *left -= taken;
        taken as usize
    }
}

/// The first word of an n-gram as a prefix, and the other words.
fn first_word(ngram: &[u32]) -> (u32, &[u32]) {
    ngram.split_first().map_or((WORD, &[]), |(first, rest)| (first | WORD, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn common_ngrams_are_the_intersection_of_the_multisets_also_with_used_buffers(
            texts in prop::collection::vec(prop::collection::vec(0u32..5, 0..40), 2..6),
            order in 1usize..5,
        ) {
            let mut counter = CommonNgrams::default();
            for pair in texts.windows(2) {
                let count = |text: &[u32]| {
                    let mut counts: HashMap<Vec<u32>, usize> = HashMap::new();
                    text.windows(order).for_each(|ngram| *counts.entry(ngram.to_vec()).or_default() += 1);
                    counts
                };
                let theirs = count(&pair[1]);
                let common = |(ngram, n): (Vec<u32>, usize)| n.min(theirs.get(&ngram).copied().unwrap_or(0));
                let expected: usize = count(&pair[0]).into_iter().map(common).sum();
                prop_assert_eq!(counter.count(&pair[0], &pair[1], order, 5), expected);
            }
        }
    }
}
