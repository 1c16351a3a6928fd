//! The whole decoder, packed: embedding, blocks, final norm and head, for prompts and for decoding steps.

use rayon::prelude::*;
use regen_kernel::{Level, Matrix, RowNorm, Storage};
use regen_torch::{tensor_from_f32, tensor_to_vec_f32};
use tch::{Device, Tensor};

use super::block::{PackedBlock, Tokens, Wanted};
use super::cache::PackedCache;
use super::held::CacheStorage;
use super::rows::{Angles, Frequencies, Turns};
use super::weights::{Packing, row_norm};
use crate::config::DecoderConfig;
use crate::error::Result;
use crate::injection::{DecoderInputs, Injected};
use crate::layers::Rotary;
use crate::mask::PaddingMask;
use crate::model::Decoder;

/// Rows that a core norms at a time.
const NORMED_AT_ONCE: usize = 64;

/// Embeddings that a core looks up at least.
const ROWS_LOOKED_UP: usize = 4;

/// A frozen copy of a decoder's weights.
#[derive(Debug)]
pub(crate) struct PackedDecoder {
    level: Level,
    config: DecoderConfig,
    /// `[vocab, hidden]`; where it is tied, the head has it.
    embedding: Option<Vec<f32>>,
    /// What embeddings of ids are multiplied by.
    embedding_scale: f32,
    /// `[max_positions, hidden]`.
    position_embedding: Option<Vec<f32>>,
    blocks: Vec<PackedBlock>,
    final_norm: RowNorm,
    head: Matrix,
    global_rope: Option<Frequencies>,
    local_rope: Option<Frequencies>,
}

impl PackedDecoder {
    /// Copies the weights as they are now, low-rank updates included; `None` where libtorch's path is kept: on a device, and on a
    /// processor without a kernel.
    pub(crate) fn new(decoder: &Decoder, storage: Storage) -> Result<Option<Self>> {
        match Level::best() {
            Some(level) if decoder.device() == Device::Cpu => {
                Ok(Some(Self::packed(decoder, Packing { level, storage })?))
            }
            _ => Ok(None),
        }
    }

