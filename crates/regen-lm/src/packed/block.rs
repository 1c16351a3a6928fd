//! One block of the packed decoder.
//!
//! Many tokens are shared out among the cores, and what stands between two products of a token is done where the token is; of few
//! tokens, such as those of a decoding step, all cores compute each product together. In both, cores own the key heads of a row
//! while they attend, and write their keys and values.

use std::ops::Range;

use rayon::prelude::*;
use regen_kernel::{Attention, Level, Matrix, RowNorm, Scratch, Sight, Spare, Strided, add};

use super::cache::PackedCache;
use super::held::Rows;
use super::memory::{Memory, Part, room};
use super::rows::{Angles, Attend, Turns};
use super::weights::{Host, Packing, kernel, row_norm};
use crate::config::DecoderConfig;
use crate::error::Result;
use crate::layers::{Block, MlpInto, Qkv};

/// Multiplications of attention below which one core does it alone.
const WORTH_SHARING: usize = 30_000;

/// Tokens from which cores get tokens of their own rather than panels.
const TOKENS_A_CORE: usize = 24;

/// Most tokens that a core computes at a time: the wide part of so many stays in its cache.
const TOKENS_AT_ONCE: usize = 64;

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

/// Whose states go on after a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Those of all tokens.
    All,
    /// Those of the last token of each row, where it has one.
    Last,
    /// None: only keys and values are.
    Nothing,
}

impl Wanted {
    /// Which of `count` tokens of a row.
    fn of(self, count: usize) -> Range<usize> {
        match self {
            Self::All => 0..count,
            Self::Last => count.saturating_sub(1)..count,
            Self::Nothing => count..count,
        }
    }
}

