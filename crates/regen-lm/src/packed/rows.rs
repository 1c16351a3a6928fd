//! What happens to rows between two products: rotation, and attention of a single query.

use rayon::prelude::*;
use regen_kernel::{Level, Work, dot, exp};
use regen_torch::tensor_to_vec_f32;

use crate::error::Result;
use crate::layers::Rotary;

/// Tokens below which one core computes all angles.
const WORTH_SHARING: usize = 64;

/// Numbers of a head whose sums stay in the registers.
const AT_ONCE: usize = 32;

/// The frequencies of a model's rotary positions.
#[derive(Debug)]
pub(crate) struct Frequencies {
    /// `[rotary_dim / 2]`.
    values: Vec<f32>,
    /// cos and sin are multiplied by this.
    magnitude: f32,
}

/// The rotations of every token of a pass; none where the model has no such positions.
#[derive(Debug, Default)]
pub(super) struct Angles {
    /// All cosines of a token, then all its sines, `[tokens, 2, half]`.
    values: Vec<f32>,
    half: usize,
}

/// cos and sin of one position.
#[derive(Debug)]
pub(crate) struct Turn(Vec<(f32, f32)>);

/// Rotations for blocks that see everything, and for local ones.
#[derive(Debug)]
pub(super) struct Turns {
    pub(super) global: Angles,
    pub(super) local: Angles,
}

impl Frequencies {
    pub(crate) fn new(rotary: &Rotary) -> Result<Self> {
        let values = tensor_to_vec_f32(&rotary.frequencies)?;
        Ok(Self { values, magnitude: rotary.magnitude as f32 })
    }

    /// What turns the heads of tokens at these positions.
    pub(super) fn angles(&self, positions: &[usize]) -> Angles {
        let half = self.values.len();
        let mut values = vec![0.0; positions.len() * 2 * half];
        let turn = |(out, position): (&mut [f32], &usize)| {
            let (cosines, sines) = out.split_at_mut(half);
            for ((cosine, sine), turn) in cosines.iter_mut().zip(sines).zip(self.turns(*position)) {
                (*cosine, *sine) = turn;
            }
        };
        if positions.len() < WORTH_SHARING {
            values.chunks_exact_mut((2 * half).max(1)).zip(positions).for_each(turn);
        } else {
            values.par_chunks_exact_mut((2 * half).max(1)).zip(positions).for_each(turn);
        }
        Angles { values, half }
    }

    /// What turns a head at `position`.
    pub(crate) fn at(&self, position: usize) -> Turn {
        Turn(self.turns(position).collect())
    }

    fn turns(&self, position: usize) -> impl Iterator<Item = (f32, f32)> {
        self.values.iter().map(move |frequency| {
            let (sin, cos) = (position as f32 * frequency).sin_cos();
            (cos * self.magnitude, sin * self.magnitude)
        })
    }
}

impl Turn {
    /// cos and sin of each pair.
    pub(crate) fn pairs(&self) -> &[(f32, f32)] {
        &self.0
    }
}

impl Angles {
    /// Turns each head of a token; only the first rotary dimensions of each move.
    ///
    /// **Shapes** `heads: [heads, head_dim]`.
    pub(super) fn turn(&self, level: Level, token: usize, heads: &mut [f32], head_dim: usize) {
        if self.half > 0 {
            let (cosines, sines) = self.values[token * 2 * self.half..][..2 * self.half].split_at(self.half);
            level.run(TurnHeads { heads, head_dim, cosines, sines });
        }
    }
}

/// The halves of the first `2 · cosines.len()` numbers of each head are pairs, the rest stays.
///
/// **Source** Su et al. 2021, "RoFormer", equation 34.
struct TurnHeads<'a> {
    heads: &'a mut [f32],
    head_dim: usize,
    cosines: &'a [f32],
    sines: &'a [f32],
}

impl Work for TurnHeads<'_> {
    #[inline(always)]
    fn run(self) {
        let half = self.cosines.len();
        for head in self.heads.chunks_exact_mut(self.head_dim) {
            let (low, high) = head[..2 * half].split_at_mut(half);
            let angles = self.cosines.iter().zip(self.sines);
            for ((low, high), (cos, sin)) in low.iter_mut().zip(high).zip(angles) {
                (*low, *high) = (*low * cos - *high * sin, *high * cos + *low * sin);
            }
        }
    }
}

/// softmax(cap(scale·q·K))·V for the queries that share a key head.
///
/// **Shapes** `queries, out: [group, head_dim]`, `keys, values: [len, head_dim]`.
pub(super) struct Attend<'a> {
    pub(super) queries: &'a [f32],
    pub(super) keys: &'a [f32],
    pub(super) values: &'a [f32],
    pub(super) head_dim: usize,
    pub(super) scale: f32,
    pub(super) softcap: Option<f32>,
    /// Memory that calls use again.
    pub(super) scores: &'a mut Vec<f32>,
    pub(super) out: &'a mut [f32],
}

impl Work for Attend<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { queries, keys, values, head_dim, scale, softcap, scores, out } = self;
        scores.resize(keys.len() / head_dim, 0.0);
        for (query, out) in queries.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim)) {
            let mut top = f32::NEG_INFINITY;
            for (score, key) in scores.iter_mut().zip(keys.chunks_exact(head_dim)) {
                *score = dot(query, key) * scale;
                if let Some(cap) = softcap {
                    *score = (*score / cap).tanh() * cap;
                }
                top = top.max(*score);
            }
            scores.iter_mut().for_each(|score| *score = exp(*score - top));
            let total: f32 = scores.iter().sum();
            scores.iter_mut().for_each(|score| *score /= total);
            for (part, out) in out.chunks_mut(AT_ONCE).enumerate() {
                let start = part * AT_ONCE;
                // A whole part has a length that the compiler knows, so that its sums stay in registers.
                if let Ok(out) = <&mut [f32; AT_ONCE]>::try_from(&mut *out) {
                    let mut sums = [0.0; AT_ONCE];
                    for (share, value) in scores.iter().zip(values.chunks_exact(head_dim)) {
                        let value = &value[start..start + AT_ONCE];
                        sums.iter_mut()
                            .zip(value)
                            .for_each(|(sum, value)| *sum = value.mul_add(*share, *sum));
                    }
                    *out = sums;
                } else {
                    out.fill(0.0);
                    for (share, value) in scores.iter().zip(values.chunks_exact(head_dim)) {
                        let value = &value[start..start + out.len()];
                        out.iter_mut().zip(value).for_each(|(out, value)| *out = value.mul_add(*share, *out));
                    }
                }
            }
        }
    }
}
