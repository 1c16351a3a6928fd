//! One block on the way back.

use rayon::prelude::*;
use regen_kernel::{Strided, turn_with};

use super::block::{BlockKernels, Kept, NormSums, norm_back, norm_moves};
use super::layout::{Pass, Scratch, fit, pieces, views};
use super::stack::{GradientMemory, any_moves};
use crate::error::Result;
use crate::layers::Block;

/// Memory of the way back that all blocks use in turn. Tokens row after row.
#[derive(Debug)]
pub(super) struct BackMemory {
    pub(super) weights: GradientMemory,
    pub(super) norms: NormSums,
    /// The gradients of the two branches, `[tokens, hidden]`.
    branch: Vec<f32>,
    attention_branch: Vec<f32>,
    /// What the branch's last product multiplied, `[tokens, wide]`.
    inner: Vec<f32>,
    /// What its first product multiplied, `[tokens, hidden]`.
    normed: Vec<f32>,
    /// The gradients of what attention gave and of what it read.
    mixed: Vec<f32>,
    qkv: Vec<f32>,
    /// As cores own them: row after row, of each one group of heads after another, `[count, queries then key then value]`.
    heads: Vec<f32>,
}

impl BackMemory {
    pub(super) fn new(weights: GradientMemory) -> Self {
        let [branch, attention_branch, inner, normed, mixed, qkv, heads] = Default::default();
        let norms = NormSums::default();
        Self { weights, norms, branch, attention_branch, inner, normed, mixed, qkv, heads }
    }
}

impl BlockKernels {
    /// From the gradient of what left the block to that of what entered, in `d`, and of every parameter that moves. Where nothing
    /// below wants a gradient, `d` is left half way.
    ///
    /// **Shapes** `d: [tokens, hidden]`.
    pub(super) fn backward(
        &self,
        block: &Block,
        pass: Pass<'_>,
        kept: &mut Kept,
        memory: &mut BackMemory,
        d: &mut [f32],
        below: bool,
    ) -> Result<()> {
        self.finish_back(block, pass, kept, memory, d)?;
        self.attend_back(pass, kept, memory);
        self.project_back(block, pass, kept, memory, d, below)
    }

    /// Back to what attention gave, with the gradients of the feed-forward part and of the output projection.
    fn finish_back(
        &self,
        block: &Block,
        pass: Pass<'_>,
        kept: &mut Kept,
        memory: &mut BackMemory,
        d: &mut [f32],
    ) -> Result<()> {
        let Pass { level, sizes, layout, spare, .. } = pass;
        let (hidden, tokens) = (sizes.hidden, layout.tokens());
        let mut norms = memory.norms.start(layout.pieces().len(), &[hidden; 3]);
        let mut branches = pieces(fit(&mut memory.branch, tokens * hidden), hidden);
        let mut attention_branches = pieces(fit(&mut memory.attention_branch, tokens * hidden), hidden);
        let mut inners = pieces(fit(&mut memory.inner, tokens * self.wide), self.wide);
        let mut normeds = pieces(fit(&mut memory.normed, tokens * hidden), hidden);
        let mut mixeds = pieces(fit(&mut memory.mixed, tokens * sizes.queries()), sizes.queries());
        let mut intos = pieces(&mut kept.into, self.first_width());
        let mut ds = pieces(d, hidden);
        let mut betweens = views(&kept.between, hidden);
        let mut kept_attention = views(&kept.attention_branch, hidden);
        let mut kept_mlp = views(&kept.mlp_branch, hidden);
        let tasks: Vec<_> = layout
            .pieces()
            .map(|_| {
                let read = [betweens.take(), kept_attention.take(), kept_mlp.take()];
                let write = [
                    branches.take(),
                    attention_branches.take(),
                    inners.take(),
                    normeds.take(),
                    mixeds.take(),
                    intos.take(),
                    ds.take(),
                ];
                (read, write, norms.take())
            })
            .collect();
        tasks.into_par_iter().with_max_len(1).for_each(|(read, write, sums)| {
            let [between, kept_attention, kept_mlp] = read;
            let [branch, attention_branch, inner, normed, mixed, into, d] = write;
            let (mlp_sums, sums) = sums.split_at_mut(2 * hidden);
            let (after_mlp, after_attention) = sums.split_at_mut(2 * hidden);
            let through =
                |norm: &Option<_>, kept: &[f32], d: &[f32], into: &mut [f32], sums: &mut [f32]| match norm {
                    Some(norm) => {
                        into.fill(0.0);
                        norm_back(level, norm, (kept, d), into, sums);
                    }
                    None => into.copy_from_slice(d),
                };
            through(&self.after_mlp, kept_mlp, d, branch, after_mlp);
            spare.with(|Scratch { product, normed: normed_gradient, .. }| {
                self.down.back.multiply(branch, inner, product);
                if self.gated {
                    self.activation.gate_back(level, into, self.wide, inner);
                } else {
                    self.activation.back(level, into, inner);
                }
                let gradient = fit(normed_gradient, d.len());
                self.into.back.multiply(into, gradient, product);
                norm_back(level, &self.mlp_norm, (between, gradient), d, mlp_sums);
                normed.copy_from_slice(between);
                self.mlp_norm.apply(level, normed);
                through(&self.after_attention, kept_attention, d, attention_branch, after_attention);
                self.output.back.multiply(attention_branch, mixed, product);
            });
        });
        let BackMemory { weights, norms, branch, attention_branch, inner, normed, .. } = memory;
        let (after_mlp, after_attention) = (block.after_mlp.as_ref(), block.after_attention.as_ref());
        norms.finish(&[Some(&block.mlp_norm), after_mlp, after_attention])?;
        self.down.gradients(&[&block.mlp.down], inner, branch, weights)?;
        self.into.gradients(&block.mlp.wide_projections(), normed, &kept.into, weights)?;
        self.output.gradients(&[&block.attention.output], &kept.mixed, attention_branch, weights)
    }

