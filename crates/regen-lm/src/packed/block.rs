//! One block of the packed decoder.

use rayon::prelude::*;
use regen_kernel::{Attention, AttentionScratch, Level, Matrix, RowNorm, Sight, Strided, add};

use super::cache::PackedCache;
use super::rows::{Attend, Turn, Turns};
use super::weights::{Host, Packing, kernel, row_norm};
use crate::config::DecoderConfig;
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

/// The tokens that a pass reads: some of each row of the cache, row after row.
pub(super) struct Tokens<'a> {
    /// How many of each row.
    pub(super) counts: &'a [usize],
    /// The rotation of each token.
    pub(super) turns: &'a Turns,
}

impl PackedBlock {
    pub(super) fn new(packing: Packing, config: &DecoderConfig, block: &Block) -> Result<Self> {
        let Block { attention, mlp, .. } = block;
        let qkv = match &attention.qkv {
            Qkv::Separate { query, key, value } => vec![query.dense()?, key.dense()?, value.dense()?],
            Qkv::Fused(fused) => vec![fused.dense()?],
        };
        let into = match &mlp.into {
            MlpInto::Gated { gate, up } => {
                let (gate, up) = (Host::new(&gate.dense()?)?, Host::new(&up.dense()?)?);
                packing.gated(gate.linear(), up.linear(), mlp.activation)
            }
            MlpInto::GatedFused(fused) => {
                let fused = Host::new(&fused.dense()?)?;
                let both = fused.linear();
                let width = both.outputs / 2;
                packing.gated(both.rows(0, width), both.rows(width, width), mlp.activation)
            }
            MlpInto::Plain(plain) => {
                packing.stacked(&[plain.dense()?])?.with_activation(kernel(mlp.activation))
            }
        };
        let norms = attention.head_norms.as_ref();
        Ok(Self {
            attention_norm: row_norm(&block.attention_norm)?,
            qkv: packing.stacked(&qkv)?,
            head_norms: norms
                .map(|(query, key)| Ok::<_, crate::Error>((row_norm(query)?, row_norm(key)?)))
                .transpose()?,
            output: packing.stacked(&[attention.output.dense()?])?,
            after_attention: block.after_attention.as_ref().map(row_norm).transpose()?,
            mlp_norm: row_norm(&block.mlp_norm)?,
            into,
            down: packing.stacked(&[mlp.down.dense()?])?,
            after_mlp: block.after_mlp.as_ref().map(row_norm).transpose()?,
            heads: config.heads as usize,
            kv_heads: config.kv_heads as usize,
            head_dim: config.head_dim as usize,
            scale: config.query_scale as f32,
            softcap: config.attention_softcap.map(|cap| cap as f32),
            window: config.window.filter(|_| block.windowed).map(|window| window as usize),
            local_rope: block.local_rope,
        })
    }

    /// Bytes of the packed weights.
    pub(super) fn bytes(&self) -> usize {
        [&self.qkv, &self.output, &self.into, &self.down].iter().map(|matrix| matrix.bytes()).sum()
    }

    /// Adds both branches to the tokens of the residual stream, `x: [tokens, hidden]`, and their keys and values to the cache.
    pub(super) fn forward(
        &self,
        level: Level,
        index: usize,
        x: &mut [f32],
        tokens: &Tokens<'_>,
        cache: &mut PackedCache,
    ) {
        let mut normed = Vec::new();
        self.attention_norm.apply_to(level, x, &mut normed);
        let mixed = self.attend(level, index, &normed, tokens, cache);
        let mut branch = self.output.multiply_shared(&mixed);
        if let Some(norm) = &self.after_attention {
            norm.apply(level, &mut branch);
        }
        add(x, &branch);
        self.mlp_norm.apply_to(level, x, &mut normed);
        let inner = self.into.multiply_shared(&normed);
        let mut branch = self.down.multiply_shared(&inner);
        if let Some(norm) = &self.after_mlp {
            norm.apply(level, &mut branch);
        }
        add(x, &branch);
    }

