//! A text as words, numbers and marks with their places. Everything later looks at these and never at characters.

use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Letters, perhaps followed by digits ("M40").
    Word,
    /// A number in digits or words, with the decimals that were written.
    Number { value: f64, decimals: u8 },
    /// One character that is neither.
    Mark,
}

/// A token of a text.
#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    /// The text in lower case.
    pub(super) lower: String,
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
    /// Whether white space stands before it.
    pub(super) spaced: bool,
    /// Whether it opens a sentence, so that its capital says nothing.
    pub(super) opens: bool,
}

/// "one" is missing: it is a pronoun more often than a number.
const NUMBER_WORDS: &[(&str, f64)] = &[
    ("two", 2.0),
    ("three", 3.0),
    ("four", 4.0),
    ("five", 5.0),
    ("six", 6.0),
    ("seven", 7.0),
    ("eight", 8.0),
    ("nine", 9.0),
    ("ten", 10.0),
    ("eleven", 11.0),
    ("twelve", 12.0),
    ("dozen", 12.0),
    ("fifteen", 15.0),
    ("sixteen", 16.0),
    ("eighteen", 18.0),
    ("twenty", 20.0),
    ("thirty", 30.0),
    ("forty", 40.0),
    ("fifty", 50.0),
    ("hundred", 100.0),
];

impl Token<'_> {
    pub(super) fn is(&self, word: &str) -> bool {
        self.lower == word
    }

    pub(super) fn is_one_of(&self, words: &[&str]) -> bool {
        words.contains(&self.lower.as_str())
    }

    pub(super) fn is_mark(&self) -> bool {
        self.kind == Kind::Mark
    }

    /// A word with a capital.
    pub(super) fn is_capitalised(&self) -> bool {
        self.kind == Kind::Word && self.text.starts_with(char::is_uppercase)
    }

    pub(super) fn number(&self) -> Option<(f64, u8)> {
        match self.kind {
            Kind::Number { value, decimals } => Some((value, decimals)),
            Kind::Word | Kind::Mark => None,
        }
    }

    /// Marks that end a clause.
    pub(super) fn ends_clause(&self) -> bool {
        self.is_mark() && self.is_one_of(&[",", ";", ":", ".", "!", "?", "(", ")", "—", "–", "\n"])
    }
}

/// The end of the run of characters from `start` for which `joins` holds.
fn run(text: &str, start: usize, mut joins: impl FnMut(char, &str) -> bool) -> usize {
    let mut end = start;
    while let Some(next) = text[end..].chars().next() {
        let after = &text[end + next.len_utf8()..];
        if !joins(next, after) {
            break;
        }
        end += next.len_utf8();
    }
    end
}

fn is_digit(next: Option<char>) -> bool {
    next.is_some_and(|next| next.is_ascii_digit())
}

/// Splits a text. A possessive `'s` is a token of its own; digits part from the letters after them ("8mm"), not from
/// those before ("M40"); separators belong to a number where a digit follows ("1,200", "12.99").
pub(super) fn tokenize(text: &str) -> Vec<Token<'_>> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut at = 0;
    let (mut spaced, mut opens) = (false, true);
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            spaced = true;
            continue;
        }
        let end = if first.is_ascii_digit() {
            run(text, at, |c, after| {
                c.is_ascii_digit() || ((c == '.' || c == ',') && is_digit(after.chars().next()))
            })
        } else if first.is_alphabetic() {
            run(text, at, |c, after| {
                c.is_alphanumeric()
                    || ((c == '\'' || c == '’')
                        && after.starts_with(char::is_alphabetic)
                        && !is_possessive(after))
            })
        } else if (first == '\'' || first == '’') && is_possessive(&text[at + first.len_utf8()..]) {
            at + first.len_utf8() + 1
        } else {
            at + first.len_utf8()
        };
        let part = &text[at..end];
        let lower = part.to_lowercase().replace('’', "'");
        let kind = kind_of(part, &lower);
        let ends_sentence = kind == Kind::Mark && [".", "!", "?"].contains(&part);
        tokens.push(Token { text: part, lower, span: at..end, kind, spaced, opens });
        // Quotes and brackets before the first word leave it the first.
        opens = ends_sentence || (opens && kind == Kind::Mark);
        spaced = false;
        at = end;
    }
    tokens
}

/// Whether what follows an apostrophe is a lone "s".
fn is_possessive(after: &str) -> bool {
    let mut rest = after.chars();
    rest.next() == Some('s') && !rest.next().is_some_and(char::is_alphanumeric)
}

fn kind_of(part: &str, lower: &str) -> Kind {
    if part.starts_with(|c: char| c.is_ascii_digit()) {
        let plain = part.replace(',', "");
        let decimals = plain.split_once('.').map_or(0, |(_, decimals)| decimals.len().min(9) as u8);
        // Two dots, as in a version, are no number.
        return plain.parse().map_or(Kind::Word, |value| Kind::Number { value, decimals });
    }
    if let Some((_, value)) = NUMBER_WORDS.iter().find(|(word, _)| *word == lower) {
        return Kind::Number { value: *value, decimals: 0 };
    }
    if part.starts_with(char::is_alphabetic) { Kind::Word } else { Kind::Mark }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        tokenize(text).iter().map(|token| token.text).collect()
    }

    #[test]
    fn numbers_part_from_units_and_keep_their_separators() {
        assert_eq!(texts("$1,200.50, 8mm"), ["$", "1,200.50", ",", "8", "mm"]);
        assert_eq!(texts("a 12-pack of M40."), ["a", "12", "-", "pack", "of", "M40", "."]);
        assert_eq!(tokenize("1,200.50")[0].number(), Some((1200.5, 2)));
        assert_eq!(tokenize("1.2.3")[0].number(), None);
    }

    #[test]
    fn possessives_stand_alone_and_contractions_do_not() {
        assert_eq!(texts("Kestrel's pen isn't Ann’s"), ["Kestrel", "'s", "pen", "isn't", "Ann", "’s"]);
    }

    #[test]
    fn spans_are_bytes_of_the_text() {
        let text = "É “Ünïcode” 3″";
        for token in tokenize(text) {
            assert_eq!(&text[token.span.clone()], token.text);
        }
    }

    #[test]
    fn the_first_word_of_a_sentence_is_known() {
        let tokens = tokenize("One. “Two three");
        let opening: Vec<_> = tokens.iter().filter(|t| t.opens && !t.is_mark()).map(|t| t.text).collect();
        assert_eq!(opening, ["One", "Two"]);
    }
}