    /// Back through attention.
    fn attend_back(&self, pass: Pass<'_>, kept: &Kept, memory: &mut BackMemory) {
        let Pass { level, sizes, layout, spare, .. } = pass;
        let (width, dim, group) = (sizes.width(), sizes.head_dim, sizes.group());
        let own = (group + 2) * dim;
        let mut rest = fit(&mut memory.heads, layout.tokens() * own * sizes.kv_heads);
        let mut rest_of_logs = kept.logs.as_slice();
        let mut tasks = Vec::new();
        for (row, count) in layout.counts.iter().enumerate() {
            for kv in 0..sizes.kv_heads {
                let (out, after) = rest.split_at_mut(count * own);
                let (logs, after_logs) = rest_of_logs.split_at(count * group);
                (rest, rest_of_logs) = (after, after_logs);
                if *count > 0 {
                    tasks.push((layout.starts[row], *count, kv, out, logs));
                }
            }
        }
        let (qkv, mixed, gradient) = (&kept.qkv, &kept.mixed, &memory.mixed);
        tasks.into_par_iter().with_max_len(1).for_each(|(start, count, kv, out, logs)| {
            let of = |first: usize| Strided { rows: &qkv[start * width + first..], stride: width };
            let key = sizes.queries() + kv * dim;
            spare.with(|Scratch { attention_back: scratch, .. }| {
                self.how.read_back(of(key), of(key + sizes.keys()), count, scratch);
                for head in 0..group {
                    let first = (kv * group + head) * dim;
                    let stride = sizes.queries();
                    let [result, gradient] =
                        [mixed, gradient].map(|all| Strided { rows: &all[start * stride + first..], stride });
                    let logs = &logs[head * count..][..count];
                    let into = (&mut out[head * dim..], own);
                    self.how.attend_back(level, of(first), result, gradient, logs, into, scratch);
                }
                self.how.take_back((&mut out[group * dim..], own), scratch);
            });
        });
    }

