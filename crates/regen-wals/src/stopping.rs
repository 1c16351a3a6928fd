//! Early stopping: the factors of the iteration that ranked held-out pairs best.

use std::ops::ControlFlow;

use ndarray::Array2;

use crate::config::WalsConfig;
use crate::error::{Error, Result};
use crate::evaluate::{Judge, RankingMetric, RankingReport};
use crate::fit::{InitialFactors, Progress, Stage};
use crate::interactions::InteractionMatrix;
use crate::model::{Outcome, WalsModel};

/// Ends a fit once a ranking metric on held-out pairs has stopped rising.
///
/// The pairs are looked at after every iteration and so take part in the choice of the factors:
/// what is reported in the end should be measured on others.
#[derive(Debug, Clone, Copy)]
pub struct EarlyStopping<'a> {
    /// (user, item) pairs that are not in the training matrix.
    pub held_out: &'a [(u32, u32)],
    /// What is to rise.
    pub metric: RankingMetric,
    /// Cut-off of the metric, at least 1.
    pub k: usize,
    /// Iterations in a row that may bring no new best, at least 1; the next ends the fit.
    pub patience: usize,
}

impl EarlyStopping<'_> {
    pub(crate) fn validate(&self) -> Result<()> {
        if self.patience == 0 {
            return Err(Error::InvalidSetting { field: "patience", expected: "at least 1", got: 0.0 });
        }
        Ok(())
    }

    /// Whether reports, one an iteration, end the fit.
    pub(crate) fn exhausted(&self, reports: &[RankingReport]) -> bool {
        !reports.is_empty() && reports.len() - 1 - self.best(reports) >= self.patience
    }

    /// The first report with the highest value.
    pub(crate) fn best(&self, reports: &[RankingReport]) -> usize {
        let mut best = 0;
        for (k, report) in reports.iter().enumerate() {
            if self.metric.of(report) > self.metric.of(&reports[best]) {
                best = k;
            }
        }
        best
    }
}

/// What a fit with [`EarlyStopping`] gives.
#[derive(Debug, Clone)]
pub struct EarlyStopped {
    /// The factors after the best iteration. [`WalsModel::outcome`] is
    /// [`Outcome::Finished`] when that was the last of the configuration.
    pub model: WalsModel,
    /// The iteration with the highest value of the metric, from 1.
    pub best_iteration: usize,
    /// Ranking after each iteration that ran, the first one's first.
    pub reports: Vec<RankingReport>,
}

impl WalsConfig {
    /// Factorises the matrix until the iterations are done or held-out pairs are ranked no better
    /// for some iterations, and gives back the best factors. `progress` is called as in
    /// [`fit_from`](Self::fit_from), with the ranking at [`Stage::IterationDone`].
    ///
    /// Memory: a second copy of the factors. Patience counts from the first iteration that runs
    /// here.
    ///
    /// # Errors
    /// As [`fit_from`](Self::fit_from) and [`evaluate`](crate::evaluate::evaluate);
    /// [`Error::InvalidSetting`] for a patience of 0.
    pub fn fit_until(
        &self,
        matrix: &InteractionMatrix,
        initial: InitialFactors<'_>,
        stopping: &EarlyStopping<'_>,
        progress: &mut dyn FnMut(Progress<'_>, Option<&RankingReport>) -> ControlFlow<()>,
    ) -> Result<EarlyStopped> {
        stopping.validate()?;
        let judge = Judge::new(matrix, stopping.held_out, stopping.k)?;
        let mut reports: Vec<RankingReport> = Vec::new();
        let mut kept: Option<(Array2<f32>, Array2<f32>)> = None;
        let last = self.fit_judged(matrix, initial, &judge, &mut |mut current, report| {
            if let Some(report) = report {
                reports.push(report);
                if stopping.best(&reports) + 1 == reports.len() {
                    let (users, items) = current.factors();
                    match &mut kept {
                        Some((best_users, best_items)) => {
                            best_users.assign(&users);
                            best_items.assign(&items);
                        }
                        None => kept = Some((users.to_owned(), items.to_owned())),
                    }
                }
            }
            let flow = progress(current, report.as_ref());
            if stopping.exhausted(&reports) { ControlFlow::Break(()) } else { flow }
        })?;
        let Some((users, items)) = kept else {
            return Ok(EarlyStopped { model: last, best_iteration: initial.completed_iterations, reports });
        };
        let best_iteration = initial.completed_iterations + stopping.best(&reports) + 1;
        let outcome = if best_iteration == self.iterations {
            Outcome::Finished
        } else {
            Outcome::Stopped { completed: best_iteration }
        };
        let model = WalsModel::assemble(self.clone(), users, items, outcome);
        Ok(EarlyStopped { model, best_iteration, reports })
    }

    /// Factorises the matrix and judges the factors after each iteration.
    pub(crate) fn fit_judged(
        &self,
        matrix: &InteractionMatrix,
        initial: InitialFactors<'_>,
        judge: &Judge<'_>,
        progress: &mut dyn FnMut(Progress<'_>, Option<RankingReport>) -> ControlFlow<()>,
    ) -> Result<WalsModel> {
        let mut failure = None;
        let model = self.fit_from(matrix, initial, &mut |mut current| {
            if current.stage != Stage::IterationDone {
                return progress(current, None);
            }
            // Looking turns the factors back, here in every iteration: so a fit that continues
            // from the factors of any of them is the same fit, bit for bit.
            let (users, items) = current.factors();
            match judge.report(users, items) {
                Ok(report) => progress(current, Some(report)),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failure.map_or(Ok(model), Err)
    }
}
