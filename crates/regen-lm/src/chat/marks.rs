//! Control tokens that messages spell out are told apart from those that the template writes.
//!
//! Each is put between two marks before the template is rendered, and encoded as text where the marks come out again. Marks are
//! code points that no text holds for its own sake, and are taken out of messages first.
//!
//! **Source** transformers 5.23, `apply_chat_template(..., sanitize_control_tokens=True)`.

use crate::error::{Error, Result};
use crate::tokenizer::TextTokenizer;

/// Begin and end of a marked token, private to this file.
const OPEN: char = '\u{f0000}';
const CLOSE: char = '\u{f0001}';

/// The tokens that a template speaks in.
#[derive(Debug)]
pub(super) struct Control<'a> {
    tokenizer: &'a TextTokenizer,
    /// Longest first, so that a token goes before those it contains.
    tokens: Vec<&'a str>,
}

impl<'a> Control<'a> {
    /// Special tokens, and added ones that the template writes; not those of white space, which templates hold as text.
    pub(super) fn of(tokenizer: &'a TextTokenizer, template: &str) -> Self {
        let added = tokenizer.plain().added().iter();
        let mut tokens: Vec<&str> = added
            .filter(|token| {
                let written = template.contains(token.text.as_str()) && !token.text.trim().is_empty();
                token.special || written
            })
            .map(|token| token.text.as_str())
            .filter(|token| !token.is_empty())
            .collect();
        tokens.sort_by_key(|token| std::cmp::Reverse(token.len()));
        Self { tokenizer, tokens }
    }

    /// The text with its control tokens between marks.
    pub(super) fn mark(&self, text: &str) -> String {
        let text: String = text.chars().filter(|letter| ![OPEN, CLOSE].contains(letter)).collect();
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(letter) = rest.chars().next() {
            if let Some(token) = self.tokens.iter().find(|token| rest.starts_with(**token)) {
                out.push(OPEN);
                out.push_str(token);
                out.push(CLOSE);
                rest = &rest[token.len()..];
            } else {
                out.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        out
    }

    /// Ids of a rendered conversation. A mark without its partner, which the template cut off, still separates what stands on
    /// either side.
    pub(super) fn encode(&self, rendered: &str) -> Result<Vec<i64>> {
        let mut pieces: Vec<(&str, bool)> = Vec::new();
        let mut rest = rendered;
        while let Some(at) = rest.find([OPEN, CLOSE]) {
            pieces.push((&rest[..at], false));
            let marked = self.tokens.iter().find_map(|token| {
                let inside = rest[at..].strip_prefix(OPEN)?.strip_prefix(*token)?;
                Some((*token, inside.strip_prefix(CLOSE)?))
            });
            rest = match marked {
                Some((token, after)) => {
                    pieces.push((token, true));
                    after
                }
                // Both marks are as long.
                None => &rest[at + OPEN.len_utf8()..],
            };
        }
        pieces.push((rest, false));
        let newline = self.tokenizer.encode("\n")?;
        let mut ids = self.tokenizer.encode(pieces[0].0)?;
        for (piece, spelled_out) in pieces.into_iter().skip(1).filter(|(piece, _)| !piece.is_empty()) {
            ids.extend(self.inner(piece, spelled_out, &newline)?);
        }
        Ok(ids)
    }

    /// Ids of a piece from the middle of a text: after a line break, which is taken away again, so that no vocabulary puts the
    /// space before it that it puts before a text.
    fn inner(&self, piece: &str, spelled_out: bool, newline: &[i64]) -> Result<Vec<i64>> {
        let encode = |text: &str| {
            if spelled_out {
                self.tokenizer.plain().encode_spelled_out(self.tokenizer.inner(), text)
            } else {
                self.tokenizer.encode(text)
            }
        };
        let ids = encode(&format!("\n{piece}"))?;
        let ids = match ids.strip_prefix(newline) {
            Some(ids) => ids.to_vec(),
            None => encode(piece)?,
        };
        let token = self.tokenizer.id(piece).filter(|_| spelled_out);
        match token {
            Some(token) if ids.contains(&token) => Err(Error::SpecialInText { token: piece.to_owned() }),
            _ => Ok(ids),
        }
    }
}
