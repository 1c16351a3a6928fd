//! How to choose tokens and when to stop.

use std::num::NonZeroUsize;

use super::ending::Ending;
use crate::error::{Error, Result};

/// How the next token is chosen.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// The most probable token; the lower id among equals.
    Greedy,
    /// A draw from the distribution after the given cuts, made in this order: temperature, `top_k`,
    /// `top_p`, `min_p`.
    Sample {
        /// Logits are divided by this; above 0.
        temperature: f64,
        /// Keep this many most probable tokens.
        top_k: Option<NonZeroUsize>,
        /// Keep the most probable tokens until their sum reaches this; in (0, 1].
        ///
        /// **Source** Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1.
        top_p: Option<f64>,
        /// Keep tokens at least this share as probable as the most probable one; in [0, 1].
        ///
        /// **Source** Nguyen et al. 2024, "Turning Up the Heat: Min-p Sampling", section 3.
        min_p: Option<f64>,
    },
}

/// What [`generate`](super::generate()) does.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// Tokens to add at most to each row.
    pub max_new_tokens: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Ids that end a row; the id itself is not returned.
    pub stop: Vec<i64>,
    /// Logits of ids that the row already holds are divided by this when positive and multiplied when
    /// negative; 1 changes nothing. Ids of the prompt count only where `prompt_ids` gives them.
    ///
    /// **Source** Keskar et al. 2019, "CTRL", section 4.1.
    pub repetition_penalty: f64,
    /// A row never writes the same run of this many ids twice; 0 allows it. The prompt does not count.
    ///
    /// **Source** Paulus, Xiong, Socher 2018, "A Deep Reinforced Model for Abstractive Summarization", section 2.5, there
    /// with 3 in beam search.
    pub no_repeat_ngram: usize,
    /// For each row, ids that the repetition penalty knows of from the start.
    pub prompt_ids: Option<Vec<Vec<i64>>>,
    /// With `row_streams`, fixes every draw.
    pub seed: u64,
    /// The stream of draws of each row; the row's index where absent. A row that is generated alone
    /// with the stream it had in a batch gets the same draws.
    pub row_streams: Option<Vec<u64>>,
}

impl Default for GenerateOptions {
    /// Greedy, 64 tokens, no stop, no penalty: the plainest decoding there is.
    fn default() -> Self {
        Self {
            max_new_tokens: 64,
            sampling: Sampling::Greedy,
            stop: Vec::new(),
            repetition_penalty: 1.0,
            no_repeat_ngram: 0,
            prompt_ids: None,
            seed: 0,
            row_streams: None,
        }
    }
}

/// One generated row.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// The new ids, without the stop id.
    pub ids: Vec<i64>,
    /// The log-probability of each under the model's own distribution (before temperature, cuts and
    /// penalty).
    pub log_probabilities: Vec<f32>,
    /// Why it ended.
    pub ending: Ending,
}

impl GenerateOptions {
    /// Refuses numbers out of range and lists of another length than the batch.
    pub(super) fn validate(&self, batch: usize) -> Result<()> {
        let refuse = |what, expected, got: String| Err(Error::Argument { what, expected, got });
        let positive = |value: f64| value > 0.0 && value.is_finite();
        if !positive(self.repetition_penalty) {
            return refuse("repetition penalty", "above 0", self.repetition_penalty.to_string());
        }
        if let Sampling::Sample { temperature, top_p, min_p, .. } = &self.sampling {
            if !positive(*temperature) {
                return refuse("temperature", "above 0 (greedy is its own choice)", temperature.to_string());
            }
            if let Some(top_p) = top_p.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
                return refuse("top_p", "in (0, 1]", top_p.to_string());
            }
            if let Some(min_p) = min_p.filter(|p| !(0.0..=1.0).contains(p)) {
                return refuse("min_p", "in [0, 1]", min_p.to_string());
            }
        }
        let lengths = [
            ("prompt_ids", self.prompt_ids.as_ref().map(Vec::len)),
            ("row_streams", self.row_streams.as_ref().map(Vec::len)),
        ];
        for (what, length) in lengths {
            if let Some(length) = length.filter(|length| *length != batch) {
                return refuse(what, "one entry per row", length.to_string());
            }
        }
        Ok(())
    }
}
