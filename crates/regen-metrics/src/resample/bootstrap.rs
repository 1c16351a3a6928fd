//! The percentile bootstrap: how far would the score move, had other runs and segments been drawn?

use rayon::prelude::*;

use super::draw::{below, stream};
use crate::aggregate::{Aggregate, Scored, Statistics};
use crate::error::{Error, Result};
use crate::measurement::Measurement;

/// How to resample.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// How many corpora are drawn with replacement; at least two.
    pub resamples: usize,
    /// Share of the resampled values that the interval encloses, in (0, 1).
    pub confidence: f64,
    /// Seed of every draw: the same seed gives the same interval, whatever the number of threads.
    pub seed: u64,
}

impl Bootstrap {
    /// 1,000 resamples and 95 %, the values of sacrebleu and rouge-score, under the given seed.
    pub fn seeded(seed: u64) -> Self {
        Self { resamples: 1_000, confidence: 0.95, seed }
    }

    pub(super) fn validate(&self) -> Result<()> {
        if self.resamples < 2 {
            return Err(Error::OutOfRange {
                metric: "bootstrap",
                field: "resamples",
                expected: "at least 2",
                got: self.resamples as f64,
            });
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            return Err(Error::OutOfRange {
                metric: "bootstrap",
                field: "confidence",
                expected: "between 0 and 1, both excluded",
                got: self.confidence,
            });
        }
        Ok(())
    }
}

/// What resampling says about a number.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Mean of the resampled values.
    pub mean: f64,
    /// Standard deviation of the resampled values: the standard error of the score.
    pub standard_error: f64,
}

/// The values of all resampled corpora, in order of the resample.
pub(super) fn resampled_values<A: Aggregate>(
    measurement: &Measurement<A>,
    bootstrap: &Bootstrap,
) -> Vec<f64> {
    if let Some(units) = measurement.shared_units() {
        return crossed_values(measurement, units, bootstrap);
    }
    let mut rest = measurement.segments();
    let runs: Vec<&[A::Stats]> = measurement.runs().iter().filter_map(|&run| rest.split_off(..run)).collect();
    (0..bootstrap.resamples)
        .into_par_iter()
        .map(|resample| {
            let mut rng = stream(bootstrap.seed, resample);
            let mut total = A::Stats::default();
            for _ in 0..runs.len() {
                // A single run takes no draw, so that its numbers are those of the plain bootstrap.
                let run =
                    if runs.len() > 1 { runs[below(&mut rng, runs.len() as u32) as usize] } else { runs[0] };
                let count = run.len() as u32;
                for _ in 0..count {
                    total.add(&run[below(&mut rng, count) as usize]);
                }
            }
            measurement.aggregate().score(&total).value()
        })
        .collect()
}

/// The same where runs have units in common, `units[k]` being that of segment k: these are drawn once for all runs.
fn crossed_values<A: Aggregate>(
    measurement: &Measurement<A>,
    units: &[usize],
    bootstrap: &Bootstrap,
) -> Vec<f64> {
    let (mut rest, count) = (measurement.segments().iter().zip(units), measurement.units());
    let runs: Vec<Vec<(&A::Stats, usize)>> = measurement
        .runs()
        .iter()
        .map(|&run| rest.by_ref().take(run).map(|(segment, &unit)| (segment, unit)).collect())
        .collect();
    let value = |resample| {
        let mut rng = stream(bootstrap.seed, resample);
        loop {
            let mut times = vec![0u32; count];
            for _ in 0..count {
                times[below(&mut rng, count as u32) as usize] += 1;
            }
            let (mut total, mut empty) = (A::Stats::default(), true);
            for _ in 0..runs.len() {
                for &(segment, unit) in &runs[below(&mut rng, runs.len() as u32) as usize] {
                    for _ in 0..times[unit] {
                        total.add(segment);
                        empty = false;
                    }
                }
            }
            // The runs that were drawn may have none of the units; of nothing there is no score.
            if !empty {
                return measurement.aggregate().score(&total).value();
            }
        }
    };
    (0..bootstrap.resamples).into_par_iter().map(value).collect()
}

pub(crate) fn bootstrap_interval<A: Aggregate>(
    measurement: &Measurement<A>,
    bootstrap: &Bootstrap,
) -> Result<Interval> {
    bootstrap.validate()?;
    Ok(interval_of(resampled_values(measurement, bootstrap), bootstrap.confidence))
}

/// Percentiles (linear between order statistics), mean and standard deviation of at least two values.
pub(super) fn interval_of(mut values: Vec<f64>, confidence: f64) -> Interval {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    values.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    Interval {
        low: percentile(&values, tail),
        high: percentile(&values, 1.0 - tail),
        mean,
        standard_error: variance.sqrt(),
    }
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}
