//! Is one system better than another on the same segments, or was it luck?
//!
//! Two tests that need nothing but the statistics per segment, and Holm's correction for asking more
//! than once.

use rand::Rng;
use rayon::prelude::*;

use super::bootstrap::{Bootstrap, Interval, interval_of, resampled_values};
use super::draw::stream;
use crate::aggregate::{Aggregate, Scored, Statistics};
use crate::error::{Error, Result};
use crate::measurement::Measurement;

/// The outcome of a test between two systems.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// Value of the second system minus value of the first.
    pub difference: f64,
    /// Interval of that difference; only the bootstrap gives one.
    pub interval: Option<Interval>,
    /// Two-sided p value of "the systems do not differ".
    pub p_value: f64,
}

/// How to permute.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Randomization {
    /// How many times the systems' segments are exchanged at random; at least one.
    pub trials: usize,
    /// Seed of every draw.
    pub seed: u64,
}

impl Randomization {
    /// 10,000 trials, the value of sacrebleu, under the given seed.
    pub fn seeded(seed: u64) -> Self {
        Self { trials: 10_000, seed }
    }
}

/// Paired bootstrap of `second − first`: both systems are scored on the same resampled runs and segments.
///
/// The p value is the share of resamples whose difference lies at least as far from its own mean as
/// the observed difference lies from zero, with one added above and below so that it is never 0.
///
/// DIFFERENCE: sacrebleu centres the *absolute* differences, which is not a two-sided test where both
/// signs occur; here the signed differences are centred. For systems that differ clearly the two agree.
///
/// **Source** Koehn 2004, *Statistical Significance Tests for Machine Translation Evaluation*; shift
/// method of Efron & Tibshirani 1993, ch. 16.
///
/// # Errors
/// [`Error::CountMismatch`] unless both have the same number of segments in every run; [`Error::UnlikeUnits`]; [`Error::OutOfRange`]
/// for settings that give no interval.
pub fn paired_bootstrap<A: Aggregate>(
    first: &Measurement<A>,
    second: &Measurement<A>,
    bootstrap: &Bootstrap,
) -> Result<Comparison> {
    bootstrap.validate()?;
    same_length(first, second)?;
    if first.shared_units() != second.shared_units() {
        return Err(Error::UnlikeUnits);
    }
    let difference = second.value() - first.value();
    // The draws depend on seed, resample, and number of segments or their units alone: both calls see the same ones.
    let differences: Vec<f64> = resampled_values(second, bootstrap)
        .into_iter()
        .zip(resampled_values(first, bootstrap))
        .map(|(second, first)| second - first)
        .collect();
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    let extreme = differences.iter().filter(|&&value| at_least(value - mean, difference)).count();
    let p_value = (extreme + 1) as f64 / (differences.len() + 1) as f64;
    let interval = interval_of(differences, bootstrap.confidence);
    Ok(Comparison { difference, interval: Some(interval), p_value })
}

/// Approximate randomisation: if the systems did not differ, exchanging their outputs segment by
/// segment would change nothing but the sign of chance.
///
/// DIFFERENCE: trials that tie with the observed difference count as extreme (sacrebleu: only larger
/// ones), so that a system compared with itself gets p = 1.
///
/// **Source** Noreen 1989; Riezler & Maxwell 2005.
///
/// # Errors
/// [`Error::CountMismatch`] unless both have the same number of segments; [`Error::OutOfRange`]
/// without trials.
pub fn approximate_randomization<A: Aggregate>(
    first: &Measurement<A>,
    second: &Measurement<A>,
    randomization: &Randomization,
) -> Result<Comparison> {
    same_length(first, second)?;
    if randomization.trials == 0 {
        return Err(Error::OutOfRange {
            metric: "approximate randomisation",
            field: "trials",
            expected: "at least 1",
            got: 0.0,
        });
    }
    let difference = second.value() - first.value();
    let aggregate = first.aggregate();
    let extreme = (0..randomization.trials)
        .into_par_iter()
        .filter(|&trial| {
            let mut rng = stream(randomization.seed, trial);
            let (mut left, mut right) = (A::Stats::default(), A::Stats::default());
            let mut coins = 0u64;
            for (index, (a, b)) in first.segments().iter().zip(second.segments()).enumerate() {
                if index % 64 == 0 {
                    coins = rng.next_u64();
                }
                let (to_left, to_right) = if coins & 1 == 0 { (a, b) } else { (b, a) };
                left.add(to_left);
                right.add(to_right);
                coins >>= 1;
            }
            let value = aggregate.score(&right).value() - aggregate.score(&left).value();
            at_least(value, difference)
        })
        .count();
    let p_value = (extreme + 1) as f64 / (randomization.trials + 1) as f64;
    Ok(Comparison { difference, interval: None, p_value })
}

/// p values that may be compared with one significance level although several questions were asked,
/// in the order given. **Source** Holm 1979, step-down.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        let scaled = p_values[index] * (p_values.len() - rank) as f64;
        largest = largest.max(scaled.min(1.0));
        adjusted[index] = largest;
    }
    adjusted
}

/// Whether a resampled value is as far from zero as the observed one, but for rounding.
fn at_least(value: f64, observed: f64) -> bool {
    value.abs() >= observed.abs() - 1e-12 * observed.abs().max(1.0)
}

fn same_length<A: Aggregate>(first: &Measurement<A>, second: &Measurement<A>) -> Result<()> {
    let (expected, got) = (first.segments().len(), second.segments().len());
    if expected != got {
        return Err(Error::CountMismatch { what: "segments of the second system", expected, got });
    }
    let mut runs = first.runs().iter().zip(second.runs());
    match runs.find(|(expected, got)| expected != got) {
        Some((&expected, &got)) => {
            Err(Error::CountMismatch { what: "segments of a run of the second system", expected, got })
        }
        None => Ok(()),
    }
}
