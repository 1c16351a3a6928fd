//! The words of rouge-score: runs of `a-z0-9` after lower-casing.
//!
//! A text is first *folded*: each byte becomes a small letter, a digit, a line break, or zero. Words are then found
//! eight bytes at a time. ASCII is folded byte by byte without a branch; other texts character by character.

use std::ops::Range;

/// Zeros behind a folded text, so that eight bytes can be read from any place of it.
const PADDING: usize = 16;

/// A folded text. The memory is kept from text to text.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    bytes: Vec<u8>,
}

impl Folded {
    /// Takes a text.
    pub(crate) fn read(&mut self, text: &str) {
        self.bytes.clear();
        if text.is_ascii() {
            self.bytes.extend(text.bytes().map(fold));
        } else {
            self.extend(text);
        }
        self.bytes.extend_from_slice(&[0; PADDING]);
    }

    /// Folds any text.
    fn extend(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '\0'..='\x7f' => self.bytes.push(fold(character as u8)),
                // Only two characters beyond ASCII have lower-case forms that begin in it. The dot of the second
                // one's is a character of its own and ends the word.
                KELVIN_SIGN => self.bytes.push(b'k'),
                DOTTED_CAPITAL_I => self.bytes.extend_from_slice(b"i\0"),
                _ => self.bytes.push(0),
            }
        }
    }

    /// The folded bytes, which the places of [`words`](Self::words) are in.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Tells every word and every line break in order.
    pub(crate) fn words(&self, mut each: impl FnMut(Found)) {
        let mut at = 0;
        while let Some(&byte) = self.bytes.get(at) {
            if byte < b'0' {
                if byte == b'\n' {
                    each(Found::LineBreak);
                }
                at += 1;
                continue;
            }
            let start = at;
            while let Some(lane) = self.bytes[at..].first_chunk::<8>() {
                // Adding 0x50 carries from '0' on into the upper bit and from no byte into the next: all are below 0x80.
                let ends = !(u64::from_le_bytes(*lane) + 0x5050_5050_5050_5050) & 0x8080_8080_8080_8080;
                at += ends.trailing_zeros() as usize / 8;
                if ends != 0 {
                    break;
                }
            }
            each(Found::Word(start..at));
        }
    }
}

/// What a folded text holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A word's place.
    Word(Range<usize>),
    /// The end of a line.
    LineBreak,
}

/// A small letter, a digit or a line break stays, a capital becomes small, all else zero.
fn fold(byte: u8) -> u8 {
    let small = byte | 0x20;
    let letter = small.wrapping_sub(b'a') < 26;
    let other = byte.wrapping_sub(b'0') < 10 || byte == b'\n';
    if letter {
        small
    } else if other {
        byte
    } else {
        0
    }
}

const KELVIN_SIGN: char = '\u{212a}';
const DOTTED_CAPITAL_I: char = '\u{130}';

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// rouge-score's way, with line breaks kept: lower-case, replace, split.
    fn expected(text: &str) -> Vec<Option<String>> {
        let lower = text.to_lowercase();
        let pattern = regex::Regex::new("[a-z0-9]+|\n").unwrap();
        pattern.find_iter(&lower).map(|m| (m.as_str() != "\n").then(|| m.as_str().to_owned())).collect()
    }

    fn found(folded: &Folded) -> Vec<Option<String>> {
        let mut all = Vec::new();
        folded.words(|found| {
            all.push(match found {
                Found::Word(word) => Some(String::from_utf8(folded.bytes()[word].to_vec()).unwrap()),
                Found::LineBreak => None,
            });
        });
        all
    }

    proptest! {
        #[test]
        fn words_are_those_of_the_substitution(
            text in prop_oneof!["[a-cX-Z0-9 .\n\u{7f}]{0,80}", "[aZ5 \n\u{212a}\u{130}éßΣ\u{1d400}]{0,40}", "\\PC{0,40}"],
        ) {
            let mut folded = Folded::default();
            folded.read(&text);
            prop_assert_eq!(found(&folded), expected(&text));
        }

        #[test]
        fn the_fast_way_for_ascii_equals_the_general_one(bytes in prop::collection::vec(0u8..128, 0..100)) {
            let text = String::from_utf8(bytes).unwrap();
            let (mut fast, mut general) = (Folded::default(), Folded::default());
            fast.read(&text);
            general.extend(&text);
            general.bytes.extend_from_slice(&[0; PADDING]);
            prop_assert_eq!(fast.bytes(), general.bytes());
        }
    }

    #[test]
    fn every_ascii_character_is_folded_as_by_the_substitution() {
        for byte in 0..128u8 {
            let text = format!("a{}b", char::from(byte));
            let mut folded = Folded::default();
            folded.read(&text);
            assert_eq!(found(&folded), expected(&text), "{byte}");
        }
    }

    #[test]
    fn no_other_character_has_a_lower_case_form_with_ascii_in_it() {
        let special: Vec<char> = ('\u{80}'..=char::MAX)
            .filter(|character| character.to_lowercase().any(|lower| lower.is_ascii()))
            .collect();
        assert_eq!(special, [DOTTED_CAPITAL_I, KELVIN_SIGN]);
    }
}
