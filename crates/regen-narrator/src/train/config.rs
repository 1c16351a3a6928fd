//! How training goes, and what is refused of it.

use serde::{Deserialize, Serialize};

use super::precision::TrainPrecision;
use crate::next_item::NextItemTraining;
use crate::{Error, Result};

/// How a narrator is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Updates.
    pub steps: u64,
    /// Examples per update.
    pub batch: usize,
    /// Peak rate of the language model, and of what copies from a passage.
    pub learning_rate: f64,
    /// Peak rate of the adapter.
    pub adapter_learning_rate: f64,
    /// Updates over which the rates rise from zero; afterwards they fall along a cosine.
    pub warmup_steps: u64,
    /// Where the cosine ends, as a share of the peak.
    pub final_rate: f64,
    /// Decoupled decay of matrices; vectors are not decayed.
    pub weight_decay: f64,
    /// Gradients with a larger global norm are scaled down to it.
    pub clip_norm: f64,
    /// Updates between two looks at the validation loss.
    pub evaluate_every: u64,
    /// Seed of the order of examples.
    pub seed: u64,
    /// Whether, and how, the next purchase is learned beside the narrative. The narrator must be made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_item: Option<NextItemTraining>,
    /// What of the narrator moves.
    #[serde(default, skip_serializing_if = "Trains::is_all")]
    pub trains: Trains,
    /// Looks at the validation loss without a new best after which training ends; `None` to do all updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
    /// How fast the item tables themselves move.
    #[serde(default, skip_serializing_if = "TableRates::is_none")]
    pub tables: TableRates,
    /// How memory is saved.
    #[serde(default, skip_serializing_if = "Memory::is_plenty")]
    pub memory: Memory,
    /// In what numbers the language model is trained.
    #[serde(default, skip_serializing_if = "TrainPrecision::is_f32")]
    pub precision: TrainPrecision,
}

/// What training does with memory. None of it changes what is learned, but for rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Memory {
    /// Parts of a batch that are computed one after the other, their gradients added up; 1 for all at once. Sampled negatives
    /// of the next purchase are drawn for each part.
    pub parts: usize,
    /// Activations of the language model are computed again on the way back instead of kept: memory for one block's instead of
    /// all, for some 40 % more time.
    pub recompute: bool,
    /// Passes through the language model by kernels of our own ([`TrainingKernels`](regen_lm::TrainingKernels)) where there are some: on a
    /// CPU in f32, without dropout. They leave padding out, and take twice the memory of the blocks' weights besides. Not together with
    /// `recompute`, which goes first, and refused with [`TrainPrecision::Bf16`] and for a narrator with
    /// [`injection`](crate::NarratorConfig::injection).
    pub kernels: bool,
}

impl Default for Memory {
    /// All at once by libtorch, activations kept.
    fn default() -> Self {
        Self { parts: 1, recompute: false, kernels: false }
    }
}

impl Memory {
    fn is_plenty(&self) -> bool {
        *self == Self::default()
    }
}

/// What of a narrator a stage of training moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trains {
    /// Everything.
    #[default]
    All,
    /// The adapter alone, with what tells the next item and with tables that have a rate: the language model, and what copies
    /// from a passage, stay as they are. A first stage that teaches new soft tokens to speak to a language model that knows.
    Adapter,
}

impl Trains {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// Peak rates at which item tables are trained with the rest: the factorisation's and the encoder's vectors are then where they
/// start from, not what they stay. A side without a rate does not move.
///
/// Every update touches the whole table, so this is for tables of some hundred thousand items, not of millions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableRates {
    /// Of the collaborative vectors.
    pub cf: Option<f64>,
    /// Of the semantic vectors.
    pub semantic: Option<f64>,
}

impl TableRates {
    /// Whether no table moves.
    pub fn is_none(&self) -> bool {
        self.cf.is_none() && self.semantic.is_none()
    }
}

impl TrainConfig {
    /// Refuses numbers that no training can have, whatever the narrator and the examples.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`].
    pub fn validate(&self) -> Result<()> {
        check(self)
    }
}

fn check(config: &TrainConfig) -> Result<()> {
    let refuse = |field, got: String, expected| Err(Error::InvalidConfig { field, got, expected });
    for (field, value) in [
        ("steps", config.steps),
        ("batch", config.batch as u64),
        ("evaluate_every", config.evaluate_every),
        ("memory.parts", config.memory.parts as u64),
    ] {
        if value == 0 {
            return refuse(field, "0".into(), "at least 1");
        }
    }
    for (field, value) in [
        ("learning_rate", config.learning_rate),
        ("adapter_learning_rate", config.adapter_learning_rate),
        ("clip_norm", config.clip_norm),
    ] {
        if !(value.is_finite() && value > 0.0) {
            return refuse(field, value.to_string(), "a positive number");
        }
    }
    for (field, value) in [("weight_decay", config.weight_decay), ("final_rate", config.final_rate)] {
        if !(value.is_finite() && value >= 0.0) {
            return refuse(field, value.to_string(), "a number of at least 0");
        }
    }
    for (field, rate) in [("tables.cf", config.tables.cf), ("tables.semantic", config.tables.semantic)] {
        if let Some(rate) = rate.filter(|rate| !(rate.is_finite() && *rate > 0.0)) {
            return refuse(field, rate.to_string(), "a positive number");
        }
    }
    if config.memory.kernels && config.precision == TrainPrecision::Bf16 {
        return refuse(
            "memory.kernels",
            "true".into(),
            "false, since the kernels train in f32: bf16 is for libtorch",
        );
    }
    if config.patience == Some(0) {
        return refuse("patience", "0".into(), "at least 1");
    }
    if let Some(next) = config.next_item
        && !(next.weight.is_finite() && next.weight > 0.0)
    {
        return refuse("next_item.weight", next.weight.to_string(), "a positive number");
    }
    Ok(())
}
