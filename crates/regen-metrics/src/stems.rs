//! Porter stems that are kept: texts of one language repeat their words, and looking a word up costs a tenth of
//! stemming it.

use std::ops::Range;

use crate::porter;
use crate::vocabulary::Vocabulary;

/// Words after which all are forgotten, so that the memory of a long run stays bounded and in the cache.
const MOST_WORDS: usize = 1 << 14;
/// The same for the bytes of their stems.
const MOST_BYTES: usize = 1 << 20;

/// Stems of ASCII words, kept from segment to segment. What is kept changes no stem.
#[derive(Default)]
pub(crate) struct Stems {
    words: Vocabulary,
    bytes: Vec<u8>,
    /// End of the stem of word `id` in `bytes`.
    ends: Vec<usize>,
    letters: Vec<u8>,
}

impl Stems {
    /// The stem of the lower-case ASCII word at a place of a text: where it stands in which bytes.
    pub(crate) fn of(&mut self, text: &[u8], word: Range<usize>) -> (&[u8], Range<usize>) {
        if self.words.len() >= MOST_WORDS || self.bytes.len() >= MOST_BYTES {
            self.words.clear();
            self.bytes.clear();
            self.ends.clear();
        }
        let id = self.words.intern_at(text, word.clone()) as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        if id == self.ends.len() {
            self.letters.clear();
            self.letters.extend_from_slice(&text[word]);
            porter::stem(&mut self.letters);
            self.bytes.extend_from_slice(&self.letters);
            self.ends.push(self.bytes.len());
        }
        (&self.bytes, start..self.ends[id])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_stem_is_that_of_the_word_before_and_after_all_are_forgotten() {
        let mut stems = Stems::default();
        for number in (0..2 * MOST_WORDS).chain(0..100) {
            let word = format!("{number}running{}", "ization".repeat(number % 4));
            let mut expected = word.clone().into_bytes();
            porter::stem(&mut expected);
            for _ in 0..2 {
                let (bytes, stem) = stems.of(word.as_bytes(), 0..word.len());
                assert_eq!(&bytes[stem], expected);
            }
            assert!(stems.words.len() <= MOST_WORDS);
        }
    }
}