/// What a core does with the queries that share a key head of a row.
struct Task<'a> {
    kv: usize,
    /// The first of the new tokens among all.
    start: usize,
    /// Tokens before, and new ones.
    length: usize,
    count: usize,
    /// `[capacity, head_dim]` each.
    keys: Rows<'a>,
    values: Rows<'a>,
    /// `[wanted tokens, group, head_dim]`.
    out: &'a mut [f32],
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

    /// Adds both branches to the tokens of the residual stream, and their keys and values to the cache. `x: [tokens, hidden]`
    /// becomes the states of the wanted tokens.
    pub(super) fn forward(
        &self,
        level: Level,
        index: usize,
        x: &mut Vec<f32>,
        tokens: &Tokens<'_>,
        wanted: Wanted,
        (cache, memory): (&mut PackedCache, &mut Memory),
    ) {
        self.project(level, x, memory);
        self.attend(level, index, tokens, wanted, cache, memory);
        let hidden = self.qkv.inputs();
        if wanted != Wanted::All {
            let mut start = 0;
            let mut kept = Vec::with_capacity(tokens.counts.len() * hidden);
            for count in tokens.counts {
                let own = wanted.of(*count);
                kept.extend_from_slice(&x[(start + own.start) * hidden..(start + own.end) * hidden]);
                start += count;
            }
            *x = kept;
        }
        let counts: Vec<usize> = tokens.counts.iter().map(|count| wanted.of(*count).len()).collect();
        self.finish(level, x, &counts, memory);
    }

    /// Queries, keys and values of all tokens.
    fn project(&self, level: Level, x: &[f32], memory: &mut Memory) {
        let Memory { normed, projected, products, parts, .. } = memory;
        let (hidden, width) = (self.qkv.inputs(), self.width());
        let tokens = x.len() / hidden;
        let projected = room(projected, tokens * width);
        let Some(share) = share(tokens) else {
            self.attention_norm.apply_to(level, x, normed);
            self.qkv.multiply_shared(normed, projected, products);
            return;
        };
        x.par_chunks(share * hidden).zip(projected.par_chunks_mut(share * width)).for_each(|(x, out)| {
            parts.with(|Part { normed, products, .. }| {
                self.attention_norm.apply_to(level, x, normed);
                self.qkv.multiply(normed, out, products);
            });
        });
    }

    /// What follows attention, for as many tokens of each row as `counts` says.
    fn finish(&self, level: Level, x: &mut [f32], counts: &[usize], memory: &mut Memory) {
        let Memory { normed, mixed, joined, inner, branch, products, parts, .. } = memory;
        let (hidden, queries) = (self.qkv.inputs(), self.heads * self.head_dim);
        let tokens = x.len() / hidden;
        let mixed = &mixed[..tokens * queries];
        let Some(share) = share(tokens) else {
            // Of single tokens the heads stand side by side already.
            let read = if counts.iter().all(|&count| count <= 1) {
                mixed
            } else {
                let joined = room(joined, mixed.len());
                self.join(mixed, counts, 0, joined);
                joined
            };
            self.add_branches(level, read, x, [normed, inner, branch], Cores::All(products));
            return;
        };
        x.par_chunks_mut(share * hidden).enumerate().for_each(|(piece, x)| {
            parts.with(|Part { normed, joined, inner, branch, products, .. }| {
                let tokens = x.len() / hidden;
                let joined = room(joined, tokens * queries);
                self.join(mixed, counts, piece * share, joined);
                self.add_branches(level, joined, x, [normed, inner, branch], Cores::This(products));
            });
        });
    }

    /// Adds what attention `read` to the state `x`, then what the MLP makes of that.
    fn add_branches(
        &self,
        level: Level,
        read: &[f32],
        x: &mut [f32],
        [normed, inner, branch]: [&mut Vec<f32>; 3],
        mut cores: Cores<'_>,
    ) {
        add_branch(level, &self.output, self.after_attention.as_ref(), read, x, branch, &mut cores);
        self.mlp_norm.apply_to(level, x, normed);
        let inner = room(inner, x.len() / self.qkv.inputs() * self.into.outputs());
        cores.multiply(&self.into, normed, inner);
        add_branch(level, &self.down, self.after_mlp.as_ref(), inner, x, branch, &mut cores);
    }

    /// What [`attend`](Self::attend) made of each key head, side by side for the tokens from `first` on.
    ///
    /// **Shapes** `out: [tokens, heads · head_dim]`.
    fn join(&self, mixed: &[f32], counts: &[usize], first: usize, out: &mut [f32]) {
        let (queries, group) = (self.heads * self.head_dim, self.group());
        let places = counts.iter().scan(0, |next, &count| {
            let start = *next;
            *next += count;
            Some((start, count))
        });
        let places = places.flat_map(|(start, count)| (0..count).map(move |place| (start, count, place)));
        for ((start, count, place), out) in places.skip(first).zip(out.chunks_exact_mut(queries)) {
            let own = &mixed[start * queries..][..count * queries];
            for (kv, out) in out.chunks_exact_mut(group).enumerate() {
                out.copy_from_slice(&own[(kv * count + place) * group..][..group]);
            }
        }
    }

    /// Queries, keys and values of one token.
    fn width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// Numbers of the queries that share a key head.
    fn group(&self) -> usize {
        self.heads / self.kv_heads * self.head_dim
    }

    /// Writes keys and values of all tokens, and lets the wanted ones attend.
    fn attend(
        &self,
        level: Level,
        index: usize,
        tokens: &Tokens<'_>,
        wanted: Wanted,
        cache: &mut PackedCache,
        memory: &mut Memory,
    ) {
        let Memory { projected, mixed, parts, .. } = memory;
        let group = self.group();
        let asked: usize = tokens.counts.iter().map(|count| wanted.of(*count).len()).sum();
        let mut rest = room(mixed, asked * self.heads * self.head_dim);
        let lengths: Vec<usize> = (0..cache.rows()).map(|row| cache.length(row)).collect();
        let places = (0..cache.rows()).flat_map(|row| (0..self.kv_heads).map(move |kv| (row, kv)));
        let mut tasks = Vec::with_capacity(cache.rows() * self.kv_heads);
        let (mut start, mut most) = (0, 0);
        for ((row, kv), (keys, values)) in places.zip(cache.heads(index)) {
            let (length, count) = (lengths[row], tokens.counts[row]);
            let own = wanted.of(count).len();
            let (out, after) = std::mem::take(&mut rest).split_at_mut(own * group);
            rest = after;
            tasks.push(Task { kv, start, length, count, keys, values, out });
            most = most.max((own + 1) * (length + count) * group);
            start += if kv + 1 == self.kv_heads { count } else { 0 };
        }
        let turns = if self.local_rope { &tokens.turns.local } else { &tokens.turns.global };
        let projected = &projected[..];
        let one =
            |task: Task<'_>| parts.with(|part| self.attend_one(level, task, wanted, projected, turns, part));
        let least = (WORTH_SHARING / most.max(1)).max(1);
        if least >= tasks.len() {
            tasks.into_iter().for_each(one);
        } else {
            tasks.into_par_iter().with_min_len(least).for_each(one);
        }
    }

    fn attend_one(
        &self,
        level: Level,
        task: Task<'_>,
        wanted: Wanted,
        projected: &[f32],
        turns: &Angles,
        part: &mut Part,
    ) {
        let Task { kv, start, length, count, mut keys, mut values, out } = task;
        let (dim, group, width) = (self.head_dim, self.group(), self.width());
        let (of_keys, of_values) =
            (self.heads * dim + kv * dim, (self.heads + self.kv_heads) * dim + kv * dim);
        let norms = self.head_norms.as_ref();
        let row = |place: usize| &projected[(start + place) * width..][..width];
        for place in 0..count {
            let key = room(&mut part.keys, dim);
            key.copy_from_slice(&row(place)[of_keys..][..dim]);
            if let Some((_, norm)) = norms {
                norm.apply(level, key);
            }
            turns.turn(level, start + place, key, dim);
            keys.put((length + place) * dim, key);
            values.put((length + place) * dim, &row(place)[of_values..][..dim]);
        }
        let asked = wanted.of(count);
        let queries = room(&mut part.queries, asked.len() * group);
        for (place, query) in asked.clone().zip(queries.chunks_exact_mut(group)) {
            query.copy_from_slice(&row(place)[kv * group..][..group]);
            if let Some((norm, _)) = norms {
                norm.apply(level, query);
            }
            turns.turn(level, start + place, query, dim);
        }
        let end = length + count;
        if asked.len() == 1 {
            let first = self.window.map_or(0, |window| end.saturating_sub(window));
            let seen = first * dim..end * dim;
            level.run(Attend {
                queries,
                keys: keys.read(seen.clone(), &mut part.keys),
                values: values.read(seen, &mut part.values),
                head_dim: dim,
                scale: self.scale,
                softcap: self.softcap,
                scores: &mut part.scores,
                out,
            });
        } else if !asked.is_empty() {
            let how = Attention {
                head_dim: dim,
                scale: self.scale,
                softcap: self.softcap,
                sight: Sight::causal(self.window),
            };
            let of_head = |rows| Strided { rows, stride: dim };
            let keys = keys.read(0..end * dim, &mut part.keys);
            let values = values.read(0..end * dim, &mut part.values);
            how.read(of_head(keys), of_head(values), end, &mut part.attention);
            for head in (0..group).step_by(dim) {
                let own = Strided { rows: &queries[head..], stride: group };
                let to = (&mut out[head..], group);
                how.attend(level, own, (length + asked.start, asked.len()), None, to, &mut part.attention);
            }
        }
    }
}

