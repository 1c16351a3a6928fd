//! Words as small integers: equal words, equal integers, and no allocation per word.
//!
//! Most words are at most fifteen bytes long. Such a word is its own key (its bytes, and their number in the last
//! one), so that two words are compared by two integers. Longer ones are compared byte by byte.

use std::ops::Range;

use crate::table::{GOLDEN, SQUARE_ROOT, Table, TableKey, fold};

/// Bytes of the longest word that is its own key.
const INLINE: usize = 15;

/// A word of at most [`INLINE`] bytes, or a number among the long ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Key {
    low: u64,
    /// The last byte is the word's length, and [`LONG`] for long words.
    high: u64,
}

const LONG: u64 = 0xff << 56;

impl TableKey for Key {
    #[inline]
    fn spread(self) -> u64 {
        fold(self.low ^ GOLDEN, self.high ^ SQUARE_ROOT)
    }
}

/// What a word of each length leaves of the sixteen bytes at its place, and its length.
const MASKS: [[u64; 3]; INLINE + 1] = {
    let mut masks = [[0; 3]; INLINE + 1];
    let mut length = 0;
    while length <= INLINE {
        let all: u128 = (1 << (8 * length)) - 1;
        masks[length] = [all as u64, (all >> 64) as u64, (length as u64) << 56];
        length += 1;
    }
    masks
};

impl Key {
    /// The key of a word in its text; nothing for a long word.
    #[inline]
    fn of(text: &[u8], word: &Range<usize>) -> Option<Self> {
        let [low, high, length] = MASKS.get(word.len())?;
        // What follows the word is read with it and masked: loads of a fixed size are much cheaper than copies.
        let bytes = match text[word.start..].first_chunk::<16>() {
            Some(bytes) => *bytes,
            None => {
                let mut bytes = [0; 16];
                bytes[..word.len()].copy_from_slice(&text[word.clone()]);
                bytes
            }
        };
        let bytes = u128::from_le_bytes(bytes);
        Some(Self { low: bytes as u64 & low, high: (bytes >> 64) as u64 & high | length })
    }

    fn long(number: u32) -> Self {
        Self { low: u64::from(number), high: LONG }
    }
}

/// Numbers the distinct words of one segment, from 0.
#[derive(Default)]
pub(crate) struct Vocabulary {
    table: Table<Key>,
    words: u32,
    long: LongWords,
}

impl Vocabulary {
    /// Forgets all words and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.table.clear();
        self.words = 0;
        self.long.clear();
    }

    /// How many distinct words there are.
    pub(crate) fn len(&self) -> usize {
        self.words as usize
    }

    /// The number of a word, new or known.
    pub(crate) fn intern(&mut self, word: &[u8]) -> u32 {
        self.intern_at(word, 0..word.len())
    }

    /// The number of the word that stands at a place of a text; faster than [`intern`](Self::intern) of a slice.
    #[inline]
    pub(crate) fn intern_at(&mut self, text: &[u8], word: Range<usize>) -> u32 {
        let key = match Key::of(text, &word) {
            Some(key) => key,
            None => Key::long(self.long.intern(&text[word])),
        };
        self.table.reserve(self.words as usize + 1);
        let (id, is_new) = self.table.number(key, self.words);
        self.words += u32::from(is_new);
        id
    }

    /// The number of the word at a place of a text, if it is known.
    pub(crate) fn find_at(&self, text: &[u8], word: Range<usize>) -> Option<u32> {
        let key = match Key::of(text, &word) {
            Some(key) => key,
            None => Key::long(self.long.find(&text[word])?),
        };
        self.table.probe(key, |_| true).ok()
    }
}

/// Numbers words by a hash and then by their bytes.
#[derive(Default)]
struct LongWords {
    table: Table<u64>,
    bytes: Vec<u8>,
    /// End of word `id` in `bytes`.
    ends: Vec<usize>,
}

impl LongWords {
    fn clear(&mut self) {
        self.table.clear();
        self.bytes.clear();
        self.ends.clear();
    }

    fn intern(&mut self, word: &[u8]) -> u32 {
        self.table.reserve(self.ends.len() + 1);
        let hash = hash_bytes(word);
        match self.table.probe(hash, |id| self.word(id) == word) {
            Ok(id) => id,
            Err(free) => {
                let id = self.ends.len() as u32;
                self.bytes.extend_from_slice(word);
                self.ends.push(self.bytes.len());
                self.table.fill(free, hash, id);
                id
            }
        }
    }

    fn find(&self, word: &[u8]) -> Option<u32> {
        self.table.probe(hash_bytes(word), |id| self.word(id) == word).ok()
    }

    fn word(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[start..self.ends[id]]
    }
}

fn hash_bytes(word: &[u8]) -> u64 {
    let mut hash = word.len() as u64;
    let mut add = |lane: u64| hash = (hash.rotate_left(5) ^ lane).wrapping_mul(GOLDEN);
    let (chunks, rest) = word.as_chunks::<8>();
    chunks.iter().for_each(|chunk| add(u64::from_le_bytes(*chunk)));
    let mut lane = [0; 8];
    lane[..rest.len()].copy_from_slice(rest);
    add(u64::from_le_bytes(lane));
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn words_have_one_number_if_and_only_if_their_bytes_are_equal(
            // Around the lengths where a word goes over to the other half of a key and to the long words; zeros
            // must not pass for the end.
            words in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![0u8, b'a', 255]), 0..20), 0..60),
        ) {
            let text: Vec<u8> = words.concat();
            let mut vocabulary = Vocabulary::default();
            let mut numbers: HashMap<&[u8], u32> = HashMap::new();
            let mut at = 0;
            for word in &words {
                let range = at..at + word.len();
                at = range.end;
                let expected = numbers.get(word.as_slice()).copied();
                prop_assert_eq!(vocabulary.find_at(&text, range.clone()), expected);
                let number = vocabulary.intern_at(&text, range);
                prop_assert_eq!(number, expected.unwrap_or(numbers.len() as u32));
                prop_assert_eq!(vocabulary.intern(word), number);
                numbers.insert(word, number);
                prop_assert_eq!(vocabulary.len(), numbers.len());
            }
            vocabulary.clear();
            prop_assert_eq!((vocabulary.len(), vocabulary.find_at(b"a", 0..1)), (0, None));
        }
    }
}
