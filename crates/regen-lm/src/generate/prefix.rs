//! What a generation begins with: prompts, alone or after a prefix that was read once for several of them.

use super::continuation::Continuation;
use super::decode::Run;
use crate::cache::KvCache;
use crate::error::{Error, Result};
use crate::injection::DecoderInputs;
use crate::mask::PaddingMask;
use crate::model::Decoder;
use crate::packed::PackedCache;

/// Beginnings of prompts that were read once: a system prompt and a user's soft tokens, say, which several kinds of narrative
/// share. Made by [`Writer::read_prefix`](super::Writer::read_prefix), continued by [`Writer::after`](super::Writer::after), and
/// never changed by what is written after it.
#[derive(Debug)]
pub struct Prefix {
    held: Continuation,
}

impl Prefix {
    /// Reads the rows of a batch.
    pub(super) fn read(run: &Run<'_>, beginning: &Prompt<'_>) -> Result<Self> {
        beginning.check_rows()?;
        for row in 0..beginning.mask.batch() as usize {
            beginning.check_length(run.decoder, row, 0)?;
        }
        let _guard = tch::no_grad_guard();
        run.decoder.check(beginning.inputs, beginning.mask, None)?;
        let mut held = Continuation::open(run, beginning, 0)?;
        held.read_only(run, beginning)?;
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

    /// Bytes of its keys and values, where a writer with packed weights read it.
    pub fn packed_bytes(&self) -> Option<usize> {
        match &self.held {
            Continuation::Packed(cache) => Some(cache.bytes()),
            Continuation::Torch(_) => None,
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
    /// Embeddings `[batch, seq, hidden]`, and what is added further up.
    pub(super) inputs: DecoderInputs<'a>,
    /// `[batch, seq]`.
    pub(super) mask: &'a PaddingMask,
    /// What stands before each row: the prefix, and which of its rows.
    pub(super) after: Option<(&'a Prefix, &'a [usize])>,
}

impl Prompt<'_> {
    /// Refuses rows of the prefix that are not there, or of another number than the prompts.
    fn check_rows(&self) -> Result<()> {
        let Some((prefix, rows)) = self.after else { return Ok(()) };
        let refuse =
            |what, expected, got: usize| Err(Error::Argument { what, expected, got: got.to_string() });
        if rows.len() != self.mask.batch() as usize {
            return refuse("rows of the prefix", "one for each row", rows.len());
        }
        match rows.iter().find(|row| **row >= prefix.rows()) {
            Some(row) => refuse("row of the prefix", "a row that it holds", *row),
            None => Ok(()),
        }
    }

    /// Refuses rows that cannot be continued by `max_new_tokens`.
    pub(super) fn check(&self, decoder: &Decoder, max_new_tokens: usize) -> Result<()> {
        self.check_rows()?;
        let batch = self.mask.batch() as usize;
        for row in 0..batch {
            if self.mask.real_tokens(row) == 0 {
                return Err(Error::EmptyPrompt { row });
            }
            if self.mask.row(row).last() != Some(&true) {
                return Err(Error::PromptNotLeftPadded { row });
            }
            // The last new token is never fed back, so it needs no position.
            let more = i64::try_from(max_new_tokens.saturating_sub(1)).unwrap_or(i64::MAX);
            self.check_length(decoder, row, more)?;
        }
        Ok(())
    }

    /// Refuses a row that has no positions for `more` tokens after it.
    fn check_length(&self, decoder: &Decoder, row: usize, more: i64) -> Result<()> {
        let before = self.after.map_or(0, |(prefix, rows)| prefix.real_tokens(rows[row]));
        // What does not even fit into the number is too long as well.
        let tokens = before.saturating_add(self.mask.real_tokens(row)).saturating_add(more);
        let max_positions = decoder.config().max_positions;
        if tokens > max_positions {
            return Err(Error::TooLong { tokens, max_positions });
        }
        Ok(())
    }
}
