//! Running the cells, round by round.

use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::journal::{Head, Journal};
use super::space::{SearchSpace, Strategy};
use crate::checkpoint::Checkpoint;
use crate::config::WalsConfig;
use crate::error::Result;
use crate::evaluate::{Judge, RankingMetric, RankingReport};
use crate::fit::{InitialFactors, Stage};
use crate::interactions::{Fingerprint, InteractionMatrix};
use crate::stopping::EarlyStopping;

/// A search for the settings that rank held-out pairs best.
///
/// Deterministic: the same space, strategy, pairs and seed give the same report whatever the
/// threads, with or without a folder, interrupted or not; only seconds differ.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// The cells.
    pub space: &'a SearchSpace,
    /// How iterations are shared out.
    pub strategy: Strategy,
    /// What to learn from.
    pub train: &'a InteractionMatrix,
    /// What to judge by, and when a cell stops early.
    pub stopping: EarlyStopping<'a>,
    /// Where finished cells are written down, so that a search that was stopped goes on after
    /// the last of them; made if it does not exist. It also keeps the factors of cells that may
    /// go on to a next round; without a folder those cells begin anew.
    pub folder: Option<&'a Path>,
}

/// One cell with a budget of iterations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Number of the cell in [`SearchSpace::cells`].
    pub cell: usize,
    /// Its settings; their iterations are those of the whole search.
    pub config: WalsConfig,
    /// Iterations it was allowed.
    pub budget: usize,
    /// The ranking after each iteration it ran. Fewer than the budget: it stopped early.
    pub reports: Vec<RankingReport>,
    /// The iteration that ranked best, from 1.
    pub best_iteration: usize,
    /// The loss after the last iteration.
    pub objective: f64,
    /// Time of the solver over all its iterations.
    pub seconds: f64,
}

impl Trial {
    /// The ranking after the best iteration.
    pub fn best(&self) -> &RankingReport {
        &self.reports[self.best_iteration - 1]
    }
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchReport {
    /// What was to rise.
    pub metric: RankingMetric,
    /// The longest trial of each cell that ran, best first, ties to the earlier cell.
    pub trials: Vec<Trial>,
    /// Cells of the space.
    pub cells: usize,
    /// Iterations that the trials hold together.
    pub iterations: usize,
    /// Whether all rounds ran; false if the callback broke off.
    pub finished: bool,
}

/// Where a search stands.
#[derive(Debug, Clone, Copy)]
pub struct SearchProgress<'a> {
    /// The round, from 1.
    pub round: usize,
    /// Cells of this round that are done.
    pub done: usize,
    /// Cells of this round.
    pub of: usize,
    /// The settings of the cell that runs.
    pub config: &'a WalsConfig,
    /// Iterations of the cell that are done, out of `budget`.
    pub iteration: usize,
    /// Iterations that the cell may run in this round.
    pub budget: usize,
    /// The ranking after that iteration; `None` before the first.
    pub report: Option<&'a RankingReport>,
}

