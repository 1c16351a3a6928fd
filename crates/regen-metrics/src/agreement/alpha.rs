//! Krippendorff's alpha: one minus observed over expected disagreement, for any number of raters and with gaps.
//!
//! Disagreement within a set of `m` values is f = Σ δ over ordered pairs, divided by m − 1. Observed is its sum over the
//! units, expected the same of all values in one pot. The ordinal δ of Krippendorff, (n_c/2 + n_between + n_k/2)²,
//! is the squared difference of midranks, so that ordinal alpha is interval alpha of midranks.

use crate::aggregate::{Aggregate, Statistics};
use crate::error::{Error, Result};
use crate::measurement::Measurement;

/// Which values are how far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Names: values differ or do not.
    Nominal,
    /// Ranks, such as most rating scales: the distance is what other ratings lie between.
    Ordinal,
    /// Numbers: squared differences.
    Interval,
}

impl Scale {
    fn name(self) -> &'static str {
        match self {
            Self::Nominal => "nominal",
            Self::Ordinal => "ordinal",
            Self::Interval => "interval",
        }
    }
}

/// Krippendorff's alpha: 1 for perfect agreement, 0 for that of chance, negative for systematic disagreement.
///
/// Where all values are equal nothing can be said; such a resample counts as 0, as in Krippendorff's own bootstrap
/// ("lack of variation").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alpha {
    /// Which values are how far apart.
    pub scale: Scale,
}

/// The ratings of one unit, or of many after adding. No sum is sufficient: ordinal distances depend on all values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlphaStats {
    /// The values of the units, one unit after the other; units with a single value are left out.
    values: Vec<f64>,
    /// Number of values of each unit.
    sizes: Vec<u32>,
}

impl AlphaStats {
    /// The ratings of one unit; fewer than two say nothing of agreement and are dropped.
    fn of(values: Vec<f64>) -> Self {
        if values.len() < 2 {
            return Self::default();
        }
        Self { sizes: vec![values.len() as u32], values }
    }
}

impl Statistics for AlphaStats {
    fn add(&mut self, other: &Self) {
        self.values.extend_from_slice(&other.values);
        self.sizes.extend_from_slice(&other.sizes);
    }
}

/// Disagreement of one set of values, divided by one less than their number.
fn disagreement(values: &[f64], scale: Scale) -> f64 {
    let count = values.len() as f64;
    let pairs = match scale {
        Scale::Nominal => {
            let mut sorted = values.to_vec();
            sorted.sort_unstable_by(f64::total_cmp);
            let equal: f64 = sorted.chunk_by(|a, b| a == b).map(|run| (run.len() as f64).powi(2)).sum();
            count * count - equal
        }
        // Σ (x_i − x_j)² over ordered pairs, by the mean so that large values do not cancel.
        Scale::Ordinal | Scale::Interval => {
            let mean = values.iter().sum::<f64>() / count;
            2.0 * count * values.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
        }
    };
    pairs / (count - 1.0)
}

/// Ranks from 1, where equal values share the mean of their places.
pub(super) fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| values[a as usize].total_cmp(&values[b as usize]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for run in order.chunk_by(|&a, &b| values[a as usize] == values[b as usize]) {
        let rank = before as f64 + (run.len() as f64 + 1.0) / 2.0;
        for &place in run {
            ranks[place as usize] = rank;
        }
        before += run.len();
    }
    ranks
}

impl Aggregate for Alpha {
    type Stats = AlphaStats;
    type Score = f64;

    fn name(&self) -> String {
        "Krippendorff's alpha".to_owned()
    }

    fn score(&self, total: &AlphaStats) -> f64 {
        if total.values.len() < 2 {
            return 0.0;
        }
        let ranks;
        let values: &[f64] = match self.scale {
            Scale::Ordinal => {
                ranks = midranks(&total.values);
                &ranks
            }
            Scale::Nominal | Scale::Interval => &total.values,
        };
        let expected = disagreement(values, self.scale);
        if expected <= 0.0 {
            return 0.0;
        }
        let mut rest = values;
        let mut observed = 0.0;
        for &size in &total.sizes {
            let (unit, after) = rest.split_at(size as usize);
            observed += disagreement(unit, self.scale);
            rest = after;
        }
        1.0 - observed / expected
    }
}

/// Alpha of `units[u]`, the ratings that unit `u` got; `None` is a rating that a rater did not give, and units may
/// have different numbers of ratings. Who gave which rating does not matter.
///
/// **Source** Krippendorff 2011, *Computing Krippendorff's Alpha-Reliability*; values equal the Python package
/// `krippendorff`.
///
/// # Errors
/// [`Error::Empty`] without a unit of two ratings; [`Error::NoVariation`] where all ratings are equal;
/// [`Error::NotFinite`] naming the unit.
pub fn krippendorff_alpha<U: AsRef<[Option<f64>]>>(units: &[U], scale: Scale) -> Result<Measurement<Alpha>> {
    let mut segments = Vec::with_capacity(units.len());
    let mut first = None;
    let mut varies = false;
    for (segment, unit) in units.iter().enumerate() {
        let values: Vec<f64> = unit.as_ref().iter().flatten().copied().collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Error::NotFinite { what: "rating", segment });
        }
        if values.len() > 1 {
            let first = *first.get_or_insert(values[0]);
            varies |= values.iter().any(|&value| value != first);
        }
        segments.push(AlphaStats::of(values));
    }
    if first.is_none() {
        return Err(Error::Empty);
    }
    if !varies {
        return Err(Error::NoVariation { metric: "Krippendorff's alpha" });
    }
    let signature = format!("scale:{}|unit:rated|version:regen.{}", scale.name(), env!("CARGO_PKG_VERSION"));
    Measurement::new(Alpha { scale }, segments, signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_the_mean_of_their_places() {
        assert_eq!(midranks(&[3.0, 1.0, 3.0, 2.0, 3.0]), [4.0, 1.0, 4.0, 2.0, 4.0]);
        assert_eq!(midranks(&[]), [0.0; 0]);
    }

    #[test]
    fn ordinal_distance_by_midranks_is_that_of_the_definition() {
        // Counts of the values 1, 2, 3: 2, 3, 1. From 1 to 3: 2/2 + 3 + 1/2.
        let ranks = midranks(&[1.0, 1.0, 2.0, 2.0, 2.0, 3.0]);
        assert_eq!(ranks[5] - ranks[0], 4.5);
    }
}
