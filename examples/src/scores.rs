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

/// Below these values of the [`METRICS`] percentages mean nothing: noise is then most of the value. Texts that have nothing to do with each
/// other have cosines of some hundredths.
const NEAR_ZERO: [f64; 3] = [0.5, 0.005, 0.05];

/// A difference in percent of `base`, a value of the metric of that place in [`METRICS`]; `None` where the base is zero, below it
/// (a cosine may be), or so near that its noise would be all that the percentage tells.
///
/// ```
/// use regen_examples::scores::percent_of;
///
/// assert_eq!(percent_of(0, 20.0, 1.0), Some(5.0));
/// assert_eq!(percent_of(2, -0.02, 0.1), None);
/// assert_eq!(percent_of(0, 0.02, 0.1), None);
/// assert_eq!(percent_of(1, 0.0, 0.1), None);
/// ```
pub fn percent_of(metric: usize, base: f64, difference: f64) -> Option<f64> {
    NEAR_ZERO.get(metric).is_some_and(|&least| base >= least).then(|| 100.0 * difference / base)
}

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
    /// `(fusion − single) / single` in percent; `None` where that means nothing ([`percent_of`]).
    pub relative_percent: Option<f64>,
    /// Two-sided p of a paired bootstrap over users, the larger of those against each single arm.
    pub p_value: f64,
    /// The same after Holm's correction over the metrics.
    pub p_holm: f64,
}

impl Gain {
    /// The difference in words: in percent where that means something.
    pub fn shown(&self) -> String {
        match self.relative_percent {
            Some(percent) => format!("{percent:+.1} %"),
            None => format!(
                "{:+.4} (the single arm is too near zero for a percentage)",
                self.fusion - self.single
            ),
        }
    }
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

/// Fusion against the better of the single arms, metric by metric; nothing unless there are both, since one alone may be the worse.
/// As in the tests of experiments, the larger of the p values against each counts: which is the better was seen in the same data.
///
/// # Errors
/// If the resampling is refused.
pub fn gains(fusion: &ArmScores, singles: &[(&str, &ArmScores)], seed: u64) -> Result<Vec<Gain>> {
    let mut gains = Vec::with_capacity(METRICS.len());
    if singles.len() < 2 {
        return Ok(gains);
    }
    for (index, metric) in METRICS.into_iter().enumerate() {
        let best = singles.iter().max_by(|a, b| a.1.values()[index].total_cmp(&b.1.values()[index]));
        let Some(&(name, single)) = best else { continue };
        let bootstrap = Bootstrap::seeded(seed);
        let mut p_value = 0f64;
        for (_, single) in singles {
            let comparison: Comparison = match index {
                0 => paired_bootstrap(&single.bleu, &fusion.bleu, &bootstrap)?,
                1 => paired_bootstrap(&single.rouge_l, &fusion.rouge_l, &bootstrap)?,
                _ => paired_bootstrap(&single.similarity, &fusion.similarity, &bootstrap)?,
            };
            p_value = p_value.max(comparison.p_value);
        }
        let (single, fusion) = (single.values()[index], fusion.values()[index]);
        gains.push(Gain {
            metric,
            best_single: name.to_owned(),
            single,
            fusion,
            relative_percent: percent_of(index, single, fusion - single),
            p_value,
            p_holm: p_value,
        });
    }
    let corrected = holm(&gains.iter().map(|gain| gain.p_value).collect::<Vec<_>>());
    for (gain, p) in gains.iter_mut().zip(corrected) {
        gain.p_holm = p;
    }
    Ok(gains)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn fusion_gains_nothing_over_one_arm_alone_and_must_be_above_both() {
        let references: Vec<String> = (0..12).map(|n| format!("the {n} red lamps of shop {n}")).collect();
        let users: Vec<u32> = (0..12).collect();
        let flat = Array2::<f32>::ones((12, 2));
        let scores = |right: usize| {
            let told = |n: usize| if n < right { references[n].clone() } else { "nothing at all".to_owned() };
            let told: Vec<String> = (0..12).map(told).collect();
            ArmScores::measure(&told, &references, &users, (flat.view(), flat.view()), "e").unwrap()
        };
        let (fusion, worse, equal) = (scores(9), scores(3), scores(9));
        assert!(gains(&fusion, &[("cf", &worse)], 1).unwrap().is_empty());
        let found = gains(&fusion, &[("cf", &worse), ("semantic", &equal)], 1).unwrap();
        assert_eq!(found[1].best_single, "semantic");
        assert_eq!((found[1].relative_percent, found[1].p_value), (Some(0.0), 1.0));
        assert_eq!(found[1].shown(), "+0.0 %");
        let above = gains(&fusion, &[("cf", &worse), ("semantic", &scores(2))], 1).unwrap();
        assert!(above[1].p_value < 0.05 && above[1].best_single == "cf");
    }
}
