//! The word rules of NIST's mteval scripts, each as one pass over the text.
//!
//! The originals are chains of regular-expression substitutions that insert spaces. What such a chain
//! does to a run of dots and commas (13a) or of punctuation (intl) depends only on the run's length and
//! on the characters beside it, because each substitution consumes two characters: it pairs the run off
//! from the left. Only the last character of a run can stay glued to a neighbour, and only where the
//! pairing leaves it over. The tests compare every short string over the relevant alphabet with the
//! chain itself.

use super::bleu::Span;
use super::categories::{Category, category};
use super::whitespace::is_python_whitespace;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// White space that separates words.
    Space,
    /// Always a word of its own.
    Single,
    Digit,
    DotOrComma,
    Dash,
    /// Part of a word.
    Letter,
    /// First or later byte of a character beyond ASCII.
    Wide,
}

const CLASSES: [Class; 256] = {
    let mut table = [Class::Letter; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'0'..=b'9' => Class::Digit,
            b'.' | b',' => Class::DotOrComma,
            b'-' => Class::Dash,
            b' ' | 0x09..=0x0d | 0x1c..=0x1f => Class::Space,
            b'{'..=b'~' | b'['..=b'`' | b'!'..=b'&' | b'('..=b'+' | b':'..=b'@' | b'/' => Class::Single,
            0x80..=0xff => Class::Wide,
            _ => Class::Letter,
        };
        byte += 1;
    }
    table
};

/// What stands before and after the line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// A space, as in 13a.
    Space,
    /// Nothing, as in zh: a substitution that needs a neighbour does not happen there.
    Nothing,
}

/// Word rules of `mteval-v13a`. Characters for which `alone` holds become words of their own.
pub(crate) fn western(text: &str, ends: Ends, alone: impl Fn(char) -> bool, words: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let mut open: Option<usize> = None;
    let mut at = 0;
    while at < bytes.len() {
        match CLASSES[usize::from(bytes[at])] {
            Class::Letter | Class::Digit => {
                open.get_or_insert(at);
                at += 1;
            }
            Class::Space => {
                close(&mut open, at, words);
                at += 1;
            }
            Class::Single => {
                close(&mut open, at, words);
                words.push(Span::new(at, at + 1));
                at += 1;
            }
            Class::Dash => {
                if at > 0 && bytes[at - 1].is_ascii_digit() {
                    close(&mut open, at, words);
                    words.push(Span::new(at, at + 1));
                } else {
                    open.get_or_insert(at);
                }
                at += 1;
            }
            Class::DotOrComma => {
                let mut end = at + 1;
                while end < bytes.len() && CLASSES[usize::from(bytes[end])] == Class::DotOrComma {
                    end += 1;
                }
                let length = end - at;
                // The pairing starts at the character before the run, unless that is a digit or missing.
                let starts_inside = match at.checked_sub(1) {
                    Some(before) => bytes[before].is_ascii_digit(),
                    None => ends == Ends::Nothing,
                };
                let left_over = (length % 2 == 1) == starts_inside;
                let glued = left_over
                    && match bytes.get(end) {
                        Some(after) => after.is_ascii_digit(),
                        None => ends == Ends::Nothing,
                    };
                if !(glued && length == 1) {
                    close(&mut open, at, words);
                }
                let singles = if glued { end - 1 } else { end };
                words.extend((at..singles).map(|dot| Span::new(dot, dot + 1)));
                if glued {
                    open.get_or_insert(end - 1);
                }
                at = end;
            }
            Class::Wide => {
                let character = char_at(text, at);
                let end = at + character.len_utf8();
                if is_python_whitespace(character) {
                    close(&mut open, at, words);
                } else if alone(character) {
                    close(&mut open, at, words);
                    words.push(Span::new(at, end));
                } else {
                    open.get_or_insert(at);
                }
                at = end;
            }
        }
    }
    close(&mut open, bytes.len(), words);
}

/// Word rules of `mteval-v14` with `--international-tokenization`.
pub(super) fn international(text: &str, words: &mut Vec<Span>) {
    let mut open: Option<usize> = None;
    let mut before: Option<Category> = None;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let end = at + character.len_utf8();
        let here = category(character);
        match here {
            Category::Number => {
                open.get_or_insert(at);
            }
            Category::Symbol => {
                close(&mut open, at, words);
                words.push(Span::new(at, end));
            }
            Category::Other if is_python_whitespace(character) => close(&mut open, at, words),
            Category::Other => {
                open.get_or_insert(at);
            }
            Category::Punctuation => {
                let starts_inside = matches!(before, None | Some(Category::Number));
                let mut length = 1;
                let mut last = Span::new(at, end);
                let mut after = None;
                let first_word = words.len();
                words.push(last);
                while let Some(&(next, follower)) = characters.peek() {
                    if category(follower) != Category::Punctuation {
                        after = Some(category(follower));
                        break;
                    }
                    characters.next();
                    last = Span::new(next, next + follower.len_utf8());
                    words.push(last);
                    length += 1;
                }
                let left_over = (length % 2 == 1) == starts_inside;
                let glued = left_over && matches!(after, None | Some(Category::Number));
                if !(glued && length == 1) {
                    // The word before the run was still open: put it in its place.
                    if let Some(start) = open.take() {
                        words.insert(first_word, Span::new(start, at));
                    }
                }
                if glued {
                    words.pop();
                    open.get_or_insert(last.start());
                }
            }
        }
        before = Some(here);
    }
    close(&mut open, text.len(), words);
}

fn close(open: &mut Option<usize>, end: usize, words: &mut Vec<Span>) {
    if let Some(start) = open.take() {
        words.push(Span::new(start, end));
    }
}

fn char_at(text: &str, at: usize) -> char {
    text[at..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER)
}