    /// **Shapes** `normed: [tokens, hidden] → [tokens, heads · head_dim]`.
    fn attend(
        &self,
        level: Level,
        index: usize,
        normed: &[f32],
        tokens: &Tokens<'_>,
        cache: &mut PackedCache,
    ) -> Vec<f32> {
        let mut projected = self.qkv.multiply_shared(normed);
        let turns = if self.local_rope { &tokens.turns.local } else { &tokens.turns.global };
        let width = self.width();
        let mut token = 0;
        for (row, &count) in tokens.counts.iter().enumerate() {
            for place in 0..count {
                let own = &mut projected[token * width..][..width];
                let (key, value) = self.prepare(level, own, turns.get(token));
                cache.write(index, row, place, key, value);
                token += 1;
            }
        }
        if tokens.counts.iter().all(|&count| count == 1) {
            self.attend_each(level, index, &projected, cache)
        } else {
            self.attend_many(level, index, &projected, tokens.counts, cache)
        }
    }

    /// Queries, keys and values of one token.
    fn width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// Norms and turns a token's queries and keys; gives its keys and values.
    fn prepare<'a>(&self, level: Level, own: &'a mut [f32], turn: Option<&Turn>) -> (&'a [f32], &'a [f32]) {
        let (query, rest) = own.split_at_mut(self.heads * self.head_dim);
        let (key, value) = rest.split_at_mut(self.kv_heads * self.head_dim);
        if let Some((query_norm, key_norm)) = &self.head_norms {
            query_norm.apply(level, query);
            key_norm.apply(level, key);
        }
        if let Some(turn) = turn {
            turn.apply(query, self.head_dim);
            turn.apply(key, self.head_dim);
        }
        (key, value)
    }

    /// One token a row.
    fn attend_each(&self, level: Level, index: usize, projected: &[f32], cache: &PackedCache) -> Vec<f32> {
        let group = self.heads / self.kv_heads * self.head_dim;
        let mut mixed = vec![0.0; cache.rows() * self.heads * self.head_dim];
        let one = |(place, out): (usize, &mut [f32])| {
            let (row, head) = (place / self.kv_heads, place % self.kv_heads);
            let start = row * self.width() + head * group;
            let (keys, values) = cache.seen(index, row, head, self.window);
            level.run(Attend {
                queries: &projected[start..start + group],
                keys,
                values,
                head_dim: self.head_dim,
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

    /// Several tokens a row, as a prompt has: cores own the heads of a row.
    fn attend_many(
        &self,
        level: Level,
        index: usize,
        projected: &[f32],
        counts: &[usize],
        cache: &PackedCache,
    ) -> Vec<f32> {
        let dim = self.head_dim;
        let (width, queries) = (self.width(), self.heads * dim);
        let shared = self.heads / self.kv_heads;
        let how = Attention {
            head_dim: dim,
            scale: self.scale,
            softcap: self.softcap,
            sight: Sight::causal(self.window),
        };
        let starts: Vec<usize> = counts
            .iter()
            .scan(0, |next, count| {
                let start = *next;
                *next += count;
                Some(start)
            })
            .collect();
        let one = |scratch: &mut AttentionScratch, place: usize| {
            let (row, kv) = (place / self.kv_heads, place % self.kv_heads);
            let (first, count) = (cache.length(row), counts[row]);
            let mut out = vec![0.0; count * shared * dim];
            if count == 0 {
                return out;
            }
            let (keys, values) = cache.head(index, row, kv);
            let of_head = |rows| Strided { rows, stride: dim };
            how.read(of_head(keys), of_head(values), first + count, scratch);
            for head in 0..shared {
                let from = starts[row] * width + (kv * shared + head) * dim;
                let own = Strided { rows: &projected[from..], stride: width };
                let to = (&mut out[head * dim..], shared * dim);
                how.attend(level, own, (first, count), None, to, scratch);
            }
            out
        };
        let places = 0..counts.len() * self.kv_heads;
        let parts: Vec<Vec<f32>> = places.into_par_iter().map_init(AttentionScratch::default, one).collect();
        let mut mixed = vec![0.0; projected.len() / width * queries];
        for (place, part) in parts.iter().enumerate() {
            let (row, kv) = (place / self.kv_heads, place % self.kv_heads);
            for (token, heads) in part.chunks_exact(shared * dim).enumerate() {
                let to = (starts[row] + token) * queries + kv * shared * dim;
                mixed[to..to + shared * dim].copy_from_slice(heads);
            }
        }
        mixed
    }
}