impl Search<'_> {
    /// Runs all rounds, or until the callback breaks: then the cell that runs is lost, and the
    /// report holds those before it.
    ///
    /// # Errors
    /// [`Error::NoCandidates`](crate::Error::NoCandidates) and
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) for the space, the strategy or the
    /// patience; [`Error::ForeignState`](crate::Error::ForeignState) for a folder that belongs to
    /// another search; those of [`WalsConfig::fit`], of
    /// [`evaluate`](crate::evaluate::evaluate) and of files.
    pub fn run(
        &self,
        progress: &mut dyn FnMut(SearchProgress<'_>) -> ControlFlow<()>,
    ) -> Result<SearchReport> {
        self.strategy.validate()?;
        self.stopping.validate()?;
        let cells = self.space.cells()?;
        let judge = Judge::new(self.train, self.stopping.held_out, self.stopping.k)?;
        let mut journal = Journal::open(self.folder, self.head())?;

        let most = self.space.base.iterations;
        let mut budget = self.strategy.first_budget(most);
        let mut live: Vec<usize> = (0..cells.len()).collect();
        let mut longest: Vec<Option<Trial>> = vec![None; cells.len()];
        let mut round = 1;
        let finished = loop {
            let mut stopped = false;
            for (done, &cell) in live.iter().enumerate() {
                let mut place = Place { round, done, of: live.len(), budget, may_go_on: budget < most };
                let earlier = longest[cell].take();
                let found = self.trial(&cells, cell, earlier, &judge, &mut journal, &mut place, progress)?;
                let (trial, broken) = found;
                longest[cell] = trial;
                if broken {
                    stopped = true;
                    break;
                }
            }
            if stopped {
                break false;
            }
            let Some((next, count)) = self.strategy.next_round(budget, most, live.len()) else {
                break true;
            };
            self.sort(&mut live, &longest);
            for &gone in &live[count..] {
                journal.forget(Some(gone));
            }
            live.truncate(count);
            live.sort_unstable();
            budget = next;
            round += 1;
        };
        if finished {
            journal.forget(None);
        }
        let mut order: Vec<usize> = (0..cells.len()).filter(|&cell| longest[cell].is_some()).collect();
        self.sort(&mut order, &longest);
        let trials: Vec<Trial> = order.into_iter().filter_map(|cell| longest[cell].take()).collect();
        Ok(SearchReport {
            metric: self.stopping.metric,
            cells: cells.len(),
            iterations: trials.iter().map(|trial| trial.reports.len()).sum(),
            trials,
            finished,
        })
    }

    /// Best first, ties to the earlier cell.
    fn sort(&self, cells: &mut [usize], trials: &[Option<Trial>]) {
        let score = |cell: usize| {
            trials[cell].as_ref().map_or(f64::NEG_INFINITY, |trial| self.stopping.metric.of(trial.best()))
        };
        cells.sort_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
    }

    /// Runs a cell up to a budget: from where its earlier trial ended, if there is one. Returns
    /// the longest trial there is and whether the callback broke off.
    #[expect(clippy::too_many_arguments, reason = "the inside of the loop of `run`")]
    fn trial(
        &self,
        cells: &[WalsConfig],
        cell: usize,
        earlier: Option<Trial>,
        judge: &Judge<'_>,
        journal: &mut Journal<'_>,
        place: &mut Place,
        progress: &mut dyn FnMut(SearchProgress<'_>) -> ControlFlow<()>,
    ) -> Result<(Option<Trial>, bool)> {
        let config = &cells[cell];
        let budget = place.budget;
        if let Some(found) = journal.find(config, budget) {
            let found = Trial { cell, ..found.clone() };
            let flow = progress(place.at(config, found.reports.len(), found.reports.last()));
            return Ok((Some(found), flow.is_break()));
        }
        if let Some(earlier) = &earlier
            && self.stopping.exhausted(&earlier.reports)
        {
            // It would stop again at the same place.
            return Ok((Some(Trial { budget, ..earlier.clone() }), false));
        }
        let done = earlier.as_ref().map_or(0, |trial| trial.reports.len());
        let kept = journal.factors(cell, config, self.train, done);
        let mut trial = Trial {
            cell,
            config: config.clone(),
            budget,
            reports: Vec::new(),
            best_iteration: 0,
            objective: 0.0,
            seconds: 0.0,
        };
        let (mut before, mut initial) = (0.0, InitialFactors::default());
        if let (Some(kept), Some(earlier)) = (&kept, &earlier) {
            trial.reports.clone_from(&earlier.reports);
            before = earlier.seconds;
            initial = InitialFactors { completed_iterations: done, ..kept.initial() };
        }
        let mut broken = false;
        let limited = WalsConfig { iterations: budget, ..config.clone() };
        let model = limited.fit_judged(self.train, initial, judge, &mut |current, report| {
            if current.stage == Stage::UsersSolved {
                return ControlFlow::Continue(());
            }
            trial.reports.extend(report);
            trial.seconds = before + current.seconds;
            let reports = &trial.reports;
            if progress(place.at(config, reports.len(), reports.last())).is_break() {
                broken = true;
                return ControlFlow::Break(());
            }
            if self.stopping.exhausted(reports) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if broken {
            return Ok((earlier, true));
        }
        trial.best_iteration = self.stopping.best(&trial.reports) + 1;
        trial.objective = model.objective(self.train)?;
        let goes_on = place.may_go_on && !self.stopping.exhausted(&trial.reports);
        if let (true, Some(folder)) = (goes_on, journal.checkpoint(cell)) {
            let (users, items) = (model.user_factors(), model.item_factors());
            Checkpoint::save(&folder, config, self.train, budget, users, items)?;
        }
        journal.add(trial.clone())?;
        Ok((Some(trial), false))
    }

    fn head(&self) -> Head {
        let mut hash = Fingerprint::new();
        hash.add(&self.train.fingerprint().to_le_bytes());
        let mut pairs = self.stopping.held_out.to_vec();
        pairs.sort_unstable();
        pairs.dedup();
        for (user, item) in pairs {
            hash.add(&user.to_le_bytes());
            hash.add(&item.to_le_bytes());
        }
        let EarlyStopping { metric, k, patience, .. } = self.stopping;
        Head {
            data: format!("{:016x}", hash.value()),
            judged_by: format!("{metric:?}@{k} with patience {patience}"),
        }
    }
}

/// Where a trial stands in the search.
struct Place {
    round: usize,
    done: usize,
    of: usize,
    budget: usize,
    may_go_on: bool,
}

impl Place {
    fn at<'a>(
        &self,
        config: &'a WalsConfig,
        iteration: usize,
        report: Option<&'a RankingReport>,
    ) -> SearchProgress<'a> {
        let &Self { round, done, of, budget, .. } = self;
        SearchProgress { round, done, of, config, iteration, budget, report }
    }
}
