//! Scores of all seeds together, with intervals over seeds and over users within seeds.

use anyhow::Result;
use regen_metrics::{Aggregate, Bootstrap, Comparison, Interval, Measurement, paired_bootstrap};
use serde::Serialize;

use super::records::{WorldRecord, Written};
use crate::scores::ArmScores;

/// A value over all seeds.
#[derive(Debug, Clone, Serialize)]
pub struct Pooled {
    /// Of all test narratives of all seeds together.
    pub value: f64,
    /// 95 % bootstrap interval over seeds, and users within seeds.
    pub interval: Interval,
    /// Of each seed alone.
    pub per_seed: Vec<f64>,
}

/// A measurement of any of the three metrics.
#[derive(Debug, Clone)]
pub(super) enum Runs {
    Bleu(Measurement<regen_metrics::Bleu>),
    Rouge(Measurement<regen_metrics::Rouge>),
    Mean(Measurement<regen_metrics::Mean>),
}

impl Runs {
    /// Of all test narratives of all seeds together.
    pub(super) fn value(&self) -> f64 {
        match self {
            Self::Bleu(all) => all.value(),
            Self::Rouge(all) => all.value(),
            Self::Mean(all) => all.value(),
        }
    }
}

/// Each seed's texts scored, and put together.
pub(super) fn measure(written: &[(&WorldRecord, &Written)]) -> Result<[Runs; 3]> {
    let scores: Vec<ArmScores> =
        written.iter().map(|(world, texts)| world.scores(texts)).collect::<Result<_>>()?;
    let bleu: Vec<_> = scores.iter().map(|scores| scores.bleu.clone()).collect();
    let rouge: Vec<_> = scores.iter().map(|scores| scores.rouge_l.clone()).collect();
    let similarity: Vec<_> = scores.iter().map(|scores| scores.similarity.clone()).collect();
    Ok([
        Runs::Bleu(Measurement::pooled(&bleu)?),
        Runs::Rouge(Measurement::pooled(&rouge)?),
        Runs::Mean(Measurement::pooled(&similarity)?),
    ])
}

pub(super) fn pooled_scores(
    written: &[(&WorldRecord, &Written)],
    measured: &[Runs; 3],
    bootstrap: &Bootstrap,
) -> Result<[Pooled; 3]> {
    let each: Vec<[f64; 3]> =
        written.iter().map(|(world, texts)| Ok(world.scores(texts)?.values())).collect::<Result<_>>()?;
    let one = |metric: usize| -> Result<Pooled> {
        let (value, interval) = match &measured[metric] {
            Runs::Bleu(all) => (all.value(), all.interval(bootstrap)?),
            Runs::Rouge(all) => (all.value(), all.interval(bootstrap)?),
            Runs::Mean(all) => (all.value(), all.interval(bootstrap)?),
        };
        Ok(Pooled { value, interval, per_seed: each.iter().map(|values| values[metric]).collect() })
    };
    Ok([one(0)?, one(1)?, one(2)?])
}

pub(super) fn pool<A: Aggregate>(runs: &[Measurement<A>], bootstrap: &Bootstrap) -> Result<Pooled> {
    let all = Measurement::pooled(runs)?;
    let per_seed = runs.iter().map(Measurement::value).collect();
    Ok(Pooled { value: all.value(), interval: all.interval(bootstrap)?, per_seed })
}

/// A paired test of `other` against `base` under the metric that both were measured with.
pub(super) fn compare(base: &Runs, other: &Runs, bootstrap: &Bootstrap) -> Result<Comparison> {
    Ok(match (base, other) {
        (Runs::Bleu(base), Runs::Bleu(other)) => paired_bootstrap(base, other, bootstrap)?,
        (Runs::Rouge(base), Runs::Rouge(other)) => paired_bootstrap(base, other, bootstrap)?,
        (Runs::Mean(base), Runs::Mean(other)) => paired_bootstrap(base, other, bootstrap)?,
        _ => anyhow::bail!("two metrics do not compare"),
    })
}
