//! Choosing one of several texts that were written for the same request: the one that the others agree with most.
//!
//! A greedy text is the most probable token after token, and often an odd one as a whole. Texts that are drawn from the model say
//! what it expects; the candidate whose mean score against all of them is the best is the one of least expected risk.
//!
//! **Source** Kumar and Byrne 2004, "Minimum Bayes-Risk Decoding for Statistical Machine Translation"; with drawn candidates as
//! the expectation: Eikema and Aziz 2020, "Is MAP Decoding All You Need?", section 6.

use std::collections::HashMap;

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::aggregate::{Metric, Scored};
use crate::error::{Error, Result};

/// Which candidate the others agree with most.
#[derive(Debug, Clone, PartialEq)]
pub struct Consensus {
    /// Index of the candidate; the first of those that are equally good.
    pub best: usize,
    /// Of each candidate, its mean score with every candidate, itself included, as the reference.
    pub utilities: Vec<f64>,
}

impl Consensus {
    fn of(utilities: Vec<f64>, higher_is_better: bool) -> Result<Self> {
        let better = |new: f64, old: f64| if higher_is_better { new > old } else { new < old };
        let mut each = utilities.iter().copied().enumerate();
        let mut leader = each.next().ok_or(Error::Empty)?;
        for (index, utility) in each {
            if better(utility, leader.1) {
                leader = (index, utility);
            }
        }
        Ok(Self { best: leader.0, utilities })
    }
}

/// The candidate with the best expected `metric`, each candidate in turn being what might have been meant. A text that was drawn
/// twice counts twice.
///
/// n candidates cost at most n² scores of one segment. Metrics that are made for single texts suit: ROUGE, chrF, METEOR, BLEU with
/// effective order. The choice favours the metric that makes it, so report others beside it.
///
/// Runs on all threads of the current rayon pool; the result does not depend on their number.
///
/// ```
/// use regen_metrics::{Rouge, consensus};
///
/// let drawn = ["a pen for the office", "warm socks", "a blue pen for the office"];
/// assert_eq!(consensus(&Rouge::l(), &drawn)?.best, 0);
/// # Ok::<(), regen_metrics::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`] without candidates.
pub fn consensus<M, H>(metric: &M, candidates: &[H]) -> Result<Consensus>
where
    M: Metric,
    H: AsRef<str> + Sync,
{
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut texts: Vec<(&str, u32)> = Vec::new();
    let mut place_of = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let text = candidate.as_ref();
        let place = *places.entry(text).or_insert_with(|| {
            texts.push((text, 0));
            texts.len() - 1
        });
        texts[place].1 += 1;
        place_of.push(place);
    }
    let mean_score = |scratch: &mut M::Scratch, &(hypothesis, _): &(&str, u32)| {
        let scores = texts.iter().map(|&(reference, times)| {
            f64::from(times) * metric.score(&metric.segment_with(scratch, hypothesis, &[reference])).value()
        });
        scores.sum::<f64>() / candidates.len() as f64
    };
    let means: Vec<f64> = texts.par_iter().map_init(M::Scratch::default, mean_score).collect();
    let utilities = place_of.into_iter().map(|place| means[place]).collect();
    Consensus::of(utilities, metric.higher_is_better())
}

/// The candidate whose vector has the highest mean cosine to those of all candidates. A row of zeros has cosine 0 with everything.
///
/// **Shapes** `vectors: [candidates, dim]`.
///
/// # Errors
/// [`Error::Empty`] without candidates; [`Error::NotFinite`] naming the candidate.
pub fn consensus_of_vectors(vectors: ArrayView2<'_, f32>) -> Result<Consensus> {
    let mut mean = vec![0.0; vectors.ncols()];
    let mut units = Vec::with_capacity(vectors.nrows());
    for (segment, row) in vectors.rows().into_iter().enumerate() {
        let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Err(Error::NotFinite { what: "vector", segment });
        }
        let scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
        let unit: Vec<f64> = row.iter().map(|&x| f64::from(x) * scale).collect();
        for (sum, x) in mean.iter_mut().zip(&unit) {
            *sum += x / vectors.nrows() as f64;
        }
        units.push(unit);
    }
    let utilities = units.iter().map(|unit| unit.iter().zip(&mean).map(|(a, b)| a * b).sum()).collect();
    Consensus::of(utilities, true)
}
