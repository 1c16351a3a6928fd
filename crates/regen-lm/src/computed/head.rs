//! The head and its cross entropy, with the gradients of both taken at once: scores are never kept for longer than a few hundred tokens.

use rayon::prelude::*;
use regen_kernel::{Level, Spare, Storage, Strided, cross_entropy};
use regen_torch::{Numbers, tensor_from_f32, tensor_to_vec_f32};
use tch::{Kind, Tensor};

use super::gradient::add_gradient;
use super::layout::{Pieces, Scratch, TOKENS_AT_ONCE, fit};
use super::stack::{GradientMemory, Stack};
use crate::error::Result;
use crate::layers::Projection;
use crate::model::Decoder;

/// Scores that are computed before the head's gradient takes them up: 64 MB.
const SCORES_AT_ONCE: usize = 1 << 24;

/// Tokens for which that is worth it, however large the vocabulary.
const LEAST_TOKENS: usize = 4 * TOKENS_AT_ONCE;

/// The head's weights, packed, and its memory.
#[derive(Debug)]
pub(super) struct Head {
    level: Level,
    projection: Projection,
    stack: Stack,
    scores: Vec<f32>,
    /// The gradients of a loss that counts once.
    states: Vec<f32>,
    weight: Vec<f32>,
}

/// How often a loss counts, which is known when its gradient comes back.
#[derive(Debug)]
pub(super) struct Pending {
    /// A leaf of value 1 that was added to the loss, less 1.
    one: Tensor,
}

impl Head {
    pub(super) fn new(level: Level, storage: Storage, decoder: &Decoder) -> Self {
        Self {
            level,
            projection: Projection::of("head", decoder.head.shallow_clone()),
            stack: Stack::new(level, storage),
            scores: Vec::new(),
            states: Vec::new(),
            weight: Vec::new(),
        }
    }

    /// Bytes of the packed weights.
    pub(super) fn bytes(&self) -> usize {
        self.stack.bytes()
    }

    /// The mean cross entropy of the chosen positions as a tensor that passes its gradient on to `hidden`.
    ///
    /// **Shapes** `hidden: [batch, seq, hidden]`, `chosen, targets: [n]`.
    pub(super) fn loss(
        &mut self,
        decoder: &Decoder,
        hidden: &Tensor,
        (chosen, targets): (&Tensor, &Tensor),
        memory: &mut GradientMemory,
        spare: &Spare<Scratch>,
    ) -> Result<(Tensor, Pending)> {
        if let Some(renewal) = self.stack.renewal(&[&self.projection])? {
            renewal.pack(&Spare::default())?;
        }
        let config = decoder.config();
        let (width, vocab) = (config.hidden as usize, config.vocab as usize);
        let flat = hidden.detach().f_reshape([-1, config.hidden])?;
        let rows = tensor_to_vec_f32(&flat.f_index_select(0, chosen)?)?;
        let targets: Vec<usize> =
            Vec::<i64>::try_from(targets)?.into_iter().map(|target| target as usize).collect();
        let count = targets.len();
        let (share, softcap) = (1.0 / count as f32, config.logit_softcap.map(|cap| cap as f32));
        let at_once = (SCORES_AT_ONCE / vocab).max(LEAST_TOKENS) / TOKENS_AT_ONCE * TOKENS_AT_ONCE;
        let moves = self.projection.weight.requires_grad();
        let Self { level, stack, scores, states, weight, .. } = self;
        fit(states, count * width);
        let mut total = 0.0;
        for (block, targets) in targets.chunks(at_once).enumerate() {
            let first = block * at_once * width;
            let rows = &rows[first..first + targets.len() * width];
            let states = &mut states[first..first + rows.len()];
            let scores = fit(scores, targets.len() * vocab);
            let mut scores_of = Pieces::of(scores, TOKENS_AT_ONCE * vocab);
            let mut states_of = Pieces::of(states, TOKENS_AT_ONCE * width);
            let tasks: Vec<_> = rows
                .chunks(TOKENS_AT_ONCE * width)
                .zip(targets.chunks(TOKENS_AT_ONCE))
                .map(|(rows, targets)| (rows, targets, scores_of.take(), states_of.take()))
                .collect();
            let losses: Vec<f64> = tasks
                .into_par_iter()
                .with_max_len(1)
                .map(|(rows, targets, scores, states)| {
                    spare.with(|Scratch { product, .. }| {
                        stack.there.multiply(rows, scores, product);
                        let loss = cross_entropy(*level, scores, targets, softcap, share);
                        stack.back.multiply(scores, states, product);
                        loss
                    })
                })
                .collect();
            total += losses.iter().sum::<f64>();
            if moves {
                let scores = Strided { rows: scores, stride: vocab };
                memory.outer(rows, width, scores, fit(weight, vocab * width), block > 0);
            }
        }
        // As if autograd had recorded it: a product with its gradient that counts nothing itself, and one that tells how often it counts.
        let states = tensor_from_f32(states, &[count as i64, config.hidden])?;
        let mut gradient = flat.f_zeros_like()?;
        let _ = gradient.f_index_copy_(0, chosen, &states)?;
        let along = hidden.f_mul(&gradient.f_view_as(hidden)?)?.f_sum(Kind::Float)?;
        let one = Tensor::from(1.0f32).set_requires_grad(true);
        let nothing = along.f_sub(&along.detach())?.f_add(&one)?.f_sub(&one.detach())?;
        Ok((nothing.try_add(total / count as f64)?, Pending { one }))
    }

    /// Adds the gradient of the head, as often as the loss counted.
    pub(super) fn finish(&mut self, pending: &Pending) -> Result<()> {
        let times = pending.one.grad();
        if !self.projection.weight.requires_grad() || !times.defined() {
            return Ok(());
        }
        let times = times.f_double_value(&[])? as f32;
        if times != 1.0 {
            self.weight.par_iter_mut().with_min_len(TOKENS_AT_ONCE * 64).for_each(|value| *value *= times);
        }
        add_gradient(&self.projection.weight, &self.weight)
    }
}
