//! What happens to rows between two products: rotation, and attention of a single query.

use regen_kernel::{Work, dot, exp};
use regen_torch::tensor_to_vec_f32;

use crate::error::Result;
use crate::layers::Rotary;

/// The frequencies of a model's rotary positions.
#[derive(Debug)]
pub(super) struct Frequencies {
    /// `[rotary_dim / 2]`.
    values: Vec<f32>,
    /// cos and sin are multiplied by this.
    magnitude: f32,
}

/// cos and sin of one row's position.
#[derive(Debug)]
pub(super) struct Turn(Vec<(f32, f32)>);

/// The rotations of every row of a step.
pub(super) struct Turns {
    pub(super) global: Vec<Turn>,
    pub(super) local: Vec<Turn>,
}

impl Frequencies {
    pub(super) fn new(rotary: &Rotary) -> Result<Self> {
        let values = tensor_to_vec_f32(&rotary.frequencies)?;
        Ok(Self { values, magnitude: rotary.magnitude as f32 })
    }

    /// What turns a head at `position`.
    pub(super) fn at(&self, position: usize) -> Turn {
        let turn = |frequency: &f32| {
            let (sin, cos) = (position as f32 * frequency).sin_cos();
            (cos * self.magnitude, sin * self.magnitude)
        };
        Turn(self.values.iter().map(turn).collect())
    }
}

impl Turn {
    /// Turns each head of a row; only the first rotary dimensions of each move.
    ///
    /// **Shapes** `heads: [heads, head_dim]`.
    pub(super) fn apply(&self, heads: &mut [f32], head_dim: usize) {
        regen_kernel::turn(heads, head_dim, &self.0);
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
    pub(super) out: &'a mut [f32],
}

impl Work for Attend<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { queries, keys, values, head_dim, scale, softcap, out } = self;
        let mut scores = vec![0.0; keys.len() / head_dim];
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
            out.fill(0.0);
            for (score, value) in scores.iter().zip(values.chunks_exact(head_dim)) {
                let share = score / total;
                out.iter_mut().zip(value).for_each(|(out, value)| *out = value.mul_add(share, *out));
            }
        }
    }
}
