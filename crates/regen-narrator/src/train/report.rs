//! What training tells while it goes, and what it leaves.

use serde::{Deserialize, Serialize};

/// One point of a loss curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossPoint {
    /// Updates done.
    pub step: u64,
    /// Nats per narrative token: mean over the updates since the last point, or over the validation examples.
    pub loss: f64,
}

/// Told after every update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainProgress {
    /// Updates done.
    pub step: u64,
    /// Updates in all.
    pub steps: u64,
    /// Loss of this update's batch.
    pub loss: f64,
    /// The latest validation loss, if there was one.
    pub validation_loss: Option<f64>,
    /// Positions computed so far, soft tokens and padding included.
    pub positions: u64,
    /// The language model's rate in this update.
    pub learning_rate: f64,
    /// The common norm of all gradients of this update, before clipping.
    pub gradient_norm: f64,
}

/// What a training run did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Training loss.
    pub training: Vec<LossPoint>,
    /// Loss of the next item in training, in nats a purchase; empty where it was not learned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next_item: Vec<LossPoint>,
    /// Validation loss; empty when there were no validation examples.
    pub validation: Vec<LossPoint>,
    /// The update whose weights the narrator now has: the one with the lowest validation loss, or the last.
    pub kept_step: u64,
    /// Whether the caller stopped it before the last update.
    pub stopped: bool,
    /// Whether it ended before the last update because the validation loss no longer fell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended_early: bool,
    /// Narrative tokens that the loss counted.
    pub narrative_tokens: u64,
    /// Positions computed, soft tokens and padding included.
    pub positions: u64,
}

/// A mean since it was last asked for.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    pub(super) fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    pub(super) fn take(&mut self) -> Option<f64> {
        let Self { sum, count } = std::mem::take(self);
        (count > 0).then(|| sum / count as f64)
    }
}
