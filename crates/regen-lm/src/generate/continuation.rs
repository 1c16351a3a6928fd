//! Keys and values while text is written, in either memory, and the hidden states of its last tokens.

use regen_torch::tensor_from_f32;
use tch::Tensor;

use super::decode::Run;
use super::prefix::Prompt;
use crate::cache::KvCache;
use crate::error::Result;
use crate::mask::PaddingMask;
use crate::packed::{PackedCache, PackedDecoder};

/// Final hidden states of one token of each row.
pub(super) enum Hidden {
    /// `[rows, 1, hidden]`.
    Tensor(Tensor),
    /// `[rows, hidden]`.
    Rows(Vec<f32>),
}

impl Hidden {
    /// **Shapes** → `[rows, 1, hidden]`.
    pub(super) fn tensor(&self, rows: usize, hidden: i64) -> Result<Tensor> {
        match self {
            Self::Tensor(tensor) => Ok(tensor.shallow_clone()),
            Self::Rows(values) => Ok(tensor_from_f32(values, &[rows as i64, 1, hidden])?),
        }
    }
}

/// Keys and values of what was read and written.
pub(super) enum Continuation<'a> {
    Torch(KvCache),
    Packed(&'a PackedDecoder, PackedCache),
}

/// Reads the prompts, leaving room for `more` tokens where libtorch goes on; gives their hidden states, `[batch, seq, hidden]`.
pub(super) fn read(run: &Run<'_>, prompt: &Prompt<'_>, more: usize) -> Result<(KvCache, Tensor)> {
    let room = if run.packed.is_some() { 0 } else { more as i64 };
    let mut cache = prompt.cache(run.decoder, room)?;
    let hidden = run.decoder.forward(prompt.embeds, prompt.mask, Some(&mut cache))?;
    Ok((cache, hidden))
}

impl<'a> Continuation<'a> {
    /// Goes on from what was read, with room for `more` tokens of each row.
    pub(super) fn of(run: &Run<'a>, cache: KvCache, more: usize) -> Result<Self> {
        Ok(match run.packed {
            Some(packed) => Self::Packed(packed, packed.cache(&cache, more)?),
            None => Self::Torch(cache),
        })
    }

    /// Keeps the rows at these places, ascending.
    pub(super) fn keep(&mut self, places: &[usize]) -> Result<()> {
        match self {
            Self::Torch(cache) => cache.select_rows(places),
            Self::Packed(_, cache) => {
                cache.keep(places);
                Ok(())
            }
        }
    }

    /// The rows at these places, in any order and repeated where they go on apart. Rows come in groups of `group` with the same
    /// prompt, whose rows differ in the last `written` tokens only; a group leaves as a whole.
    pub(super) fn fork(&mut self, places: &[usize], group: usize, written: usize) -> Result<()> {
        match self {
            Self::Torch(cache) if places.len() as i64 == cache.batch() => {
                cache.reorder(places, cache.len() - written as i64)
            }
            Self::Torch(cache) => cache.select_rows(places),
            Self::Packed(_, cache) => {
                cache.fork(places, group, written);
                Ok(())
            }
        }
    }

    /// Feeds one id to each row.
    pub(super) fn step(&mut self, run: &Run<'_>, ids: &[i64]) -> Result<Hidden> {
        match self {
            Self::Packed(packed, cache) => Ok(Hidden::Rows(packed.step(ids, cache))),
            Self::Torch(cache) => {
                let count = ids.len() as i64;
                let embeds = run.decoder.embed(&Tensor::f_from_slice(ids)?.f_view([count, 1])?)?;
                let mask = PaddingMask::full(count, 1);
                Ok(Hidden::Tensor(run.decoder.forward(&embeds, &mask, Some(cache))?))
            }
        }
    }
}
