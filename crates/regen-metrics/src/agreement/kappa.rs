//! Cohen's kappa: agreement of two raters on the same units, corrected for what their own habits would give by chance.

use crate::aggregate::{Aggregate, Statistics};
use crate::error::{Error, Result};
use crate::measurement::Measurement;

/// What a disagreement between two categories costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KappaWeights {
    /// The same for every disagreement: the plain kappa of names.
    Plain,
    /// The distance of the categories.
    Linear,
    /// The squared distance of the categories.
    Quadratic,
}

impl KappaWeights {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Linear => "linear",
            Self::Quadratic => "quadratic",
        }
    }

    fn weight(self, first: usize, second: usize) -> f64 {
        let distance = first.abs_diff(second) as f64;
        match self {
            Self::Plain => f64::from(u8::from(first != second)),
            Self::Linear => distance,
            Self::Quadratic => distance * distance,
        }
    }
}

/// Cohen's kappa: 1 for perfect agreement, 0 for that of chance. Where chance leaves no disagreement (both raters
/// always gave the same category) nothing can be said; such a resample counts as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kappa {
    /// What a disagreement costs.
    pub weights: KappaWeights,
    /// Number of categories.
    pub categories: usize,
}

/// The contingency table of two raters: `[categories, categories]`, rows by the first rater; empty for no units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KappaStats {
    table: Vec<u64>,
}

impl Statistics for KappaStats {
    fn add(&mut self, other: &Self) {
        if self.table.len() < other.table.len() {
            self.table.resize(other.table.len(), 0);
        }
        for (ours, theirs) in self.table.iter_mut().zip(&other.table) {
            *ours += theirs;
        }
    }
}

impl Kappa {
    /// Observed and expected cost, both as shares of units; `None` without units.
    fn costs(&self, total: &KappaStats) -> Option<(f64, f64)> {
        let units = total.table.iter().sum::<u64>() as f64;
        if units == 0.0 {
            return None;
        }
        let (mut rows, mut columns) = (vec![0.0; self.categories], vec![0.0; self.categories]);
        let mut observed = 0.0;
        for (first, row) in total.table.chunks_exact(self.categories).enumerate() {
            for (second, &count) in row.iter().enumerate() {
                rows[first] += count as f64;
                columns[second] += count as f64;
                observed += count as f64 * self.weights.weight(first, second);
            }
        }
        let mut expected = 0.0;
        for (first, row) in rows.iter().enumerate() {
            for (second, column) in columns.iter().enumerate() {
                expected += row * column * self.weights.weight(first, second);
            }
        }
        Some((observed / units, expected / (units * units)))
    }
}

impl Aggregate for Kappa {
    type Stats = KappaStats;
    type Score = f64;

    fn name(&self) -> String {
        "Cohen's kappa".to_owned()
    }

    fn score(&self, total: &KappaStats) -> f64 {
        match self.costs(total) {
            Some((observed, expected)) if expected > 0.0 => 1.0 - observed / expected,
            _ => 0.0,
        }
    }
}

/// Kappa of two raters over the same units: `first[u]` and `second[u]` are categories, counted from 0 in the order of
/// the scale. Units that one of them left out are left out by the caller.
///
/// DIFFERENCE: scikit-learn takes the categories from the data, so that an unused step of a scale shortens weighted
/// distances; here the scale is the caller's, as with scikit-learn's `labels=`.
///
/// **Source** Cohen 1960 and 1968 (weighted); values equal `sklearn.metrics.cohen_kappa_score`.
///
/// # Errors
/// [`Error::CountMismatch`], [`Error::Empty`]; [`Error::OutOfRange`] for a category that the scale lacks, or a scale
/// outside 2 to 100; [`Error::NoVariation`] where both raters gave one and the same category throughout.
pub fn cohen_kappa(
    first: &[usize],
    second: &[usize],
    categories: usize,
    weights: KappaWeights,
) -> Result<Measurement<Kappa>> {
    const NAME: &str = "Cohen's kappa";
    if first.len() != second.len() {
        return Err(Error::CountMismatch {
            what: "ratings of the second rater",
            expected: first.len(),
            got: second.len(),
        });
    }
    let refuse = |field, expected, got: usize| {
        Err(Error::OutOfRange { metric: NAME, field, expected, got: got as f64 })
    };
    if !(2..=100).contains(&categories) {
        return refuse("categories", "2 to 100", categories);
    }
    let mut segments = Vec::with_capacity(first.len());
    for (&ours, &theirs) in first.iter().zip(second) {
        if ours.max(theirs) >= categories {
            return refuse("rating", "below the number of categories", ours.max(theirs));
        }
        let mut table = vec![0; categories * categories];
        table[ours * categories + theirs] = 1;
        segments.push(KappaStats { table });
    }
    let signature = format!(
        "weights:{}|categories:{categories}|unit:rated|version:regen.{}",
        weights.name(),
        env!("CARGO_PKG_VERSION")
    );
    let measured = Measurement::new(Kappa { weights, categories }, segments, signature)?;
    if first.iter().chain(second).all(|rating| rating == &first[0]) {
        return Err(Error::NoVariation { metric: NAME });
    }
    Ok(measured)
}
