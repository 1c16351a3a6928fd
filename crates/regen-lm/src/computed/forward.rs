//! One block on the way there.

use rayon::prelude::*;
use regen_kernel::{Strided, add, turn_with};

use super::block::{BlockKernels, Kept};
use super::layout::{Pass, Scratch, fit, pieces, views};

impl BlockKernels {
    /// From what entered the block, in `kept`, to what leaves it. `heads` is room for what attention gives.
    ///
    /// **Shapes** `out: [tokens, hidden]`.
    pub(super) fn forward(&self, pass: Pass<'_>, kept: &mut Kept, heads: &mut Vec<f32>, out: &mut [f32]) {
        self.project(pass, kept);
        self.attend(pass, kept, fit(heads, kept_heads(pass)));
        self.finish(pass, kept, heads, out);
    }

    /// Queries, keys and values.
    fn project(&self, pass: Pass<'_>, kept: &mut Kept) {
        let Pass { level, sizes, layout, turns, spare } = pass;
        let width = sizes.width();
        let mut raws = pieces(&mut kept.raw, width);
        let mut own = pieces(&mut kept.qkv, width);
        let mut xs = views(&kept.x, sizes.hidden);
        let tasks: Vec<_> =
            layout.pieces().map(|places| (places, xs.take(), own.take(), raws.take())).collect();
        tasks.into_par_iter().with_max_len(1).for_each(|(places, x, qkv, raw)| {
            spare.with(|Scratch { product, normed, .. }| {
                self.attention_norm.apply_to(level, x, normed);
                self.qkv.there.multiply(normed, qkv, product);
            });
            if self.head_norms.is_some() {
                raw.copy_from_slice(qkv);
            }
            for (qkv, (_, position)) in qkv.chunks_exact_mut(width).zip(places) {
                let (queries, rest) = qkv.split_at_mut(sizes.queries());
                let keys = &mut rest[..sizes.keys()];
                if let Some((query_norm, key_norm)) = &self.head_norms {
                    query_norm.apply(level, queries);
                    key_norm.apply(level, keys);
                }
                if let Some(turn) = turns.at(*position) {
                    turn_with(level, queries, sizes.head_dim, turn, false);
                    turn_with(level, keys, sizes.head_dim, turn, false);
                }
            }
        });
    }

    /// Cores own the query heads that share a key head, of one row: `heads` holds row after row, and of each one such group after
    /// another, `[count, group · head_dim]`.
    fn attend(&self, pass: Pass<'_>, kept: &mut Kept, heads: &mut [f32]) {
        let Pass { level, sizes, layout, spare, .. } = pass;
        let (width, dim, group) = (sizes.width(), sizes.head_dim, sizes.group());
        let (mut rest, mut rest_of_logs) = (heads, kept.logs.as_mut_slice());
        let mut tasks = Vec::new();
        for (row, count) in layout.counts.iter().enumerate() {
            for kv in 0..sizes.kv_heads {
                let (out, after) = rest.split_at_mut(count * group * dim);
                let (logs, after_logs) = rest_of_logs.split_at_mut(count * group);
                (rest, rest_of_logs) = (after, after_logs);
                if *count > 0 {
                    tasks.push((layout.starts[row], *count, kv, out, logs));
                }
            }
        }
        let qkv = &kept.qkv;
        tasks.into_par_iter().with_max_len(1).for_each(|(start, count, kv, out, logs)| {
            let of = |first: usize| Strided { rows: &qkv[start * width + first..], stride: width };
            let key = sizes.queries() + kv * dim;
            spare.with(|Scratch { attention, .. }| {
                self.how.read(of(key), of(key + sizes.keys()), count, attention);
                for head in 0..group {
                    let queries = of((kv * group + head) * dim);
                    let out = (&mut out[head * dim..], group * dim);
                    let logs = &mut logs[head * count..][..count];
                    self.how.attend_noting(level, queries, (0, count), None, out, Some(logs), attention);
                }
            });
        });
    }

    /// From what attention gave to what leaves the block.
    fn finish(&self, pass: Pass<'_>, kept: &mut Kept, heads: &[f32], out: &mut [f32]) {
        let Pass { level, sizes, layout, spare, .. } = pass;
        let hidden = sizes.hidden;
        let mut mixeds = pieces(&mut kept.mixed, sizes.queries());
        let mut attention_branches = pieces(&mut kept.attention_branch, hidden);
        let mut mlp_branches = pieces(&mut kept.mlp_branch, hidden);
        let mut betweens = pieces(&mut kept.between, hidden);
        let mut intos = pieces(&mut kept.into, self.first_width());
        let mut outs = pieces(out, hidden);
        let mut xs = views(&kept.x, hidden);
        let tasks: Vec<_> = layout
            .pieces()
            .map(|places| {
                let branches = [attention_branches.take(), mlp_branches.take()];
                (places, xs.take(), mixeds.take(), branches, [betweens.take(), intos.take(), outs.take()])
            })
            .collect();
        tasks.into_par_iter().with_max_len(1).for_each(
            |(places, x, mixed, branches, [between, into, out])| {
                let [attention_branch, mlp_branch] = branches;
                for (mixed, (row, place)) in mixed.chunks_exact_mut(sizes.queries()).zip(places) {
                    pass.collect(heads, (*row, *place), mixed);
                }
                spare.with(|Scratch { product, normed, inner, branch, .. }| {
                    let branch = fit(branch, x.len());
                    self.output.there.multiply(mixed, branch, product);
                    if let Some(norm) = &self.after_attention {
                        attention_branch.copy_from_slice(branch);
                        norm.apply(level, branch);
                    }
                    between.copy_from_slice(x);
                    add(between, branch);
                    self.mlp_norm.apply_to(level, between, normed);
                    self.into.there.multiply(normed, into, product);
                    let inner = fit(inner, x.len() / hidden * self.wide);
                    if self.gated {
                        self.activation.gate(level, into, self.wide, inner);
                    } else {
                        inner.copy_from_slice(into);
                        self.activation.apply(level, inner);
                    }
                    self.down.there.multiply(inner, branch, product);
                    if let Some(norm) = &self.after_mlp {
                        mlp_branch.copy_from_slice(branch);
                        norm.apply(level, branch);
                    }
                    out.copy_from_slice(between);
                    add(out, branch);
                });
            },
        );
    }
}

fn kept_heads(pass: Pass<'_>) -> usize {
    pass.layout.tokens() * pass.sizes.queries()
}

impl Pass<'_> {
    /// What attention gave one token, from where its groups of heads left it.
    fn collect(self, heads: &[f32], (row, place): (usize, usize), into: &mut [f32]) {
        let own = self.sizes.group() * self.sizes.head_dim;
        let count = self.layout.counts[row];
        let base = self.layout.starts[row] * self.sizes.queries();
        for (kv, into) in into.chunks_exact_mut(own).enumerate() {
            into.copy_from_slice(&heads[base + (kv * count + place) * own..][..own]);
        }
    }
}
