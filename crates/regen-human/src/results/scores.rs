//! Single texts: the mean score of each system, and whether systems differ.

use regen_metrics::{Bootstrap, Interval, Randomization, approximate_randomization, paired_bootstrap};
use serde::Serialize;

use super::units::{by_shown, case_means, correct, measurement, statistics};
use crate::answer::Answered;
use crate::error::Result;
use crate::study::{Shown, Study};

/// The mean score of one system on one attribute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeanScore {
    /// The attribute.
    pub attribute: String,
    /// The system.
    pub system: String,
    /// Mean over the cases of the mean over their raters, 1 to 5.
    pub mean: f64,
    /// Interval of the mean, resampling units.
    pub interval: Interval,
    /// Cases with a score.
    pub cases: usize,
    /// Scores.
    pub scores: usize,
    /// Answers that said "cannot tell".
    pub unsure: usize,
    /// Every choice that moves the number.
    pub signature: String,
}

/// Whether two systems differ on one attribute, over the cases that were scored for both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contrast {
    /// The attribute.
    pub attribute: String,
    /// One system.
    pub first: String,
    /// The other.
    pub second: String,
    /// Mean of the second minus mean of the first.
    pub difference: f64,
    /// Interval of the difference.
    pub interval: Option<Interval>,
    /// Two-sided p of a paired bootstrap.
    pub p_bootstrap: f64,
    /// Two-sided p of approximate randomisation.
    pub p_randomization: f64,
    /// The latter after Holm's correction over all attributes and pairs of systems.
    pub p_holm: f64,
    /// Cases that both were scored for.
    pub cases: usize,
}

pub(super) fn means(study: &Study, answers: &[Answered], bootstrap: &Bootstrap) -> Result<Vec<MeanScore>> {
    let mut found = Vec::new();
    for attribute in &study.rubric.attributes {
        for (shown, cases) in by_shown(answers, &attribute.name) {
            let Shown::One { system } = shown else { continue };
            let means: Vec<(usize, f64)> =
                case_means(&cases, |answered| answered.answer.score()).into_iter().collect();
            if means.is_empty() {
                continue;
            }
            let measured = measurement(study, &attribute.name, &means)?;
            let all = cases.values().flatten();
            let scores = all.clone().filter(|answered| answered.answer.score().is_some()).count();
            found.push(MeanScore {
                attribute: attribute.name.clone(),
                system: study.systems.get(system).cloned().unwrap_or_default(),
                mean: measured.value(),
                interval: measured.interval(bootstrap).map_err(statistics)?,
                cases: means.len(),
                scores,
                unsure: all.count() - scores,
                signature: measured.signature().to_owned(),
            });
        }
    }
    Ok(found)
}

pub(super) fn contrasts(study: &Study, answers: &[Answered], bootstrap: &Bootstrap) -> Result<Vec<Contrast>> {
    let mut found = Vec::new();
    for attribute in &study.rubric.attributes {
        let by_shown = by_shown(answers, &attribute.name);
        let of = |system| {
            let cases = by_shown.get(&Shown::One { system })?;
            Some(case_means(cases, |answered| answered.answer.score()))
        };
        for first in 0..study.systems.len() {
            for second in first + 1..study.systems.len() {
                let (Some(ours), Some(theirs)) = (of(first), of(second)) else { continue };
                let (left, right): (Vec<_>, Vec<_>) = ours
                    .iter()
                    .filter_map(|(&case, &mean)| Some(((case, mean), (case, *theirs.get(&case)?))))
                    .unzip();
                if left.is_empty() {
                    continue;
                }
                let one = measurement(study, &attribute.name, &left)?;
                let other = measurement(study, &attribute.name, &right)?;
                let test = paired_bootstrap(&one, &other, bootstrap).map_err(statistics)?;
                let trials = Randomization::seeded(bootstrap.seed);
                let exchanged = approximate_randomization(&one, &other, &trials).map_err(statistics)?;
                found.push(Contrast {
                    attribute: attribute.name.clone(),
                    first: study.systems[first].clone(),
                    second: study.systems[second].clone(),
                    difference: test.difference,
                    interval: test.interval,
                    p_bootstrap: test.p_value,
                    p_randomization: exchanged.p_value,
                    p_holm: exchanged.p_value,
                    cases: left.len(),
                });
            }
        }
    }
    correct(&mut found, |contrast| (contrast.p_randomization, &mut contrast.p_holm));
    Ok(found)
}
