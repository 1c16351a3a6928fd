//! Keys and values while text is written, in either memory, and the hidden states of its last tokens.

use regen_torch::tensor_from_f32;
use tch::Tensor;

use super::decode::Run;
use super::prefix::Prompt;
use crate::cache::KvCache;
use crate::error::Result;
use crate::mask::PaddingMask;
use crate::model::Decoder;
use crate::packed::PackedCache;

/// Final hidden states of one token of each row.
pub(super) enum Hidden {
    /// `[rows, 1, hidden]`.
    Tensor(Tensor),
    /// `[rows, hidden]`.
    Rows(Vec<f32>),
}

impl Hidden {
    /// In the decoder's own precision. **Shapes** → `[rows, 1, hidden]`.
    pub(super) fn tensor(&self, decoder: &Decoder, rows: usize) -> Result<Tensor> {
        let states = match self {
            Self::Tensor(tensor) => tensor.shallow_clone(),
            Self::Rows(values) => tensor_from_f32(values, &[rows as i64, 1, decoder.config().hidden])?,
        };
        Ok(states.f_to_kind(decoder.kind())?)
    }
}

/// Keys and values of what was read and written.
#[derive(Debug)]
pub(super) enum Continuation {
    Torch(KvCache),
    Packed(PackedCache),
}

impl Continuation {
    /// Room for the prompts, after what stands before them, and for `more` tokens of each row.
    pub(super) fn open(run: &Run<'_>, prompt: &Prompt<'_>, more: usize) -> Result<Self> {
        let mask = prompt.mask;
        match run.packed {
            Some(packed) => {
                let longest = (0..mask.batch() as usize).map(|row| mask.real_tokens(row)).max().unwrap_or(0);
                let room = longest as usize + more;
                Ok(Self::Packed(match prompt.after {
                    None => packed.cache(run.cache, mask.batch() as usize, room),
                    Some((prefix, rows)) => prefix.packed()?.continued(rows, room),
                }))
            }
            None => {
                let columns = mask.seq() + more as i64;
                Ok(Self::Torch(match prompt.after {
                    None => run.decoder.new_cache(mask.batch(), columns)?,
                    Some((prefix, rows)) => prefix.torch()?.continued(rows, columns)?,
                }))
            }
        }
    }

    /// Reads the prompts; gives their hidden states, `[batch, seq, hidden]`.
    pub(super) fn read(&mut self, run: &Run<'_>, prompt: &Prompt<'_>) -> Result<Tensor> {
        let (inputs, mask) = (prompt.inputs, prompt.mask);
        match (self, run.packed) {
            (Self::Packed(cache), Some(packed)) => packed.read(inputs, mask, cache),
            (Self::Packed(_), None) => unreachable!("`open` packs for writers with packed weights only"),
            (Self::Torch(cache), _) => run.decoder.forward(inputs, mask, Some(cache)),
        }
    }

    /// As [`read`](Self::read), for the last tokens alone, with which every row must end.
    pub(super) fn read_last(&mut self, run: &Run<'_>, prompt: &Prompt<'_>) -> Result<Hidden> {
        if let (Self::Packed(cache), Some(packed)) = (&mut *self, run.packed) {
            return Ok(Hidden::Rows(packed.read_last(prompt.inputs, prompt.mask, cache)?));
        }
        Ok(Hidden::Tensor(self.read(run, prompt)?.f_narrow(1, prompt.mask.seq() - 1, 1)?))
    }

    /// As [`read`](Self::read), for what is held afterwards alone, and without memory for further tokens.
    pub(super) fn read_only(&mut self, run: &Run<'_>, prompt: &Prompt<'_>) -> Result<()> {
        if let (Self::Packed(cache), Some(packed)) = (&mut *self, run.packed) {
            packed.read_only(prompt.inputs, prompt.mask, cache)?;
            drop(cache.take_memory());
            return Ok(());
        }
        self.read(run, prompt).map(|_| ())
    }

    /// The rows at these places, so many of each of several prompts, repeated where they go on apart; with room for `more` tokens of
    /// each, and for `group` rows of each prompt later on.
    pub(super) fn spread(
        &mut self,
        places: &[usize],
        sizes: &[usize],
        group: usize,
        more: usize,
    ) -> Result<()> {
        match self {
            Self::Torch(cache) => cache.select_rows(places),
            Self::Packed(cache) => {
                let (mut slots, mut own, mut rest) = (Vec::new(), Vec::new(), places);
                for size in sizes {
                    let (prompt, after) = rest.split_at(*size);
                    own.extend(slots.len()..slots.len() + size);
                    slots.extend_from_slice(prompt);
                    // Places that are free until more rows of the prompt go on.
                    slots.extend(prompt.iter().take(1).cycle().take(group - size));
                    rest = after;
                }
                let memory = cache.take_memory();
                *cache = cache.continued(&slots, more);
                cache.put_memory(memory);
                cache.keep(&own);
                Ok(())
            }
        }
    }

    /// Keeps the rows at these places, ascending.
    pub(super) fn keep(&mut self, places: &[usize]) -> Result<()> {
        match self {
            Self::Torch(cache) => cache.select_rows(places),
            Self::Packed(cache) => {
                cache.keep(places);
                Ok(())
            }
        }
    }

    /// The rows at these places, in any order and repeated where they go on apart. Rows come in groups of `group` with the same
    /// prompt at most, whose rows differ in the last `written` tokens only; `whole` where every prompt has as many rows as before.
    pub(super) fn fork(&mut self, places: &[usize], group: usize, written: usize, whole: bool) -> Result<()> {
        match self {
            Self::Torch(cache) if whole => cache.reorder(places, cache.len() - written as i64),
            Self::Torch(cache) => cache.select_rows(places),
            Self::Packed(cache) => {
                cache.fork(places, group, written);
                Ok(())
            }
        }
    }

    /// Feeds one id to each row.
    pub(super) fn step(&mut self, run: &Run<'_>, ids: &[i64]) -> Result<Hidden> {
        match (self, run.packed) {
            (Self::Packed(cache), Some(packed)) => Ok(Hidden::Rows(packed.step(ids, cache))),
            (Self::Packed(_), None) => unreachable!("`open` packs for writers with packed weights only"),
            (Self::Torch(cache), _) => {
                let count = ids.len() as i64;
                let embeds = run.decoder.embed(&Tensor::f_from_slice(ids)?.f_view([count, 1])?)?;
                let mask = PaddingMask::full(count, 1);
                Ok(Hidden::Tensor(run.decoder.forward(&embeds, &mask, Some(cache))?))
            }
        }
    }
}