    fn packed(decoder: &Decoder, packing: Packing) -> Result<Self> {
        let config = decoder.config();
        let names = config.family.arrangement();
        let host = |tensor: &Tensor| tensor_to_vec_f32(tensor);
        let blocks = decoder.blocks.iter().map(|block| PackedBlock::new(packing, config, block));
        let rope = |rope: &Option<Rotary>| rope.as_ref().map(Frequencies::new).transpose();
        Ok(Self {
            level: packing.level,
            embedding: if config.tied { None } else { Some(host(&decoder.embedding)?) },
            embedding_scale: if names.scaled_embeddings { (config.hidden as f64).sqrt() as f32 } else { 1.0 },
            position_embedding: decoder.position_embedding.as_ref().map(host).transpose()?,
            blocks: blocks.collect::<Result<_>>()?,
            final_norm: row_norm(&decoder.final_norm)?,
            head: packing.stacked(&[(decoder.head.shallow_clone(), None)])?,
            global_rope: rope(&decoder.global_rope)?,
            local_rope: rope(&decoder.local_rope)?,
            config: config.clone(),
        })
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> usize {
        self.blocks.iter().map(PackedBlock::bytes).sum::<usize>() + self.head.bytes()
    }

    /// A cache of `rows` rows with room for `capacity` tokens of each.
    pub(crate) fn cache(&self, storage: CacheStorage, rows: usize, capacity: usize) -> PackedCache {
        PackedCache::new(&self.config, storage, rows, capacity)
    }

    /// Reads prompts that follow what the cache holds; padding is left out, on whichever side it is.
    ///
    /// **Shapes** `embeds: [batch, seq, hidden]`, `mask: [batch, seq]` → final hidden states `[batch, seq, hidden]` f32, 0 at
    /// padding.
    pub(crate) fn read(
        &self,
        inputs: DecoderInputs<'_>,
        mask: &PaddingMask,
        cache: &mut PackedCache,
    ) -> Result<Tensor> {
        let hidden = self.config.hidden as usize;
        let (x, real) = self.read_some(inputs, mask, Wanted::All, cache)?;
        let (batch, seq) = (mask.batch(), mask.seq());
        let mut states = vec![0.0; (batch * seq) as usize * hidden];
        for (at, state) in real.iter().zip(x.chunks_exact(hidden)) {
            states[at * hidden..][..hidden].copy_from_slice(state);
        }
        Ok(tensor_from_f32(&states, &[batch, seq, self.config.hidden])?)
    }

    /// As [`read`](Self::read), of prompts of which each has a token, for their last tokens alone: `[batch, hidden]`.
    pub(crate) fn read_last(
        &self,
        inputs: DecoderInputs<'_>,
        mask: &PaddingMask,
        cache: &mut PackedCache,
    ) -> Result<Vec<f32>> {
        Ok(self.read_some(inputs, mask, Wanted::Last, cache)?.0)
    }

    /// As [`read`](Self::read), for what the cache holds afterwards alone.
    pub(crate) fn read_only(
        &self,
        inputs: DecoderInputs<'_>,
        mask: &PaddingMask,
        cache: &mut PackedCache,
    ) -> Result<()> {
        self.read_some(inputs, mask, Wanted::Nothing, cache).map(|_| ())
    }

    /// The states of the wanted tokens, and the places of all real ones in the batch.
    fn read_some(
        &self,
        inputs: DecoderInputs<'_>,
        mask: &PaddingMask,
        wanted: Wanted,
        cache: &mut PackedCache,
    ) -> Result<(Vec<f32>, Vec<usize>)> {
        let hidden = self.config.hidden as usize;
        let (batch, seq) = (mask.batch() as usize, mask.seq() as usize);
        let counts: Vec<usize> = (0..batch).map(|row| mask.real_tokens(row) as usize).collect();
        let real: Vec<usize> = (0..batch)
            .flat_map(|row| {
                mask.row(row).iter().enumerate().filter(|(_, real)| **real).map(move |(at, _)| row * seq + at)
            })
            .collect();
        let of_real = |tensor: &Tensor| -> Result<Vec<f32>> {
            let given = tensor_to_vec_f32(tensor)?;
            let mut rows = Vec::with_capacity(real.len() * hidden);
            real.iter().for_each(|at| rows.extend_from_slice(&given[at * hidden..][..hidden]));
            Ok(rows)
        };
        let mut x = of_real(inputs.embeds)?;
        let added = inputs.injected.map_or(&[][..], Injected::added).iter();
        let added =
            added.map(|(block, vectors)| Ok((*block, of_real(vectors)?))).collect::<Result<Vec<_>>>()?;
        // Inside the pool from start to end: going in and out for each product would cost more than the product.
        rayon::scope(|_| self.forward(&mut x, &counts, &added, wanted, cache));
        Ok((x, real))
    }

    /// `x`: embeddings of so many new tokens of each row of the cache, row after row `→` the final hidden states of the wanted ones.
    /// `added`: the numbers of blocks, and what is added to the states that enter them.
    fn forward(
        &self,
        x: &mut Vec<f32>,
        counts: &[usize],
        added: &[(usize, Vec<f32>)],
        wanted: Wanted,
        cache: &mut PackedCache,
    ) {
        let hidden = self.config.hidden as usize;
        let positions: Vec<usize> = (0..counts.len())
            .flat_map(|row| (0..counts[row]).map(move |place| (row, place)))
            .map(|(row, place)| cache.length(row) + place)
            .collect();
        if let Some(table) = &self.position_embedding {
            for (x, position) in x.chunks_exact_mut(hidden).zip(&positions) {
                regen_kernel::add(x, &table[position * hidden..][..hidden]);
            }
        }
        let turns = |rope: &Option<Frequencies>| {
            rope.as_ref().map_or_else(Angles::default, |rope| rope.angles(&positions))
        };
        let turns = Turns { global: turns(&self.global_rope), local: turns(&self.local_rope) };
        let tokens = Tokens { counts, turns: &turns };
        let mut memory = cache.take_memory();
        for (index, block) in self.blocks.iter().enumerate() {
            // What the last block makes of a token is for the token after it alone.
            let wanted = if index + 1 == self.blocks.len() { wanted } else { Wanted::All };
            for (_, added) in added.iter().filter(|(block, _)| *block == index) {
                regen_kernel::add(x, added);
            }
            block.forward(self.level, index, x, &tokens, wanted, (cache, &mut memory));
        }
        cache.put_memory(memory);
        cache.advance(counts);
        x.par_chunks_mut(NORMED_AT_ONCE * hidden).for_each(|x| self.final_norm.apply(self.level, x));
    }

    /// The next token of every row of the cache → its final hidden states, `[rows, hidden]`. Ids must be of the vocabulary.
    pub(crate) fn step(&self, ids: &[i64], cache: &mut PackedCache) -> Vec<f32> {
        rayon::scope(|_| self.step_in_pool(ids, cache))
    }

    fn step_in_pool(&self, ids: &[i64], cache: &mut PackedCache) -> Vec<f32> {
        let hidden = self.config.hidden as usize;
        let scale = self.embedding_scale;
        let mut x = vec![0.0; ids.len() * hidden];
        // Of packed weights each number lies in a cache line of its own: cores look for some rows each.
        x.par_chunks_exact_mut(hidden).zip(ids).with_min_len(ROWS_LOOKED_UP).for_each(|(row, id)| {
            let id = *id as usize;
            match &self.embedding {
                Some(table) => row.copy_from_slice(&table[id * hidden..][..hidden]),
                None => self.head.weights_of(id, row),
            }
            row.iter_mut().for_each(|value| *value *= scale);
        });
        self.forward(&mut x, &vec![1; ids.len()], &[], Wanted::All, cache);
        x
    }

    /// Scores of every token of the vocabulary, in the memory of `logits`. **Shapes** `[rows, hidden] → [rows, vocab]`.
    pub(crate) fn logits(&self, hidden: &[f32], mut logits: Vec<f32>, cache: &mut PackedCache) -> Vec<f32> {
        let rows = hidden.len() / self.head.inputs();
        logits.resize(rows * self.head.outputs(), 0.0);
        let products = cache.products();
        rayon::scope(|_| {
            self.head.multiply_shared(hidden, &mut logits, products);
            if let Some(cap) = self.config.logit_softcap {
                let cap = cap as f32;
                logits.par_iter_mut().for_each(|logit| *logit = (*logit / cap).tanh() * cap);
            }
        });
        logits
    }
}
