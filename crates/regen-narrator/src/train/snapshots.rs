//! What a run of training leaves on disk so that it can go on after a crash as if nothing had happened.

use std::hash::{Hash, Hasher};
use std::path::PathBuf;

use regen_lm::train::{AdamW, load_snapshot, read_cursor, save_snapshot};
use regen_torch::tensor_to_vec_f32;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::best::{Best, BestLoss};
use super::config::TrainConfig;
use super::report::{Mean, TrainReport};
use crate::prompt::Sequence;
use crate::{Error, NarratorConfig, Result};

/// Where a run of training leaves its state, and how often. One run has one folder; of its snapshots the newest is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshots {
    /// The folder, made if absent.
    pub dir: PathBuf,
    /// Updates between two snapshots. One more is left when the caller stops the run, and one when it ends.
    pub every: u64,
}

/// Everything of a run but the tensors.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// What it is a run of: [`fingerprint`] in hexadecimal.
    pub(super) run: String,
    pub(super) step: u64,
    pub(super) finished: bool,
    pub(super) report: TrainReport,
    pub(super) since: Mean,
    pub(super) next_since: Mean,
    /// Words drawn for negatives.
    pub(super) drawn: u64,
    pub(super) best: BestLoss,
}

impl Snapshots {
    /// Writes a snapshot of the parameters, the kept weights and the optimiser.
    pub(super) fn save(
        &self,
        cursor: &Cursor,
        trainable: &[(String, Tensor)],
        best: &Best,
        optimizer: &AdamW,
    ) -> Result<()> {
        Ok(save_snapshot(&self.dir, &named(trainable, best), optimizer, cursor)?)
    }

    /// Reads the newest snapshot, if there is one.
    pub(super) fn load(
        &self,
        run: &str,
        trainable: &[(String, Tensor)],
        best: &mut Best,
        optimizer: &mut AdamW,
    ) -> Result<Option<Cursor>> {
        if read_cursor::<Cursor>(&self.dir)?.is_some_and(|cursor| cursor.run != run) {
            return Err(Error::OtherRun { path: self.dir.clone() });
        }
        let cursor: Option<Cursor> = load_snapshot(&self.dir, &named(trainable, best), optimizer)?;
        if let Some(cursor) = &cursor {
            best.at = cursor.best;
        }
        Ok(cursor)
    }
}

fn named(trainable: &[(String, Tensor)], best: &Best) -> Vec<(String, Tensor)> {
    let now = trainable.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
    let kept = best.weights.iter().map(|(name, tensor)| (format!("best.{name}"), tensor.shallow_clone()));
    now.chain(kept).collect()
}

/// A number that changes with the settings, with what is learned from, and with the `fixed` tensors that a run reads and does not move.
pub(super) fn fingerprint(
    narrator: &NarratorConfig,
    config: &TrainConfig,
    training: &[Sequence],
    validation: &[Sequence],
    fixed: &[(String, Tensor)],
) -> Result<String> {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    // `Debug` tells every field, and neither type holds a map without an order.
    format!("{narrator:?} {config:?}").hash(&mut hasher);
    training.hash(&mut hasher);
    validation.hash(&mut hasher);
    for (name, tensor) in fixed {
        name.hash(&mut hasher);
        tensor.size().hash(&mut hasher);
        for value in tch::no_grad(|| tensor_to_vec_f32(tensor))? {
            hasher.take(value.to_bits());
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// FNV-1a: the same in every release of the standard library, which does not promise that of its own.
struct Fnv(u64);

impl Fnv {
    /// Four bytes at once: weights are many.
    fn take(&mut self, bits: u32) {
        self.0 = (self.0 ^ u64::from(bits)).wrapping_mul(0x0100_0000_01b3);
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
