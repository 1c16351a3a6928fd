//! The tokenizers of sacrebleu, under its names.

use std::borrow::Cow;

use super::mteval::{Ends, international, western};
use super::whitespace::{is_python_whitespace, split_python, trim_end_python, trim_python};

/// How BLEU cuts a line into words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum BleuTokenizer {
    /// `mteval-v13a`, the WMT standard and sacrebleu's default.
    #[default]
    #[serde(rename = "13a")]
    V13a,
    /// `mteval-v14` international: splits at punctuation and symbols of every script.
    #[serde(rename = "intl")]
    Intl,
    /// Every character is a word.
    #[serde(rename = "char")]
    Char,
    /// Chinese characters are words, the rest follows the rules of 13a.
    #[serde(rename = "zh")]
    Zh,
    /// Words are what white space separates.
    #[serde(rename = "none")]
    None,
}

impl BleuTokenizer {
    /// The name in sacrebleu's signature.
    pub fn signature(self) -> &'static str {
        match self {
            Self::V13a => "13a",
            Self::Intl => "intl",
            Self::Char => "char",
            Self::Zh => "zh",
            Self::None => "none",
        }
    }

    /// The words of a line.
    pub fn tokenize(self, line: &str) -> Vec<String> {
        let text = self.prepare(line, false);
        let mut words = Vec::new();
        self.split(&text, &mut words);
        words.iter().map(|word| text[word.range()].to_owned()).collect()
    }

    /// What happens to a line before it is cut: case, trailing space, and for 13a the few replacements
    /// of the original script. Borrows wherever nothing changes.
    pub(crate) fn prepare(self, line: &str, lowercase: bool) -> Cow<'_, str> {
        let line = if lowercase { Cow::Owned(line.to_lowercase()) } else { Cow::Borrowed(line) };
        let line = match line {
            Cow::Borrowed(line) => Cow::Borrowed(trim_end_python(line)),
            Cow::Owned(mut line) => {
                line.truncate(trim_end_python(&line).len());
                Cow::Owned(line)
            }
        };
        match self {
            Self::V13a => unescape(line),
            Self::Zh => match line {
                Cow::Borrowed(line) => Cow::Borrowed(trim_python(line)),
                Cow::Owned(line) => Cow::Owned(trim_python(&line).to_owned()),
            },
            Self::Intl | Self::Char | Self::None => line,
        }
    }

    /// Appends the words of a prepared line.
    pub(crate) fn split(self, text: &str, words: &mut Vec<Span>) {
        match self {
            Self::V13a => western(text, Ends::Space, |_| false, words),
            Self::Zh => western(text, Ends::Nothing, is_chinese, words),
            Self::Intl => international(text, words),
            Self::Char => words.extend(
                text.char_indices()
                    .filter(|&(_, character)| !is_python_whitespace(character))
                    .map(|(at, character)| Span::new(at, at + character.len_utf8())),
            ),
            Self::None => words.extend(split_python(text).map(|word| {
                let start = word.as_ptr() as usize - text.as_ptr() as usize;
                Span::new(start, start + word.len())
            })),
        }
    }
}

/// A word's place in its line, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: usize,
    end: usize,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    pub(crate) fn start(self) -> usize {
        self.start
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start..self.end
    }
}

/// A buffer for the words of a line.
#[derive(Debug, Default)]
pub struct WordBuffer(pub(crate) Vec<Span>);

/// The replacements that come first in 13a, in the order of the script.
fn unescape(line: Cow<'_, str>) -> Cow<'_, str> {
    if !line.bytes().any(|byte| matches!(byte, b'\n' | b'&' | b'<')) {
        return line;
    }
    let mut text = line.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    for (escaped, plain) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        if text.contains(escaped) {
            text = text.replace(escaped, plain);
        }
    }
    Cow::Owned(text)
}

/// The ranges that sacrebleu's zh tokenizer calls Chinese.
///
/// Two of its ranges are written with five-digit escapes that Python reads as four digits and a letter;
/// compared as strings they mean U+2001–U+2A6D and U+2F81–U+2FA1. They stand here as they act, which
/// covers its ranges U+2600–U+27BF.
fn is_chinese(character: char) -> bool {
    matches!(u32::from(character),
        0x3400..=0x4db5 | 0x4e00..=0x9fa5 | 0x9fa6..=0x9fbb
        | 0xf900..=0xfa2d | 0xfa30..=0xfa6a | 0xfa70..=0xfad9
        | 0x2001..=0x2a6d | 0x2f81..=0x2fa1
        | 0xff00..=0xffef | 0x2e80..=0x2eff | 0x3000..=0x303f | 0x31c0..=0x31ef
        | 0x2f00..=0x2fdf | 0x2ff0..=0x2fff | 0x3100..=0x312f | 0x31a0..=0x31bf
        | 0xfe10..=0xfe1f | 0xfe30..=0xfe4f
        | 0x3200..=0x32ff | 0x3300..=0x33ff)
}
