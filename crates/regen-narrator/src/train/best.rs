//! The weights that are kept.

use serde::{Deserialize, Serialize};
use tch::Tensor;

/// The lowest validation loss so far.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct BestLoss {
    step: u64,
    loss: Option<f64>,
    /// Offers since that were no better.
    pub(super) misses: u64,
}

/// The weights that gave it.
pub(super) struct Best {
    pub(super) at: BestLoss,
    /// Of every parameter, named as they are; none where there is nothing to look at.
    pub(super) weights: Vec<(String, Tensor)>,
}

impl Best {
    /// With room for the weights of `trainable` if `looks`.
    pub(super) fn new(trainable: &[(String, Tensor)], looks: bool) -> Self {
        let copy = |(name, variable): &(String, Tensor)| (name.clone(), variable.detach().copy());
        let weights = if looks { trainable.iter().map(copy).collect() } else { Vec::new() };
        Self { at: BestLoss::default(), weights }
    }

    pub(super) fn offer(&mut self, step: u64, loss: f64, trainable: &[(String, Tensor)]) {
        self.at.misses += 1;
        if self.at.loss.is_none_or(|best| loss < best) {
            self.at = BestLoss { step, loss: Some(loss), misses: 0 };
            copy(trainable, &self.weights);
        }
    }

    /// Gives the parameters the kept weights, and says of which update they are. `None`, and nothing changes, before the first
    /// offer.
    pub(super) fn restore(&self, trainable: &[(String, Tensor)]) -> Option<u64> {
        self.at.loss?;
        copy(&self.weights, trainable);
        Some(self.at.step)
    }
}

fn copy(from: &[(String, Tensor)], into: &[(String, Tensor)]) {
    tch::no_grad(|| {
        for ((_, source), (_, target)) in from.iter().zip(into) {
            target.shallow_clone().copy_(source);
        }
    });
}
