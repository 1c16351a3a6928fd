//! The whole decoder, packed: embedding, blocks, final norm and head for one decoding step.

use regen_torch::tensor_to_vec_f32;
use tch::{Device, Kind, Tensor};

use super::block::PackedBlock;
use super::cache::PackedCache;
use super::lanes::Level;
use super::matrix::Matrix;
use super::rows::{Frequencies, RowNorm, Turns};
use crate::cache::KvCache;
use crate::config::{Activation, DecoderConfig};
use crate::error::Result;
use crate::layers::Rotary;
use crate::model::Decoder;

/// A frozen copy of a decoder's weights for decoding steps.
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
    /// Copies the weights as they are now, low-rank updates included; `None` where libtorch's path is kept: weights that
    /// are not f32 on a CPU, a processor without AVX2, the exact GELU.
    pub(crate) fn new(decoder: &Decoder) -> Result<Option<Self>> {
        match Level::available().first() {
            Some(level) => Self::with_level(decoder, *level),
            None => Ok(None),
        }
    }

    fn with_level(decoder: &Decoder, level: Level) -> Result<Option<Self>> {
        let config = decoder.config();
        let plain = decoder.device() == Device::Cpu && decoder.kind() == Kind::Float;
        if !plain || config.activation == Activation::Gelu {
            return Ok(None);
        }
        let names = config.family.arrangement();
        let host = |tensor: &Tensor| tensor_to_vec_f32(tensor);
        let blocks = decoder.blocks.iter().map(|block| PackedBlock::new(level, config, block));
        let rope = |rope: &Option<Rotary>| rope.as_ref().map(Frequencies::new).transpose();
        Ok(Some(Self {
            level,
            embedding: if config.tied { None } else { Some(host(&decoder.embedding)?) },
            embedding_scale: if names.scaled_embeddings { (config.hidden as f64).sqrt() as f32 } else { 1.0 },
            position_embedding: decoder.position_embedding.as_ref().map(host).transpose()?,
            blocks: blocks.collect::<Result<_>>()?,
            final_norm: RowNorm::new(&decoder.final_norm)?,
            head: Matrix::stacked(level, &[(decoder.head.shallow_clone(), None)])?,
            global_rope: rope(&decoder.global_rope)?,
            local_rope: rope(&decoder.local_rope)?,
            config: config.clone(),
        }))
    }

    /// A cache that goes on from a prompt, with room for `more` tokens of each row.
    pub(crate) fn cache(&self, prompt: &KvCache, more: usize) -> Result<PackedCache> {
        PackedCache::new(&self.config, prompt, more)
    }

    /// The next token of every row of the cache → its final hidden states, `[rows, hidden]`. Ids must be of the vocabulary.
    pub(crate) fn step(&self, ids: &[i64], cache: &mut PackedCache) -> Vec<f32> {
        // Inside the pool from start to end: going in and out for each product would cost more than the product.
        rayon::scope(|_| self.step_in_pool(ids, cache))
    }

    fn step_in_pool(&self, ids: &[i64], cache: &mut PackedCache) -> Vec<f32> {
        let hidden = self.config.hidden as usize;
        let mut x = Vec::with_capacity(ids.len() * hidden);
        for (row, &id) in ids.iter().enumerate() {
            let id = id as usize;
            let scale = self.embedding_scale;
            match &self.embedding {
                Some(table) => x.extend(table[id * hidden..][..hidden].iter().map(|value| value * scale)),
                None => x.extend(self.head.weights_of(id).map(|value| value * scale)),
            }
            if let Some(table) = &self.position_embedding {
                let position = &table[cache.length(row) * hidden..][..hidden];
                x[row * hidden..].iter_mut().zip(position).for_each(|(value, position)| *value += position);
            }
        }
        let turns = |rope: &Option<Frequencies>| {
            let rope = rope.iter();
            rope.flat_map(|rope| (0..ids.len()).map(|row| rope.at(cache.length(row)))).collect()
        };
        let turns = Turns { global: turns(&self.global_rope), local: turns(&self.local_rope) };
        for (index, block) in self.blocks.iter().enumerate() {
            block.step(self.level, index, &mut x, &turns, cache);
        }
        cache.advance();
        self.final_norm.apply(self.level, &mut x);
        x
    }

    /// Scores of every token of the vocabulary. **Shapes** `[rows, hidden] → [rows, vocab]`.
    pub(crate) fn logits(&self, hidden: &[f32]) -> Vec<f32> {
        let mut logits = rayon::scope(|_| self.head.multiply(hidden));
        if let Some(cap) = self.config.logit_softcap {
            let cap = cap as f32;
            logits.iter_mut().for_each(|logit| *logit = (*logit / cap).tanh() * cap);
        }
        logits
    }
}
