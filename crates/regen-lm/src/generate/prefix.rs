//! What a generation begins with: prompts, alone or after a prefix that was read once for several of them.

use tch::Tensor;

use super::continuation::{Continuation, read};
use super::decode::Run;
use crate::cache::KvCache;
use crate::error::{Error, Result};
use crate::mask::PaddingMask;
use crate::model::Decoder;
use crate::packed::PackedCache;

/// Beginnings of prompts that were read once: a system prompt and a user's soft tokens, say, which several kinds of narrative
/// share. Made by [`Writer::read_prefix`](super::Writer::read_prefix), and never changed by what is written after it.
#[derive(Debug)]
pub struct Prefix {
    held: Continuation,
}

impl Prefix {
    /// Reads the rows of a batch.
    pub(super) fn read(run: &Run<'_>, embeds: &Tensor, mask: &PaddingMask) -> Result<Self> {
        let _guard = tch::no_grad_guard();
        let (held, _) = read(run, &Prompt { embeds, mask, after: None }, 0)?;
        Ok(Self { held })
    }

    /// What a writer with packed weights read.
    pub(super) fn packed(&self) -> Result<&PackedCache> {
        match &self.held {
            Continuation::Packed(cache) => Ok(cache),
            Continuation::Torch(_) => Err(foreign("one that was read with libtorch")),
        }
    }

    /// What a writer without packed weights read.
    pub(super) fn torch(&self) -> Result<&KvCache> {
        match &self.held {
            Continuation::Torch(cache) => Ok(cache),
            Continuation::Packed(_) => Err(foreign("one that was read with packed weights")),
        }
    }

    /// How many beginnings it holds.
    pub fn rows(&self) -> usize {
        match &self.held {
            Continuation::Torch(cache) => cache.batch() as usize,
            Continuation::Packed(cache) => cache.rows(),
        }
    }

    /// Real tokens of one of them.
    ///
    /// # Panics
    /// If `row` is not below [`rows`](Self::rows).
    pub fn real_tokens(&self, row: usize) -> i64 {
        match &self.held {
            Continuation::Torch(cache) => cache.seen.real_tokens(row),
            Continuation::Packed(cache) => cache.length(row) as i64,
        }
    }
}

fn foreign(got: &str) -> Error {
    Error::Argument { what: "prefix", expected: "one that this writer read", got: got.to_owned() }
}

/// The prompts of one call.
pub(super) struct Prompt<'a> {
    /// `[batch, seq, hidden]`.
    pub(super) embeds: &'a Tensor,
    /// `[batch, seq]`.
    pub(super) mask: &'a PaddingMask,
    /// What stands before each row: the prefix, and which of its rows.
    pub(super) after: Option<(&'a Prefix, &'a [usize])>,
}

impl Prompt<'_> {
    /// Refuses rows that cannot be continued by `max_new_tokens`.
    pub(super) fn check(&self, decoder: &Decoder, max_new_tokens: usize) -> Result<()> {
        let batch = self.mask.batch() as usize;
        if let Some((prefix, rows)) = self.after {
            let refuse =
                |what, expected, got: usize| Err(Error::Argument { what, expected, got: got.to_string() });
            if rows.len() != batch {
                return refuse("rows of the prefix", "one for each row", rows.len());
            }
            if let Some(row) = rows.iter().find(|row| **row >= prefix.rows()) {
                return refuse("row of the prefix", "a row that it holds", *row);
            }
        }
        let max_positions = decoder.config().max_positions;
        for row in 0..batch {
            let real = self.mask.real_tokens(row);
            if real == 0 {
                return Err(Error::EmptyPrompt { row });
            }
            if self.mask.row(row).last() != Some(&true) {
                return Err(Error::PromptNotLeftPadded { row });
            }
            let before = self.after.map_or(0, |(prefix, rows)| prefix.real_tokens(rows[row]));
            // The last new token is never fed back, so it needs no position.
            let tokens = before + real + (max_new_tokens as i64 - 1).max(0);
            if tokens > max_positions {
                return Err(Error::TooLong { tokens, max_positions });
            }
        }
        Ok(())
    }
}
