//! Do the raters agree?

use std::collections::BTreeSet;

use regen_metrics::agreement::{KappaWeights, Scale, cohen_kappa, krippendorff_alpha};
use regen_metrics::{Bootstrap, Interval};
use serde::Serialize;

use super::units::{ratings, statistics};
use crate::answer::{Answered, Rater};
use crate::error::Result;
use crate::study::{Design, Study};

/// Agreement on one attribute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// The attribute.
    pub attribute: String,
    /// Krippendorff's ordinal alpha over all raters: scores 1 to 5, or first, tie, second. `None` where no text has two
    /// raters, or all answers are the same.
    pub alpha: Option<f64>,
    /// Interval of alpha, resampling what was judged.
    pub interval: Option<Interval>,
    /// Texts or pairs that two or more raters judged.
    pub shared: usize,
    /// Cohen's quadratically weighted kappa of every two raters who share something.
    pub pairs: Vec<PairOfRaters>,
}

/// Agreement of two raters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairOfRaters {
    /// Their names.
    pub raters: [String; 2],
    /// Quadratic kappa; `None` where both gave the same answer throughout.
    pub kappa: Option<f64>,
    /// Texts or pairs that both judged.
    pub shared: usize,
}

pub(super) fn agreement(
    study: &Study,
    raters: &[Rater],
    answers: &[Answered],
    bootstrap: &Bootstrap,
) -> Result<Vec<Agreement>> {
    let value = |answered: &Answered| answered.answer.score().or(answered.answer.points());
    // Points are 0, a half, 1; scores 1 to 5.
    let (categories, category): (usize, fn(f64) -> usize) = match study.design {
        Design::Single => (5, |score| (score as usize).clamp(1, 5) - 1),
        Design::Pairs => (3, |points| (points * 2.0) as usize),
    };
    let mut found = Vec::new();
    for attribute in &study.rubric.attributes {
        let units = ratings(answers, &attribute.name, value);
        if units.is_empty() {
            continue;
        }
        let values: Vec<Vec<Option<f64>>> = units
            .values()
            .map(|ratings| raters.iter().map(|rater| ratings.get(&rater.number).copied()).collect())
            .collect();
        let alpha = krippendorff_alpha(&values, Scale::Ordinal).ok();
        let interval =
            alpha.as_ref().map(|alpha| alpha.interval(bootstrap)).transpose().map_err(statistics)?;
        let present: BTreeSet<usize> = units.values().flat_map(|ratings| ratings.keys().copied()).collect();
        let mut pairs = Vec::new();
        for &one in &present {
            for &other in present.range(one + 1..) {
                let (ours, theirs): (Vec<usize>, Vec<usize>) = units
                    .values()
                    .filter_map(|ratings| {
                        Some((category(*ratings.get(&one)?), category(*ratings.get(&other)?)))
                    })
                    .unzip();
                if ours.is_empty() {
                    continue;
                }
                let kappa = cohen_kappa(&ours, &theirs, categories, KappaWeights::Quadratic).ok();
                let name = |number: usize| {
                    raters
                        .iter()
                        .find(|rater| rater.number == number)
                        .map_or_else(String::new, |rater| rater.name.clone())
                };
                pairs.push(PairOfRaters {
                    raters: [name(one), name(other)],
                    kappa: kappa.map(|kappa| kappa.value()),
                    shared: ours.len(),
                });
            }
        }
        found.push(Agreement {
            attribute: attribute.name.clone(),
            alpha: alpha.map(|alpha| alpha.value()),
            interval,
            shared: units.values().filter(|ratings| ratings.len() > 1).count(),
            pairs,
        });
    }
    Ok(found)
}
