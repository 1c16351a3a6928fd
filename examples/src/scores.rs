//! Scores of an arm with intervals, and what one arm has over another.

use anyhow::Result;
use ndarray::ArrayView2;
use regen_metrics::{
    Aggregate, Bleu, Bootstrap, Comparison, Interval, Mean, Measurement, Rouge, holm, measure,
    paired_bootstrap, semantic_similarity,
};
use serde::Serialize;

/// Names of the metrics in files, in the order of tables.
pub const METRICS: [&str; 3] = ["bleu", "rouge_l", "semantic_similarity"];

/// The same for people.
pub const METRIC_NAMES: [&str; 3] = ["BLEU", "ROUGE-L", "semantic similarity"];

/// The three measurements of one arm; the unit of resampling is the user.
#[derive(Debug, Clone)]
pub struct ArmScores {
    /// Corpus BLEU, 0 to 100.
    pub bleu: Measurement<Bleu>,
    /// Mean ROUGE-L F1, 0 to 1.
    pub rouge_l: Measurement<Rouge>,
    /// Mean cosine of the sentence embeddings of narrative and reference, −1 to 1.
    pub similarity: Measurement<Mean>,
}

/// A value with its 95 % bootstrap interval over users.
#[derive(Debug, Clone, Serialize)]
pub struct ScoreRecord {
    /// The corpus value.
    pub score: f64,
    /// 95 % percentile interval.
    pub interval: Interval,
    /// Every choice that moves the score.
    pub signature: String,
}

/// The fusion arm against the better single arm under one metric.
#[derive(Debug, Clone, Serialize)]
pub struct Gain {
    /// The metric.
    pub metric: &'static str,
    /// The single arm with the higher score.
    pub best_single: String,
    /// Its score.
    pub single: f64,
    /// The score of fusion.
    pub fusion: f64,
    /// `(fusion − single) / single` in percent.
    pub relative_percent: f64,
    /// Two-sided p of a paired bootstrap over users.
    pub p_value: f64,
    /// The same after Holm's correction over the metrics.
    pub p_holm: f64,
}

impl ArmScores {
    /// Measures `hypotheses` against `references`, of which `users[i]` is the user, given the embeddings of both.
    ///
    /// # Errors
    /// If the lists differ in length or are empty.
    pub fn measure(
        hypotheses: &[String],
        references: &[String],
        users: &[u32],
        embedded: (ArrayView2<'_, f32>, ArrayView2<'_, f32>),
        encoder: &str,
    ) -> Result<Self> {
        Ok(Self {
            bleu: measure(&Bleu::default(), hypotheses, references)?.grouped(users)?,
            rouge_l: measure(&Rouge::l(), hypotheses, references)?.grouped(users)?,
            similarity: semantic_similarity(embedded.0, embedded.1, encoder)?.grouped(users)?,
        })
    }

    /// The headline values in the order of [`METRICS`].
    pub fn values(&self) -> [f64; 3] {
        [self.bleu.value(), self.rouge_l.value(), self.similarity.value()]
    }

    /// Values, intervals and signatures in the order of [`METRICS`].
    ///
    /// # Errors
    /// If the resampling is refused.
    pub fn records(&self, seed: u64) -> Result<[ScoreRecord; 3]> {
        let bootstrap = Bootstrap::seeded(seed);
        Ok([
            record(&self.bleu, &bootstrap)?,
            record(&self.rouge_l, &bootstrap)?,
            record(&self.similarity, &bootstrap)?,
        ])
    }
}

/// A measurement's headline value with its interval.
///
/// # Errors
/// If the resampling is refused.
pub fn record<A: Aggregate>(measurement: &Measurement<A>, bootstrap: &Bootstrap) -> Result<ScoreRecord>
where
    Measurement<A>: Sync,
{
    Ok(ScoreRecord {
        score: measurement.value(),
        interval: measurement.interval(bootstrap)?,
        signature: measurement.signature().to_owned(),
    })
}

/// Fusion against the better of the single arms, metric by metric.
///
/// # Errors
/// If the resampling is refused.
pub fn gains(fusion: &ArmScores, singles: &[(&str, &ArmScores)], seed: u64) -> Result<Vec<Gain>> {
    let mut gains = Vec::with_capacity(METRICS.len());
    for (index, metric) in METRICS.into_iter().enumerate() {
        let best = singles.iter().max_by(|a, b| a.1.values()[index].total_cmp(&b.1.values()[index]));
        let Some(&(name, single)) = best else { continue };
        let bootstrap = Bootstrap::seeded(seed);
        let comparison: Comparison = match index {
            0 => paired_bootstrap(&single.bleu, &fusion.bleu, &bootstrap)?,
            1 => paired_bootstrap(&single.rouge_l, &fusion.rouge_l, &bootstrap)?,
            _ => paired_bootstrap(&single.similarity, &fusion.similarity, &bootstrap)?,
        };
        let (single, fusion) = (single.values()[index], fusion.values()[index]);
        gains.push(Gain {
            metric,
            best_single: name.to_owned(),
            single,
            fusion,
            relative_percent: 100.0 * (fusion - single) / single,
            p_value: comparison.p_value,
            p_holm: comparison.p_value,
        });
    }
    let corrected = holm(&gains.iter().map(|gain| gain.p_value).collect::<Vec<_>>());
    for (gain, p) in gains.iter_mut().zip(corrected) {
        gain.p_holm = p;
    }
    Ok(gains)
}