    /// Back to what entered, with the gradients of queries, keys and values.
    fn project_back(
        &self,
        block: &Block,
        pass: Pass<'_>,
        kept: &Kept,
        memory: &mut BackMemory,
        d: &mut [f32],
        below: bool,
    ) -> Result<()> {
        let Pass { level, sizes, layout, turns, spare } = pass;
        let (hidden, tokens, width) = (sizes.hidden, layout.tokens(), sizes.width());
        let through = below || norm_moves(&block.attention_norm);
        let members = block.attention.head_projections();
        let again = any_moves(&members);
        let mut norms = memory.norms.start(layout.pieces().len(), &[hidden, sizes.head_dim, sizes.head_dim]);
        let heads = &memory.heads;
        let mut qkvs = pieces(fit(&mut memory.qkv, tokens * width), width);
        let mut normeds = pieces(fit(&mut memory.normed, tokens * hidden), hidden);
        let mut ds = pieces(d, hidden);
        let mut xs = views(&kept.x, hidden);
        let mut raws = views(&kept.raw, width);
        let tasks: Vec<_> = layout
            .pieces()
            .map(|places| {
                let write = [qkvs.take(), normeds.take(), ds.take(), norms.take()];
                (places, xs.take(), raws.take(), write)
            })
            .collect();
        tasks.into_par_iter().with_max_len(1).for_each(|(places, x, raw, [qkv, normed, d, sums])| {
            let (own_sums, head_sums) = sums.split_at_mut(2 * hidden);
            for (token, place) in places.iter().enumerate() {
                let qkv = &mut qkv[token * width..][..width];
                pass.collect_back(heads, *place, qkv);
                let (queries, rest) = qkv.split_at_mut(sizes.queries());
                let keys = &mut rest[..sizes.keys()];
                if let Some(turn) = turns.at(place.1) {
                    turn_with(level, queries, sizes.head_dim, turn, true);
                    turn_with(level, keys, sizes.head_dim, turn, true);
                }
                if let Some((query_norm, key_norm)) = &self.head_norms {
                    let raw = &raw[token * width..][..width];
                    let (query_sums, key_sums) = head_sums.split_at_mut(2 * sizes.head_dim);
                    spare.with(|Scratch { branch, .. }| {
                        let mut back = |norm, raw: &[f32], own: &mut [f32], sums: &mut [f32]| {
                            branch.clear();
                            branch.resize(own.len(), 0.0);
                            norm_back(level, norm, (raw, own), branch, sums);
                            own.copy_from_slice(branch);
                        };
                        back(query_norm, &raw[..sizes.queries()], queries, query_sums);
                        back(key_norm, &raw[sizes.queries()..][..sizes.keys()], keys, key_sums);
                    });
                }
            }
            if through {
                spare.with(|Scratch { product, normed: gradient, .. }| {
                    let gradient = fit(gradient, d.len());
                    self.qkv.back.multiply(qkv, gradient, product);
                    norm_back(level, &self.attention_norm, (x, gradient), d, own_sums);
                });
            }
            if again {
                normed.copy_from_slice(x);
                self.attention_norm.apply(level, normed);
            }
        });
        let (query, key) = block.attention.head_norms.as_ref().map(|(query, key)| (query, key)).unzip();
        memory.norms.finish(&[through.then_some(&block.attention_norm), query, key])?;
        self.qkv.gradients(&members, &memory.normed, &memory.qkv, &mut memory.weights)
    }
}

impl Pass<'_> {
    /// The gradients of one token's queries, keys and values, from where its groups of heads left them.
    fn collect_back(self, heads: &[f32], (row, place): (usize, usize), into: &mut [f32]) {
        let sizes = self.sizes;
        let (dim, queries) = (sizes.head_dim, sizes.group() * sizes.head_dim);
        let own = queries + 2 * dim;
        let count = self.layout.counts[row];
        let base = self.layout.starts[row] * own * sizes.kv_heads;
        for kv in 0..sizes.kv_heads {
            let from = &heads[base + (kv * count + place) * own..][..own];
            into[kv * queries..][..queries].copy_from_slice(&from[..queries]);
            into[sizes.queries() + kv * dim..][..dim].copy_from_slice(&from[queries..][..dim]);
            into[sizes.queries() + sizes.keys() + kv * dim..][..dim].copy_from_slice(&from[queries + dim..]);
        }
    }
}
