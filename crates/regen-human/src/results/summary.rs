//! The whole: who judged how much, and what came of it.

use std::collections::HashMap;

use regen_metrics::Bootstrap;
use serde::Serialize;

use super::agreement::{Agreement, agreement};
use super::preferences::{Preference, preferences};
use super::scores::{Contrast, MeanScore, contrasts, means};
use crate::error::Result;
use crate::order::order_of;
use crate::store::Store;
use crate::study::{Design, Study};

/// How far a rater came.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Progress {
    /// The rater's name.
    pub rater: String,
    /// Tasks with an answer to every attribute.
    pub complete: usize,
    /// Tasks of this rater.
    pub tasks: usize,
    /// Median seconds from showing a task to its last answer; `None` without answers.
    pub median_seconds: Option<f64>,
}

/// Everything that a study came to so far.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// Alone or in pairs.
    pub design: Design,
    /// The rubric's name.
    pub rubric: String,
    /// The systems.
    pub systems: Vec<String>,
    /// Number of cases.
    pub cases: usize,
    /// Number of answers, "cannot tell" included.
    pub answers: usize,
    /// One entry per rater, in the order of joining.
    pub raters: Vec<Progress>,
    /// Single texts: mean scores.
    pub scores: Vec<MeanScore>,
    /// Single texts: differences of systems.
    pub contrasts: Vec<Contrast>,
    /// Pairs: preferences.
    pub preferences: Vec<Preference>,
    /// Agreement of the raters.
    pub agreement: Vec<Agreement>,
}

/// Evaluates all answers that a store holds; the same answers and bootstrap give the same results.
///
/// # Errors
/// [`Error::Store`](crate::Error::Store), [`Error::Damaged`](crate::Error::Damaged);
/// [`Error::Statistics`](crate::Error::Statistics) for a bootstrap that gives no interval.
pub fn evaluate(study: &Study, store: &mut Store, bootstrap: &Bootstrap) -> Result<Results> {
    let answers = store.answers(study, None)?;
    let raters = store.raters()?;
    let mut progress = Vec::with_capacity(raters.len());
    for rater in &raters {
        let mut by_task: HashMap<_, (usize, f64)> = HashMap::new();
        for answered in answers.iter().filter(|answered| answered.rater == rater.number) {
            let (count, last) = by_task.entry(answered.task).or_default();
            *count += 1;
            *last = last.max(answered.seconds);
        }
        let order = order_of(study, rater.number);
        let complete =
            |task| by_task.get(&task).is_some_and(|(count, _)| *count == study.attributes(task).len());
        let mut seconds: Vec<f64> = by_task.values().map(|(_, last)| *last).collect();
        seconds.sort_unstable_by(f64::total_cmp);
        progress.push(Progress {
            rater: rater.name.clone(),
            complete: order.iter().filter(|assigned| complete(assigned.task)).count(),
            tasks: order.len(),
            median_seconds: seconds.get(seconds.len() / 2).copied(),
        });
    }
    Ok(Results {
        design: study.design,
        rubric: study.rubric.name.clone(),
        systems: study.systems.clone(),
        cases: study.cases.len(),
        answers: answers.len(),
        raters: progress,
        scores: means(study, &answers, bootstrap)?,
        contrasts: contrasts(study, &answers, bootstrap)?,
        preferences: preferences(study, &answers, bootstrap)?,
        agreement: agreement(study, &raters, &answers, bootstrap)?,
    })
}
