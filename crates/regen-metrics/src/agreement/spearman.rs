//! Spearman's rho: whether two raters put the units in the same order.

use super::alpha::midranks;
use crate::aggregate::{Aggregate, Statistics};
use crate::error::{Error, Result};
use crate::measurement::Measurement;

/// Spearman's rank correlation, in −1..=1; equal values share the mean of their ranks. A resample in which one side
/// does not vary counts as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spearman;

/// Pairs of values. Ranks depend on all of them, so no sum would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpearmanStats {
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Statistics for SpearmanStats {
    fn add(&mut self, other: &Self) {
        self.first.extend_from_slice(&other.first);
        self.second.extend_from_slice(&other.second);
    }
}

impl Aggregate for Spearman {
    type Stats = SpearmanStats;
    type Score = f64;

    fn name(&self) -> String {
        "Spearman's rho".to_owned()
    }

    fn score(&self, total: &SpearmanStats) -> f64 {
        let mean = (total.first.len() as f64 + 1.0) / 2.0;
        let (mut both, mut ours, mut theirs) = (0.0, 0.0, 0.0);
        for (first, second) in midranks(&total.first).into_iter().zip(midranks(&total.second)) {
            let (first, second) = (first - mean, second - mean);
            both += first * second;
            ours += first * first;
            theirs += second * second;
        }
        let norms = f64::sqrt(ours * theirs);
        if norms > 0.0 { (both / norms).clamp(-1.0, 1.0) } else { 0.0 }
    }
}

/// The rank correlation of two series over the same units.
///
/// **Source** Spearman 1904, as the correlation of midranks; values equal `scipy.stats.spearmanr`.
///
/// # Errors
/// [`Error::CountMismatch`], [`Error::Empty`]; [`Error::NotFinite`] naming the unit; [`Error::NoVariation`] where all
/// values of one side are equal.
pub fn spearman(first: &[f64], second: &[f64]) -> Result<Measurement<Spearman>> {
    if first.len() != second.len() {
        return Err(Error::CountMismatch { what: "second series", expected: first.len(), got: second.len() });
    }
    for series in [first, second] {
        if let Some(segment) = series.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite { what: "rating", segment });
        }
    }
    let segments = first
        .iter()
        .zip(second)
        .map(|(&first, &second)| SpearmanStats { first: vec![first], second: vec![second] })
        .collect();
    let signature = format!("ranks:mid|unit:rated|version:regen.{}", env!("CARGO_PKG_VERSION"));
    let measured = Measurement::new(Spearman, segments, signature)?;
    if [first, second].iter().any(|series| series.iter().all(|value| value == &series[0])) {
        return Err(Error::NoVariation { metric: "Spearman's rho" });
    }
    Ok(measured)
}
