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

/// Numbers in words. "One" is missing: it is a pronoun more often than a number.
const NUMBER_WORDS: &[(&str, u8)] = &[
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
    ("six", 6),
    ("seven", 7),
    ("eight", 8),
    ("nine", 9),
    ("ten", 10),
    ("eleven", 11),
    ("twelve", 12),
    ("dozen", 12),
    ("thirteen", 13),
    ("fourteen", 14),
    ("fifteen", 15),
    ("sixteen", 16),
    ("seventeen", 17),
    ("eighteen", 18),
    ("nineteen", 19),
    ("twenty", 20),
    ("thirty", 30),
    ("forty", 40),
    ("fifty", 50),
    ("sixty", 60),
    ("seventy", 70),
    ("eighty", 80),
    ("ninety", 90),
    ("hundred", 100),
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
    join_tens(text, tokens)
}

/// Makes one number of "twenty five" and "twenty-five".
fn join_tens<'a>(text: &'a str, tokens: Vec<Token<'a>>) -> Vec<Token<'a>> {
    let word =
        |token: &Token<'_>| NUMBER_WORDS.iter().find(|(word, _)| token.is(word)).map(|(_, value)| *value);
    let mut joined: Vec<Token<'a>> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let dash = usize::from(joined.last().is_some_and(|last| last.is("-")));
        let tens = joined
            .len()
            .checked_sub(dash + 1)
            .and_then(|at| word(&joined[at]))
            .filter(|value| (20..100).contains(value));
        let ones = word(&token).filter(|value| *value < 10);
        if let (Some(tens), Some(ones)) = (tens, ones) {
            joined.truncate(joined.len() - dash);
            if let Some(last) = joined.last_mut() {
                last.span.end = token.span.end;
                last.text = &text[last.span.clone()];
                last.lower = last.text.to_lowercase();
                last.kind = Kind::Number { value: f64::from(tens + ones), decimals: 0 };
            }
        } else {
            joined.push(token);
        }
    }
    joined
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
        return Kind::Number { value: f64::from(*value), decimals: 0 };
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
    fn tens_and_ones_are_one_number() {
        assert_eq!(
            texts("twenty-five, twenty five and ten five"),
            ["twenty-five", ",", "twenty five", "and", "ten", "five"]
        );
        assert_eq!(tokenize("ninety nine")[0].number(), Some((99.0, 0)));
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
