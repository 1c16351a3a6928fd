//! BERTScore over token vectors that the caller's encoder made: each token is matched with the most similar
//! one of the other text.
//!
//! Which layer the vectors are from is the encoder's business; name it in the signature.
//!
//! **Source** Zhang et al. 2020, *BERTScore: Evaluating Text Generation with BERT*; details after bert-score
//! 0.3.13.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use ndarray::{Array1, Array2, ArrayView2};

use crate::aggregate::{Aggregate, FScore, FScoreStats};
use crate::error::{Error, Result};
use crate::measurement::Measurement;

/// The tokens of one text.
#[derive(Clone, Copy, Debug)]
pub struct TokenVectors<'a> {
    /// **Shapes** `[tokens, dim]`, special tokens included, of any length.
    pub vectors: ArrayView2<'a, f32>,
    /// Weight of each token: 1, or its inverse document frequency. Special tokens have weight 0; they can
    /// still be what another token is matched with, as in bert-score.
    pub weights: &'a [f32],
}

/// Values that unrelated texts reach under an encoder; scores are stretched so that these become 0.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Of precision; below 1.
    pub precision: f64,
    /// Of recall; below 1.
    pub recall: f64,
    /// Of F1; below 1.
    pub f1: f64,
}

/// The BERTScore metric, with or without rescaling.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BertScore {
    baseline: Option<Baseline>,
}

impl BertScore {
    /// Rescaled by the baseline of an encoder and layer.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless all three values are below 1.
    pub fn rescaled(baseline: Baseline) -> Result<Self> {
        for (field, got) in
            [("precision", baseline.precision), ("recall", baseline.recall), ("f1", baseline.f1)]
        {
            if !(got.is_finite() && got < 1.0) {
                let (metric, expected) = ("BERTScore baseline", "below 1");
                return Err(Error::OutOfRange { metric, field, expected, got });
            }
        }
        Ok(Self { baseline: Some(baseline) })
    }

