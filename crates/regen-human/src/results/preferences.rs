//! Pairs: how often which system is preferred, and whether that is more than chance.

use regen_metrics::{Bootstrap, Interval, Randomization, approximate_randomization};
use serde::Serialize;

use super::units::{by_shown, case_means, correct, measurement, statistics};
use crate::answer::{Answer, Answered};
use crate::error::Result;
use crate::study::{Shown, Study};

/// Preferences between two systems on one attribute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preference {
    /// The attribute.
    pub attribute: String,
    /// One system.
    pub first: String,
    /// The other.
    pub second: String,
    /// How far the second is preferred: mean over the cases of the mean over their raters, where a tie counts one half.
    pub win_rate: f64,
    /// Interval of the win rate, resampling units: one that lies above 0.5 favours the second.
    pub interval: Interval,
    /// Two-sided p of "neither is preferred": exchanging the systems case by case.
    pub p_randomization: f64,
    /// The same after Holm's correction over all attributes and pairs of systems.
    pub p_holm: f64,
    /// Answers for the second.
    pub wins: usize,
    /// Answers for the first.
    pub losses: usize,
    /// Answers for neither.
    pub ties: usize,
    /// Answers that said "cannot tell".
    pub unsure: usize,
    /// Share of decided answers for the text on the left: 0.5 without position bias, `None` where all are ties.
    pub left_share: Option<f64>,
    /// Cases with a preference or a tie.
    pub cases: usize,
    /// Every choice that moves the number.
    pub signature: String,
}

pub(super) fn preferences(
    study: &Study,
    answers: &[Answered],
    bootstrap: &Bootstrap,
) -> Result<Vec<Preference>> {
    let mut found = Vec::new();
    for attribute in &study.rubric.attributes {
        for (shown, cases) in by_shown(answers, &attribute.name) {
            let Shown::Two { first, second } = shown else { continue };
            let points: Vec<(usize, f64)> =
                case_means(&cases, |answered| answered.answer.points()).into_iter().collect();
            if points.is_empty() {
                continue;
            }
            let reversed: Vec<(usize, f64)> =
                points.iter().map(|&(case, points)| (case, 1.0 - points)).collect();
            let measured = measurement(study, &attribute.name, &points)?;
            let other = measurement(study, &attribute.name, &reversed)?;
            let trials = Randomization::seeded(bootstrap.seed);
            let p = approximate_randomization(&other, &measured, &trials).map_err(statistics)?.p_value;
            let all: Vec<&Answered> = cases.values().flatten().copied().collect();
            let count = |answer| all.iter().filter(|answered| answered.answer == answer).count();
            let (wins, losses) = (count(Answer::Second), count(Answer::First));
            // On the left stands the first system, unless sides were exchanged.
            let left = all
                .iter()
                .filter(|answered| match answered.answer {
                    Answer::First => !answered.swapped,
                    Answer::Second => answered.swapped,
                    _ => false,
                })
                .count();
            let name = |system: usize| study.systems.get(system).cloned().unwrap_or_default();
            found.push(Preference {
                attribute: attribute.name.clone(),
                first: name(first),
                second: name(second),
                win_rate: measured.value(),
                interval: measured.interval(bootstrap).map_err(statistics)?,
                p_randomization: p,
                p_holm: p,
                wins,
                losses,
                ties: count(Answer::Tie),
                unsure: count(Answer::Unsure),
                left_share: (wins + losses > 0).then(|| left as f64 / (wins + losses) as f64),
                cases: points.len(),
                signature: measured.signature().to_owned(),
            });
        }
    }
    correct(&mut found, |preference| (preference.p_randomization, &mut preference.p_holm));
    Ok(found)
}
