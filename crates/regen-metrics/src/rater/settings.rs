//! The rater and how it asks.

use regen_chat::{ChatModel, Sampling};

use crate::error::{Error, Result};
use crate::rubric::Rubric;

/// How often and how freely the model is asked.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RaterConfig {
    /// How often each question is asked; the variance over them says how stable the rater is. At least 1.
    pub samples: u32,
    /// Temperature of the samples, 0 to 2.
    pub temperature: f64,
    /// Most tokens of one answer.
    pub max_tokens: u32,
    /// Sample `s` is drawn with seed + s, at endpoints that honour seeds.
    pub seed: u64,
}

impl RaterConfig {
    /// Three samples at temperature 0.7 with room for reasons, under the given seed.
    pub fn seeded(seed: u64) -> Self {
        Self { samples: 3, temperature: 0.7, max_tokens: 1_000, seed }
    }

    fn validate(&self) -> Result<()> {
        let refuse = |field, expected, got| Err(Error::OutOfRange { metric: "rater", field, expected, got });
        if self.samples == 0 {
            return refuse("samples", "at least 1", 0.0);
        }
        if !(0.0..=2.0).contains(&self.temperature) {
            return refuse("temperature", "0 to 2", self.temperature);
        }
        if self.max_tokens == 0 {
            return refuse("max_tokens", "at least 1", 0.0);
        }
        Ok(())
    }
}

/// A chat model with a rubric. Wrap the model in a [`Journal`](regen_chat::Journal) to resume and to count tokens.
#[derive(Debug)]
pub struct Rater<M> {
    model: M,
    rubric: Rubric,
    config: RaterConfig,
}

impl<M: ChatModel> Rater<M> {
    /// A rater.
    ///
    /// # Errors
    /// [`Error::Rubric`] for attributes that cannot be asked for; [`Error::OutOfRange`] for settings out of range.
    pub fn new(model: M, rubric: Rubric, config: RaterConfig) -> Result<Self> {
        rubric.validate()?;
        config.validate()?;
        Ok(Self { model, rubric, config })
    }

    /// The model, for instance to read a journal's tally.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// What is judged.
    pub fn rubric(&self) -> &Rubric {
        &self.rubric
    }

    /// How often is asked.
    pub(super) fn samples(&self) -> u32 {
        self.config.samples
    }

    pub(super) fn sampling(&self, sample: u32) -> Sampling {
        Sampling {
            temperature: self.config.temperature,
            top_p: 1.0,
            max_tokens: self.config.max_tokens,
            seed: Some(self.config.seed.wrapping_add(u64::from(sample))),
        }
    }

    /// Every choice that moves the scores.
    pub(super) fn signature(&self, mode: &str) -> String {
        format!(
            "rater:{}|rubric:{}|mode:{mode}|samples:{}|temp:{}|prompt:{}|version:regen.{}",
            self.model.name(),
            self.rubric.name,
            self.config.samples,
            self.config.temperature,
            super::prompt::VERSION,
            env!("CARGO_PKG_VERSION")
        )
    }
}
