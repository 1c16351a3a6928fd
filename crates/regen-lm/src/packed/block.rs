//! One block of the packed decoder.

use rayon::prelude::*;

use super::cache::PackedCache;
use super::lanes::Level;
use super::matrix::{Matrix, activate};
use super::rows::{Attend, RowNorm, Turns};
use crate::config::{Activation, DecoderConfig};
use crate::error::Result;
use crate::layers::{Block, MlpInto, Qkv};

/// Multiplications of attention below which one core does it alone.
const WORTH_SHARING: usize = 30_000;

/// See `layers/block.rs`, `attention.rs` and `mlp.rs`: the same arithmetic.
#[derive(Debug)]
pub(super) struct PackedBlock {
    attention_norm: RowNorm,
    /// Queries, keys and values in one product.
    qkv: Matrix,
    head_norms: Option<(RowNorm, RowNorm)>,
    output: Matrix,
    after_attention: Option<RowNorm>,
    mlp_norm: RowNorm,
    into: Matrix,
    /// Of a feed-forward part without a gate.
    activation: Option<Activation>,
    down: Matrix,
    after_mlp: Option<RowNorm>,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    scale: f32,
    softcap: Option<f32>,
    window: Option<usize>,
    local_rope: bool,
}

impl PackedBlock {
    pub(super) fn new(level: Level, config: &DecoderConfig, block: &Block) -> Result<Self> {
        let Block { attention, mlp, .. } = block;
        let qkv = match &attention.qkv {
            Qkv::Separate { query, key, value } => vec![query.dense()?, key.dense()?, value.dense()?],
            Qkv::Fused(fused) => vec![fused.dense()?],
        };
        let (into, activation) = match &mlp.into {
            MlpInto::Gated { gate, up } => {
                (Matrix::gated(level, &gate.dense()?, &up.dense()?, mlp.activation)?, None)
            }
            MlpInto::GatedFused(fused) => {
                let (weight, bias) = fused.dense()?;
                let width = weight.size()[0] / 2;
                let half = |start| -> Result<_> {
                    let bias = bias.as_ref().map(|bias| bias.f_narrow(0, start, width)).transpose()?;
                    Ok((weight.f_narrow(0, start, width)?, bias))
                };
                (Matrix::gated(level, &half(0)?, &half(width)?, mlp.activation)?, None)
            }
            MlpInto::Plain(plain) => (Matrix::stacked(level, &[plain.dense()?])?, Some(mlp.activation)),
        };
        let norms = attention.head_norms.as_ref();
        Ok(Self {
            attention_norm: RowNorm::new(&block.attention_norm)?,
            qkv: Matrix::stacked(level, &qkv)?,
            head_norms: norms
                .map(|(query, key)| Ok::<_, crate::Error>((RowNorm::new(query)?, RowNorm::new(key)?)))
                .transpose()?,
            output: Matrix::stacked(level, &[attention.output.dense()?])?,
            after_attention: block.after_attention.as_ref().map(RowNorm::new).transpose()?,
            mlp_norm: RowNorm::new(&block.mlp_norm)?,
            into,
            activation,
            down: Matrix::stacked(level, &[mlp.down.dense()?])?,
            after_mlp: block.after_mlp.as_ref().map(RowNorm::new).transpose()?,
            heads: config.heads as usize,
            kv_heads: config.kv_heads as usize,
            head_dim: config.head_dim as usize,
            scale: config.query_scale as f32,
            softcap: config.attention_softcap.map(|cap| cap as f32),
            window: config.window.filter(|_| block.windowed).map(|window| window as usize),
            local_rope: block.local_rope,
        })
    }

    /// Adds both branches to the rows of the residual stream, `x: [rows, hidden]`.
    pub(super) fn step(
        &self,
        level: Level,
        index: usize,
        x: &mut [f32],
        turns: &Turns,
        cache: &mut PackedCache,
    ) {
        let mut normed = x.to_vec();
        self.attention_norm.apply(level, &mut normed);
        let mixed = self.attend(level, index, &normed, turns, cache);
        let mut branch = self.output.multiply(&mixed);
        if let Some(norm) = &self.after_attention {
            norm.apply(level, &mut branch);
        }
        add(x, &branch);
        normed.copy_from_slice(x);
        self.mlp_norm.apply(level, &mut normed);
        let mut inner = self.into.multiply(&normed);
        if let Some(activation) = self.activation {
            activate(level, activation, &mut inner);
        }
        let mut branch = self.down.multiply(&inner);
        if let Some(norm) = &self.after_mlp {
            norm.apply(level, &mut branch);
        }
        add(x, &branch);
    }

    /// **Shapes** `normed: [rows, hidden] → [rows, heads · head_dim]`.
    fn attend(
        &self,
        level: Level,
        index: usize,
        normed: &[f32],
        turns: &Turns,
        cache: &mut PackedCache,
    ) -> Vec<f32> {
        let head_dim = self.head_dim;
        let (queries, keys) = (self.heads * head_dim, self.kv_heads * head_dim);
        let turns = if self.local_rope { &turns.local } else { &turns.global };
        let mut projected = self.qkv.multiply(normed);
        for (row, projected) in projected.chunks_exact_mut(queries + 2 * keys).enumerate() {
            let (query, rest) = projected.split_at_mut(queries);
            let (key, value) = rest.split_at_mut(keys);
            if let Some((query_norm, key_norm)) = &self.head_norms {
                query_norm.apply(level, query);
                key_norm.apply(level, key);
            }
            if let Some(turn) = turns.get(row) {
                turn.apply(query, head_dim);
                turn.apply(key, head_dim);
            }
            cache.write(index, row, key, value);
        }
        let group = self.heads / self.kv_heads * head_dim;
        let cache = &*cache;
        let mut mixed = vec![0.0; cache.rows() * queries];
        let one = |(place, out): (usize, &mut [f32])| {
            let (row, head) = (place / self.kv_heads, place % self.kv_heads);
            let start = row * (queries + 2 * keys) + head * group;
            let (keys, values) = cache.seen(index, row, head, self.window);
            level.run(Attend {
                queries: &projected[start..start + group],
                keys,
                values,
                head_dim,
                scale: self.scale,
                softcap: self.softcap,
                out,
            });
        };
        let longest = (0..cache.rows()).map(|row| cache.length(row) + 1).max().unwrap_or(0);
        let each = 2 * longest * group;
        let least = (WORTH_SHARING / each.max(1)).max(1);
        if least >= cache.rows() * self.kv_heads {
            mixed.chunks_exact_mut(group).enumerate().for_each(one);
        } else {
            mixed.par_chunks_exact_mut(group).enumerate().with_min_len(least).for_each(one);
        }
        mixed
    }
}

fn add(x: &mut [f32], branch: &[f32]) {
    x.iter_mut().zip(branch).for_each(|(x, branch)| *x += branch);
}
