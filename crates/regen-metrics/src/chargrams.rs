//! Matches of character n-grams of all orders up to six at once, by sorting instead of hashing.
//!
//! Every position of a text becomes one integer: its next characters, most significant first, with zeros
//! beyond the end. In the sorted list of these integers the n-grams of *every* order stand sorted too, so
//! that the multiset intersection with another list is a walk along both. The integers are exact: eight bits
//! a character where a pair of texts has few distinct characters beyond ASCII, 21 bits elsewhere.

use crate::tokenize::is_python_whitespace;

/// Characters of a key; 6 · 21 bits are room for any six.
const WIDTH: usize = 6;

/// Counts matches of one hypothesis with one reference after the other.
#[derive(Default)]
pub(crate) struct CharGrams {
    hypothesis: Text,
    reference: Text,
    /// Characters beyond ASCII in order of appearance; the first 127 have eight-bit numbers.
    wide: Vec<char>,
    narrow: [Vec<u64>; 2],
    broad: [Vec<u128>; 2],
}

#[derive(Default)]
struct Text {
    /// Eight-bit numbers of the characters, while `characters` is empty.
    numbers: Vec<u8>,
    /// The characters themselves, once one had no number left.
    characters: Vec<char>,
}

impl Text {
    fn len(&self) -> usize {
        self.numbers.len().max(self.characters.len())
    }

    /// Reads a text; false if its characters did not all get a number.
    fn read(&mut self, text: &str, whitespace: bool, wide: &mut Vec<char>) -> bool {
        self.numbers.clear();
        self.characters.clear();
        let keep = |character: &char| whitespace || !is_python_whitespace(*character);
        for character in text.chars().filter(keep) {
            let number = match character {
                '\0'..='\x7f' => character as u8 + 1,
                _ => {
                    let at = wide.iter().position(|&known| known == character).unwrap_or_else(|| {
                        wide.push(character);
                        wide.len() - 1
                    });
                    if at >= 127 {
                        self.numbers.clear();
                        self.characters.extend(text.chars().filter(keep));
                        return false;
                    }
                    at as u8 + 129
                }
            };
            self.numbers.push(number);
        }
        true
    }

    /// Goes over to characters.
    fn widen(&mut self, wide: &[char]) {
        self.characters.extend(self.numbers.drain(..).map(|number| match number {
            1..=128 => char::from(number - 1),
            _ => wide[usize::from(number) - 129],
        }));
    }
}

impl CharGrams {
    /// Takes the hypothesis for the comparisons that follow.
    pub(crate) fn set_hypothesis(&mut self, text: &str, whitespace: bool) {
        self.wide.clear();
        if self.hypothesis.read(text, whitespace, &mut self.wide) {
            narrow_keys(&self.hypothesis.numbers, &mut self.narrow[0]);
        } else {
            broad_keys(&self.hypothesis.characters, &mut self.broad[0]);
        }
    }

    /// Fills `counts` per order: n-grams of the hypothesis, of the reference, and matches.
    pub(crate) fn compare(&mut self, reference: &str, whitespace: bool, counts: &mut [[u64; 3]]) {
        let fits = self.reference.read(reference, whitespace, &mut self.wide);
        for (order, counts) in counts.iter_mut().enumerate() {
            let ngrams = |text: &Text| text.len().saturating_sub(order) as u64;
            *counts = [ngrams(&self.hypothesis), ngrams(&self.reference), 0];
        }
        if fits && self.hypothesis.characters.is_empty() {
            narrow_keys(&self.reference.numbers, &mut self.narrow[1]);
            for (order, counts) in counts.iter_mut().enumerate() {
                counts[2] = common_narrow(&self.narrow[0], &self.narrow[1], order + 1);
            }
            return;
        }
        if self.hypothesis.characters.is_empty() {
            self.hypothesis.widen(&self.wide);
            broad_keys(&self.hypothesis.characters, &mut self.broad[0]);
        }
        if fits {
            self.reference.widen(&self.wide);
        }
        broad_keys(&self.reference.characters, &mut self.broad[1]);
        for (order, counts) in counts.iter_mut().enumerate() {
            counts[2] = common_broad(&self.broad[0], &self.broad[1], order + 1);
        }
    }
}

macro_rules! keys_and_matches {
    ($keys:ident, $common:ident, $key:ty, $character:ty, $bits:expr, $number:expr) => {
        fn $keys(text: &[$character], keys: &mut Vec<$key>) {
            keys.clear();
            let mut key: $key = 0;
            keys.extend(text.iter().rev().map(|&character| {
                let number: $key = $number(character);
                key = number << ($bits * (WIDTH - 1)) | key >> $bits;
                key
            }));
            keys.sort_unstable();
        }

        /// Size of the multiset intersection of the n-grams of one order. Free of branches, since which
        /// list is ahead is as good as random.
        fn $common(ours: &[$key], theirs: &[$key], order: usize) -> u64 {
            let shift = $bits * (WIDTH - order);
            let last: $key = (1 << $bits) - 1;
            let (mut at, mut other, mut common) = (0, 0, 0);
            while at < ours.len() && other < theirs.len() {
                let (a, b) = (ours[at] >> shift, theirs[other] >> shift);
                // A zero for the last character marks a text's end, where no n-gram of this order is.
                common += u64::from(a == b && a & last != 0);
                at += usize::from(a <= b);
                other += usize::from(b <= a);
            }
            common
        }
    };
}

keys_and_matches!(narrow_keys, common_narrow, u64, u8, 8, u64::from);
keys_and_matches!(broad_keys, common_broad, u128, char, 21, |character| {
    u128::from(u32::from(character)) + 1
});

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// The obvious way.
    fn counted(hypothesis: &str, reference: &str, order: usize) -> [u64; 3] {
        let count = |text: &str| {
            let text: Vec<char> = text.chars().filter(|c| !is_python_whitespace(*c)).collect();
            let mut counts: HashMap<Vec<char>, u64> = HashMap::new();
            for ngram in text.windows(order) {
                *counts.entry(ngram.to_vec()).or_default() += 1;
            }
            counts
        };
        let (ours, theirs) = (count(hypothesis), count(reference));
        let matches = ours.iter().map(|(ngram, &n)| n.min(theirs.get(ngram).copied().unwrap_or(0)));
        [ours.values().sum(), theirs.values().sum(), matches.sum()]
    }

    fn check(hypothesis: &str, references: &[&str]) {
        let mut grams = CharGrams::default();
        grams.set_hypothesis(hypothesis, false);
        for reference in references {
            let mut counts = [[0; 3]; WIDTH];
            grams.compare(reference, false, &mut counts);
            for (order, counts) in counts.iter().enumerate() {
                assert_eq!(*counts, counted(hypothesis, reference, order + 1), "{reference:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn few_letters_match_as_by_counting(ours in "[ab é\0]{0,60}", theirs in "[abc é\0]{0,60}") {
            check(&ours, &[&theirs, &ours]);
        }

        #[test]
        fn any_characters_match_as_by_counting(ours in "\\PC{0,40}", theirs in "\\PC{0,40}") {
            check(&ours, &[&theirs, &ours]);
        }
    }

    #[test]
    fn more_distinct_characters_than_eight_bits_hold_are_still_exact() {
        let many: String = ('\u{4e00}'..'\u{4f00}').collect();
        let tail: String = ('\u{4e80}'..'\u{4f80}').collect();
        check(&many, &["short", &tail, "一丁", &many]);
        check("一丁 short", &["一丁", &many, "short 一"]);
    }
}
