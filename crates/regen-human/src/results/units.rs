//! Answers brought together by what was judged.

use std::collections::{BTreeMap, HashMap};

use regen_metrics::{Mean, MeanStats, Measurement};

use crate::answer::Answered;
use crate::error::{Error, Result};
use crate::study::{Shown, Study};

/// Answers to one attribute: by what is shown, then by case.
pub(super) type ByShown<'a> = BTreeMap<Shown, BTreeMap<usize, Vec<&'a Answered>>>;

pub(super) fn by_shown<'a>(answers: &'a [Answered], attribute: &str) -> ByShown<'a> {
    let mut found = ByShown::new();
    for answered in answers.iter().filter(|answered| answered.attribute == attribute) {
        let cases = found.entry(answered.task.shown).or_default();
        cases.entry(answered.task.case).or_default().push(answered);
    }
    found
}

/// The mean of each case over its raters, for cases where at least one said something that counts.
pub(super) fn case_means(
    cases: &BTreeMap<usize, Vec<&Answered>>,
    value: impl Fn(&Answered) -> Option<f64>,
) -> BTreeMap<usize, f64> {
    cases
        .iter()
        .filter_map(|(&case, answers)| {
            let values: Vec<f64> = answers.iter().filter_map(|answered| value(answered)).collect();
            (!values.is_empty()).then(|| (case, values.iter().sum::<f64>() / values.len() as f64))
        })
        .collect()
}

/// What intervals and tests draw: users where every case has one, else cases.
pub(super) fn unit(study: &Study) -> &'static str {
    if study.cases.iter().all(|case| case.user.is_some()) { "user" } else { "case" }
}

/// Case means as a measurement, one segment per unit.
pub(super) fn measurement(study: &Study, name: &str, means: &[(usize, f64)]) -> Result<Measurement<Mean>> {
    let segments = means.iter().map(|&(_, mean)| MeanStats::of(mean)).collect();
    let signature = format!(
        "raters:people|rubric:{}|design:{}|unit:{}|version:regen.{}",
        study.rubric.name,
        match study.design {
            crate::Design::Single => "single",
            crate::Design::Pairs => "pairs",
        },
        unit(study),
        env!("CARGO_PKG_VERSION")
    );
    let measured = Measurement::new(Mean::named(name), segments, signature).map_err(statistics)?;
    if unit(study) == "case" {
        return Ok(measured);
    }
    let users: Vec<Option<&str>> =
        means.iter().map(|(case, _)| study.cases.get(*case).and_then(|case| case.user.as_deref())).collect();
    measured.grouped(&users).map_err(statistics)
}

pub(super) fn statistics(source: regen_metrics::Error) -> Error {
    Error::Statistics { source }
}

/// Corrects p values of one family of questions, in place. **Source** Holm 1979.
pub(super) fn correct<T>(questions: &mut [T], p: impl Fn(&mut T) -> (f64, &mut f64)) {
    let values: Vec<f64> = questions.iter_mut().map(|question| p(question).0).collect();
    for (question, corrected) in questions.iter_mut().zip(regen_metrics::holm(&values)) {
        *p(question).1 = corrected;
    }
}

/// Answers of each rater to each unit of judgement, for agreement.
pub(super) fn ratings(
    answers: &[Answered],
    attribute: &str,
    value: impl Fn(&Answered) -> Option<f64>,
) -> BTreeMap<(usize, Shown), HashMap<usize, f64>> {
    let mut units: BTreeMap<(usize, Shown), HashMap<usize, f64>> = BTreeMap::new();
    for answered in answers.iter().filter(|answered| answered.attribute == attribute) {
        if let Some(value) = value(answered) {
            units.entry((answered.task.case, answered.task.shown)).or_default().insert(answered.rater, value);
        }
    }
    units
}