/// How many tokens a core computes at a time; `None` where they are too few to be shared out.
fn share(tokens: usize) -> Option<usize> {
    let threads = rayon::current_num_threads();
    if tokens < threads * TOKENS_A_CORE {
        return None;
    }
    // Some pieces for each core, so that none waits long for another that was kept busy, and the same number for all.
    let most = tokens.div_ceil(4 * threads).clamp(TOKENS_A_CORE, TOKENS_AT_ONCE);
    let pieces = tokens.div_ceil(most).next_multiple_of(threads);
    Some(tokens.div_ceil(pieces))
}

/// Who computes a product.
enum Cores<'a> {
    This(&'a mut Scratch),
    All(&'a Spare<Scratch>),
}

impl Cores<'_> {
    fn multiply(&mut self, matrix: &Matrix, x: &[f32], out: &mut [f32]) {
        match self {
            Self::This(scratch) => matrix.multiply(x, out, scratch),
            Self::All(scratch) => matrix.multiply_shared(x, out, scratch),
        }
    }

    fn multiply_add(&mut self, matrix: &Matrix, x: &[f32], out: &mut [f32]) {
        match self {
            Self::This(scratch) => matrix.multiply_add(x, out, scratch),
            Self::All(scratch) => matrix.multiply_add_shared(x, out, scratch),
        }
    }
}

/// Adds the end of a branch to the state.
fn add_branch(
    level: Level,
    last: &Matrix,
    norm: Option<&RowNorm>,
    x: &[f32],
    state: &mut [f32],
    branch: &mut Vec<f32>,
    cores: &mut Cores<'_>,
) {
    match norm {
        None => cores.multiply_add(last, x, state),
        Some(norm) => {
            let branch = room(branch, state.len());
            cores.multiply(last, x, branch);
            norm.apply(level, branch);
            add(state, branch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_shared_out_evenly_and_few_are_not() {
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for tokens in [0, 1, 23, 24, 47, 48, 64, 100, 512, 1000, 1024, 5000] {
                let Some(share) = pool.install(|| share(tokens)) else {
                    assert!(tokens < threads * TOKENS_A_CORE, "{tokens} of {threads}");
                    continue;
                };
                assert!(tokens >= threads * TOKENS_A_CORE && (1..=TOKENS_AT_ONCE).contains(&share));
                let (pieces, last) = (tokens.div_ceil(share), tokens - (tokens - 1) / share * share);
                // What is left over for the last piece may be less, by as many tokens as there are pieces.
                assert!(last + pieces >= share, "{tokens} of {threads}: {pieces} of {share}, {last}");
                assert!(pieces >= threads, "{tokens} of {threads}: {pieces}");
            }
        }
    }
}
