//! Perplexity from the log-probabilities that a language model gave to the tokens of each text.

use crate::aggregate::{Aggregate, Statistics};
use crate::error::{Error, Result};
use crate::measurement::Measurement;

/// exp of the mean negative log-probability per token; 1 for a certain model, and for no tokens at all.
/// Lower is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Perplexity;

/// What a text contributes to perplexity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerplexityStats {
    /// Sum of natural log-probabilities, negated.
    pub surprise: f64,
    /// Number of tokens.
    pub tokens: u64,
}

impl Statistics for PerplexityStats {
    fn add(&mut self, other: &Self) {
        self.surprise += other.surprise;
        self.tokens += other.tokens;
    }
}

impl Aggregate for Perplexity {
    type Stats = PerplexityStats;
    type Score = f64;

    fn name(&self) -> String {
        "perplexity".to_owned()
    }

    fn score(&self, total: &PerplexityStats) -> f64 {
        if total.tokens == 0 { 1.0 } else { (total.surprise / total.tokens as f64).exp() }
    }

    fn higher_is_better(&self) -> bool {
        false
    }
}

/// Perplexity per token over all texts: `log_probabilities[i]` holds the natural logarithms for text `i`.
///
/// `tokenizer` names the vocabulary in the signature: perplexities per token of different vocabularies do
/// not compare.
///
/// # Errors
/// [`Error::Empty`] without texts; [`Error::NotFinite`] naming the text with a NaN or an infinity.
pub fn perplexity<L: AsRef<[f64]>>(
    log_probabilities: &[L],
    tokenizer: &str,
) -> Result<Measurement<Perplexity>> {
    let segments = log_probabilities
        .iter()
        .enumerate()
        .map(|(segment, tokens)| {
            let tokens = tokens.as_ref();
            let surprise = -tokens.iter().sum::<f64>();
            if !surprise.is_finite() {
                return Err(Error::NotFinite { what: "log-probability", segment });
            }
            Ok(PerplexityStats { surprise, tokens: tokens.len() as u64 })
        })
        .collect::<Result<_>>()?;
    let signature = format!("per:token|vocab:{tokenizer}|version:regen.{}", env!("CARGO_PKG_VERSION"));
    Measurement::new(Perplexity, segments, signature)
}