    /// Scores the texts: `hypotheses[i]` against each of `references[i]`, of which the best precision, the best
    /// recall and the best F1 count, as in bert-score. A text whose tokens all have weight 0 scores 0.
    ///
    /// `encoder` names model and layer in the signature.
    ///
    /// # Errors
    /// [`Error::CountMismatch`] for lists or weights of wrong length, [`Error::Empty`] without texts,
    /// [`Error::NoReference`], [`Error::WidthMismatch`], [`Error::NotFinite`].
    pub fn measure(
        &self,
        hypotheses: &[TokenVectors<'_>],
        references: &[Vec<TokenVectors<'_>>],
        encoder: &str,
    ) -> Result<Measurement<Self>> {
        if hypotheses.len() != references.len() {
            return Err(Error::CountMismatch {
                what: "references",
                expected: hypotheses.len(),
                got: references.len(),
            });
        }
        let segments = hypotheses
            .iter()
            .zip(references)
            .enumerate()
            .map(|(segment, (hypothesis, references))| self.segment(segment, hypothesis, references))
            .collect::<Result<_>>()?;
        let signature = format!(
            "encoder:{encoder}|rescaled:{}|agg:mean|version:bert-score-0.3.13+regen.{}",
            if self.baseline.is_some() { "yes" } else { "no" },
            env!("CARGO_PKG_VERSION"),
        );
        Measurement::new(*self, segments, signature)
    }

    fn segment(
        &self,
        segment: usize,
        hypothesis: &TokenVectors<'_>,
        references: &[TokenVectors<'_>],
    ) -> Result<FScoreStats> {
        let ours = unit_rows(hypothesis, "hypothesis token weights", "hypothesis vector", segment)?;
        let mut best: Option<FScore> = None;
        for reference in references {
            let theirs = unit_rows(reference, "reference token weights", "reference vector", segment)?;
            if ours.ncols() != theirs.ncols() {
                return Err(Error::WidthMismatch {
                    what: "reference token vectors",
                    expected: ours.ncols(),
                    got: theirs.ncols(),
                });
            }
            let similarity = ours.dot(&theirs.t());
            let precision = weighted_best(similarity.view(), hypothesis.weights);
            let recall = weighted_best(similarity.t(), reference.weights);
            let score = match (precision, recall) {
                (Some(precision), Some(recall)) => signed(precision, recall),
                _ => FScore::default(),
            };
            let better = best.get_or_insert(score);
            better.precision = better.precision.max(score.precision);
            better.recall = better.recall.max(score.recall);
            better.f1 = better.f1.max(score.f1);
        }
        let mut score = best.ok_or(Error::NoReference { segment })?;
        if let Some(baseline) = self.baseline {
            let stretch = |value: f64, base: f64| (value - base) / (1.0 - base);
            score = FScore {
                precision: stretch(score.precision, baseline.precision),
                recall: stretch(score.recall, baseline.recall),
                f1: stretch(score.f1, baseline.f1),
            };
        }
        Ok(FScoreStats::of(score))
    }
}

impl Aggregate for BertScore {
    type Stats = FScoreStats;
    type Score = FScore;

    fn name(&self) -> String {
        "BERTScore".to_owned()
    }

    fn score(&self, total: &FScoreStats) -> FScore {
        total.mean()
    }
}

/// F1 of cosines, which may be negative.
fn signed(precision: f64, recall: f64) -> FScore {
    let sum = precision + recall;
    FScore { precision, recall, f1: if sum == 0.0 { 0.0 } else { 2.0 * precision * recall / sum } }
}

/// The rows scaled to length 1; a row of zeros stays.
fn unit_rows(
    tokens: &TokenVectors<'_>,
    weights: &'static str,
    vector: &'static str,
    segment: usize,
) -> Result<Array2<f32>> {
    if tokens.weights.len() != tokens.vectors.nrows() {
        return Err(Error::CountMismatch {
            what: weights,
            expected: tokens.vectors.nrows(),
            got: tokens.weights.len(),
        });
    }
    let mut rows = tokens.vectors.to_owned();
    for mut row in rows.rows_mut() {
        let norm = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Err(Error::NotFinite { what: vector, segment });
        }
        if norm > 0.0 {
            row.mapv_inplace(|x| (f64::from(x) / norm) as f32);
        }
    }
    Ok(rows)
}

/// The weighted mean over the rows of each row's largest value; nothing without weight.
fn weighted_best(similarity: ArrayView2<'_, f32>, weights: &[f32]) -> Option<f64> {
    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    if total <= 0.0 || similarity.ncols() == 0 {
        return None;
    }
    let best: Array1<f32> =
        similarity.rows().into_iter().map(|row| row.iter().copied().fold(f32::MIN, f32::max)).collect();
    let sum: f64 = best.iter().zip(weights).map(|(&best, &weight)| f64::from(best) * f64::from(weight)).sum();
    Some(sum / total)
}

/// Weights of tokens by how rare they are in the references: log((n + 1) / (documents with the token + 1)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InverseDocumentFrequency<T: Eq + Hash> {
    documents: usize,
    with_token: HashMap<T, usize>,
}

impl<T: Eq + Hash + Clone> InverseDocumentFrequency<T> {
    /// Counts the tokens of the reference texts.
    pub fn of<D: AsRef<[T]>>(references: &[D]) -> Self {
        let mut with_token: HashMap<T, usize> = HashMap::new();
        for document in references {
            let tokens: HashSet<&T> = document.as_ref().iter().collect();
            for token in tokens {
                *with_token.entry(token.clone()).or_default() += 1;
            }
        }
        Self { documents: references.len(), with_token }
    }

    /// The weight of a token, known or not.
    pub fn weight(&self, token: &T) -> f32 {
        let with_token = self.with_token.get(token).copied().unwrap_or(0);
        ((self.documents + 1) as f64 / (with_token + 1) as f64).ln() as f32
    }
}
