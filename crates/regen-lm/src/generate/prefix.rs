//! What a generation begins with: prompts, alone or after a prefix that was read once for several of them.

use tch::Tensor;

use crate::cache::KvCache;
use crate::error::{Error, Result};
use crate::mask::PaddingMask;
use crate::model::Decoder;

/// Beginnings of prompts that were read once: a system prompt and a user's soft tokens, say, which several kinds of narrative
/// share. Made by [`Writer::read_prefix`](super::Writer::read_prefix), and never changed by what is written after it.
#[derive(Debug)]
pub struct Prefix {
    cache: KvCache,
}

impl Prefix {
    /// Reads the rows of a batch.
    pub(super) fn read(decoder: &Decoder, embeds: &Tensor, mask: &PaddingMask) -> Result<Self> {
        let _guard = tch::no_grad_guard();
        let mut cache = decoder.new_cache(mask.batch(), mask.seq())?;
        let _ = decoder.forward(embeds, mask, Some(&mut cache))?;
        Ok(Self { cache })
    }

    /// How many beginnings it holds.
    pub fn rows(&self) -> usize {
        self.cache.batch() as usize
    }

    /// Real tokens of one of them.
    ///
    /// # Panics
    /// If `row` is not below [`rows`](Self::rows).
    pub fn real_tokens(&self, row: usize) -> i64 {
        self.cache.seen.real_tokens(row)
    }
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

    /// A cache for the prompts and `more` columns, which already holds the prefix.
    pub(super) fn cache(&self, decoder: &Decoder, more: i64) -> Result<KvCache> {
        let columns = self.mask.seq() + more;
        match self.after {
            None => decoder.new_cache(self.mask.batch(), columns),
            Some((prefix, rows)) => prefix.cache.continued(rows, columns),
        }
    }
}
