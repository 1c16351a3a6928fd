//! Hold-out, early stopping and the search for settings.

use std::collections::HashSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use regen_wals::evaluate::{RankingMetric, RankingReport, evaluate, evaluate_new_users};
use regen_wals::search::{Search, SearchReport, SearchSpace, Strategy, Trial};
use regen_wals::{
    EarlyStopping, Error, HoldOut, InitialFactors, InteractionMatrix, Outcome, Solver, Stage, WalsConfig,
};

use crate::world::{ITEMS, USERS, config, matrix};

/// Two tastes with some noise, so that settings matter.
fn tastes() -> InteractionMatrix {
    let mut triplets = Vec::new();
    for user in 0..90u32 {
        for k in 0..14u32 {
            let item =
                if k % 5 == 4 { (user * 13 + k * 29) % 56 } else { 2 * ((user * 7 + k * 3) % 28) + user % 2 };
            triplets.push((user, item, 1.0));
        }
    }
    InteractionMatrix::from_triplets(90, 56, triplets).unwrap()
}

const FRESH: InitialFactors<'_> =
    InitialFactors { user_factors: None, item_factors: None, basis: None, completed_iterations: 0 };

const SPLIT: HoldOut = HoldOut { share: 0.25, users: None, seed: 3 };

fn stopping(held_out: &[(u32, u32)], patience: usize) -> EarlyStopping<'_> {
    EarlyStopping { held_out, metric: RankingMetric::Ndcg, k: 5, patience }
}

fn space() -> SearchSpace {
    SearchSpace {
        base: WalsConfig { iterations: 9, ..config(4, Solver::ConjugateGradient { steps: 2 }) },
        ranks: vec![2, 12],
        regularizations: vec![0.02, 0.5],
        unobserved_weights: vec![0.1, 0.6],
        frequency_exponents: vec![0.0],
    }
}

fn untimed(report: &SearchReport) -> Vec<Trial> {
    report.trials.iter().map(|trial| Trial { seconds: 0.0, ..trial.clone() }).collect()
}

#[test]
fn hold_out_takes_a_share_of_each_user_and_leaves_the_rest() {
    let all = matrix();
    let (train, held_out) = SPLIT.split(&all).unwrap();
    assert_eq!(train.pairs() + held_out.len(), all.pairs());
    assert_eq!((train.users(), train.items()), (USERS, ITEMS));
    let gone: HashSet<(u32, u32)> = held_out.iter().copied().collect();
    for user in 0..USERS {
        let (items, values) = all.user_row(user);
        let (left, left_values) = train.user_row(user);
        let kept: Vec<(u32, f32)> = items
            .iter()
            .zip(values)
            .filter(|(item, _)| !gone.contains(&(user as u32, **item)))
            .map(|(item, value)| (*item, *value))
            .collect();
        assert_eq!(left.iter().copied().zip(left_values.iter().copied()).collect::<Vec<_>>(), kept);
        match items.len() {
            n @ 0..2 => assert_eq!(left.len(), n),
            n => assert_eq!(n - left.len(), (n / 4).max(1), "user {user}"),
        }
    }
    assert_eq!(train.item_row(0).0.len(), (0..USERS).filter(|&u| train.user_row(u).0.contains(&0)).count());
    assert_eq!(SPLIT.split(&all).unwrap().1, held_out);
    assert_ne!(HoldOut { seed: 4, ..SPLIT }.split(&all).unwrap().1, held_out);
}

#[test]
fn hold_out_of_some_users_takes_from_them_what_hold_out_of_all_takes() {
    let all = matrix();
    let whole: HashSet<(u32, u32)> = SPLIT.split(&all).unwrap().1.into_iter().collect();
    let some = HoldOut { users: Some(20), ..SPLIT }.split(&all).unwrap().1;
    assert_eq!(some.iter().map(|pair| pair.0).collect::<HashSet<_>>().len(), 20);
    assert!(some.iter().all(|pair| whole.contains(pair)));
}

#[test]
fn hold_out_refuses_shares_out_of_range_and_single_pairs() {
    for share in [0.0, 1.0, f64::NAN] {
        let split = HoldOut { share, ..SPLIT }.split(&matrix());
        assert!(matches!(split, Err(Error::InvalidSetting { field: "share", .. })));
    }
    let singles = InteractionMatrix::from_triplets(2, 2, [(0, 0, 1.0), (1, 1, 1.0)]).unwrap();
    assert!(matches!(SPLIT.split(&singles), Err(Error::NothingHeldOut { given: 0, .. })));
    let nobody = HoldOut { users: Some(0), ..SPLIT }.split(&matrix());
    assert!(matches!(nobody, Err(Error::InvalidSetting { field: "users", .. })));
}

#[test]
fn early_stopping_gives_the_factors_of_the_best_iteration() {
    let (train, held_out) = SPLIT.split(&tastes()).unwrap();
    // Hardly any regularization: the ranking is soon at its best and then falls.
    let base = WalsConfig { iterations: 40, regularization: 1e-4, ..config(20, Solver::Cholesky) };
    let rule = stopping(&held_out, 3);
    let found = base.fit_until(&train, FRESH, &rule, &mut |_, _| ControlFlow::Continue(())).unwrap();
    let values: Vec<f64> = found.reports.iter().map(|report| report.ndcg).collect();
    assert!(values.len() < 40, "{values:?}");
    assert_eq!(values.len(), found.best_iteration + 3);
    let highest = values.iter().copied().fold(0.0, f64::max);
    assert_eq!(values[found.best_iteration - 1], highest);
    assert_eq!(found.model.outcome(), Outcome::Stopped { completed: found.best_iteration });
    // Those factors, and not the last ones.
    assert_eq!(evaluate(&found.model, &train, &held_out, 5).unwrap().ndcg, highest);
    let mut looked = Vec::new();
    let patient = stopping(&held_out, 1000);
    let whole = WalsConfig { iterations: found.best_iteration, ..base };
    let same = whole
        .fit_until(&train, FRESH, &patient, &mut |progress, report| {
            assert_eq!(report.is_some(), progress.stage == Stage::IterationDone);
            looked.extend(report.copied());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(same.model.item_factors(), found.model.item_factors());
    assert_eq!(same.model.outcome(), Outcome::Finished);
    assert_eq!(looked, same.reports);
}

#[test]
fn a_broken_off_early_stopping_fit_keeps_the_best_so_far() {
    let (train, held_out) = SPLIT.split(&tastes()).unwrap();
    let base = WalsConfig { iterations: 5, ..config(6, Solver::Cholesky) };
    let at = |iteration, stage| {
        let found = base.fit_until(&train, FRESH, &stopping(&held_out, 9), &mut |progress, _| {
            if progress.iteration == iteration && progress.stage == stage {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        found.unwrap()
    };
    let early = at(0, Stage::Start);
    assert_eq!((early.best_iteration, early.reports.len()), (0, 0));
    let later = at(3, Stage::UsersSolved);
    assert_eq!(later.reports.len(), 2);
    assert_eq!(later.model.outcome(), Outcome::Stopped { completed: later.best_iteration });
}

#[test]
fn new_users_are_folded_in_from_what_is_given_of_them() {
    let all = tastes();
    let rows = |from: u32, to: u32| {
        let mut triplets = Vec::new();
        for user in from..to {
            let (items, values) = all.user_row(user as usize);
            triplets.extend(items.iter().zip(values).map(|(item, value)| (user - from, *item, *value)));
        }
        InteractionMatrix::from_triplets((to - from) as usize, 56, triplets).unwrap()
    };
    let model = config(8, Solver::Cholesky).fit(&rows(0, 60)).unwrap();
    let (given, held_out) = SPLIT.split(&rows(60, 90)).unwrap();
    let report = evaluate_new_users(&model, &given, &held_out, 10).unwrap();
    assert_eq!((report.users, report.pairs), (30, held_out.len()));
    // By hand: each user alone.
    let mut recall = 0.0;
    for user in 0..30u32 {
        let (items, values) = given.user_row(user as usize);
        let pairs: Vec<(u32, f32)> = items.iter().copied().zip(values.iter().copied()).collect();
        let factor = model.fold_in_user(&pairs).unwrap();
        let list = model.recommend_for(&factor.to_vec(), 10, items).unwrap();
        let wanted: Vec<u32> = held_out.iter().filter(|pair| pair.0 == user).map(|pair| pair.1).collect();
        let hits = list.iter().filter(|found| wanted.contains(&found.item)).count();
        recall += hits as f64 / wanted.len() as f64 / 30.0;
    }
    assert!((report.recall - recall).abs() < 0.02, "{} {recall}", report.recall);
    assert!(report.recall > 0.4, "{report:?}");
}

struct Setting {
    train: InteractionMatrix,
    held_out: Vec<(u32, u32)>,
    space: SearchSpace,
}

impl Setting {
    fn new() -> Self {
        let (train, held_out) = SPLIT.split(&tastes()).unwrap();
        Self { train, held_out, space: space() }
    }

    fn search<'a>(&'a self, strategy: Strategy, folder: Option<&'a Path>) -> Search<'a> {
        let stopping = stopping(&self.held_out, 2);
        Search { space: &self.space, strategy, train: &self.train, stopping, folder }
    }

    /// Runs at most `most` cells; the number that was begun and the report.
    fn run(&self, strategy: Strategy, folder: Option<&Path>, most: usize) -> (usize, SearchReport) {
        let mut begun = 0;
        let mut run = |progress: regen_wals::search::SearchProgress<'_>| {
            begun += usize::from(progress.report.is_none());
            if begun > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let report = self.search(strategy, folder).run(&mut run).unwrap();
        (begun, report)
    }
}

const HALVING: Strategy = Strategy::SuccessiveHalving { first_iterations: 2, factor: 2 };

#[test]
fn a_grid_tries_every_cell_and_puts_the_best_first() {
    let setting = Setting::new();
    let (begun, report) = setting.run(Strategy::Grid, None, usize::MAX);
    assert_eq!((begun, report.cells, report.trials.len(), report.finished), (8, 8, 8, true));
    let cells: HashSet<usize> = report.trials.iter().map(|trial| trial.cell).collect();
    assert_eq!(cells.len(), 8);
    for pair in report.trials.windows(2) {
        assert!(pair[0].best().ndcg >= pair[1].best().ndcg);
    }
    // Each trial is the fit that its settings name.
    let trial = &report.trials[3];
    assert_eq!(trial.config, setting.space.cells().unwrap()[trial.cell]);
    let rule = stopping(&setting.held_out, 2);
    let again =
        trial.config.fit_until(&setting.train, FRESH, &rule, &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!((again.reports, again.best_iteration), (trial.reports.clone(), trial.best_iteration));
}

#[test]
fn halving_spends_less_and_agrees_with_the_grid_on_the_cells_it_finishes() {
    let setting = Setting::new();
    let (_, grid) = setting.run(Strategy::Grid, None, usize::MAX);
    let (_, halving) = setting.run(HALVING, None, usize::MAX);
    assert!(halving.iterations < grid.iterations, "{} {}", halving.iterations, grid.iterations);
    assert_eq!(halving.trials.len(), 8);
    let finished: Vec<&Trial> = halving.trials.iter().filter(|trial| trial.budget == 9).collect();
    assert!((1..8).contains(&finished.len()));
    for trial in finished {
        let same = grid.trials.iter().find(|other| other.cell == trial.cell).unwrap();
        assert_eq!(same.reports, trial.reports);
        assert_eq!(same.objective, trial.objective);
    }
}

#[test]
fn a_search_with_a_folder_finds_the_same_and_one_that_was_stopped_goes_on() {
    let setting = Setting::new();
    for strategy in [Strategy::Grid, HALVING] {
        let (_, whole) = setting.run(strategy, None, usize::MAX);
        let folder = tempfile::tempdir().unwrap();
        let (_, first) = setting.run(strategy, Some(folder.path()), 3);
        assert!(!first.finished);
        assert_eq!(first.trials.len(), 3);
        // The second run breaks off in a later round of the halving.
        let (_, second) = setting.run(strategy, Some(folder.path()), 6);
        let (_, third) = setting.run(strategy, Some(folder.path()), usize::MAX);
        assert!(third.finished);
        assert_eq!(untimed(&third), untimed(&whole), "{strategy:?} {}", second.trials.len());
        let (begun, fourth) = setting.run(strategy, Some(folder.path()), 0);
        assert_eq!((begun, fourth), (0, third), "everything was written down");
        // Factors of cells that are out are not kept.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_folder_of_another_search_is_refused() {
    let setting = Setting::new();
    let folder = tempfile::tempdir().unwrap();
    setting.run(Strategy::Grid, Some(folder.path()), 1);
    let run = |search: Search<'_>| search.run(&mut |_| ControlFlow::Continue(()));
    let other = stopping(&setting.held_out, 3);
    let patient = Search { stopping: other, ..setting.search(Strategy::Grid, Some(folder.path())) };
    assert!(matches!(run(patient), Err(Error::ForeignState { field: "the rule", .. })));
    let fewer = stopping(&setting.held_out[1..], 2);
    let less = Search { stopping: fewer, ..setting.search(Strategy::Grid, Some(folder.path())) };
    assert!(matches!(run(less), Err(Error::ForeignState { field: "data", .. })));
    let trials = folder.path().join("trials.jsonl");
    let text = fs::read_to_string(&trials).unwrap();
    fs::write(&trials, &text[..text.len() - 9]).unwrap();
    let damaged = run(setting.search(Strategy::Grid, Some(folder.path())));
    assert!(matches!(damaged, Err(Error::Format { field: "content", .. })));
}

#[test]
fn searches_that_cannot_run_are_refused_by_name() {
    let setting = Setting::new();
    let refused = |space: &SearchSpace, strategy: Strategy, patience: usize| {
        let stopping = stopping(&setting.held_out, patience);
        let search = Search { space, strategy, train: &setting.train, stopping, folder: None };
        match search.run(&mut |_| ControlFlow::Continue(())).unwrap_err() {
            Error::NoCandidates { field } | Error::InvalidSetting { field, .. } => field,
            other => panic!("{other:?}"),
        }
    };
    let good = space();
    assert_eq!(refused(&SearchSpace { ranks: vec![], ..good.clone() }, Strategy::Grid, 1), "rank");
    let bad = SearchSpace { regularizations: vec![0.1, -1.0], ..good.clone() };
    assert_eq!(refused(&bad, Strategy::Grid, 1), "regularization");
    assert_eq!(refused(&good, Strategy::Grid, 0), "patience");
    let none = SearchSpace { base: WalsConfig { iterations: 0, ..good.base.clone() }, ..good.clone() };
    assert_eq!(refused(&none, Strategy::Grid, 1), "iterations");
    for (first_iterations, factor, field) in [(0, 2, "first_iterations"), (1, 1, "factor")] {
        let strategy = Strategy::SuccessiveHalving { first_iterations, factor };
        assert!(refused(&good, strategy, 1).ends_with(field));
    }
}

#[test]
fn every_metric_is_the_field_of_its_name() {
    let report = RankingReport {
        k: 5,
        users: 1,
        pairs: 1,
        already_seen: 0,
        recall: 0.1,
        truncated_recall: 0.2,
        ndcg: 0.3,
        mrr: 0.4,
        hit_rate: 0.5,
    };
    let metrics = [
        RankingMetric::Recall,
        RankingMetric::TruncatedRecall,
        RankingMetric::Ndcg,
        RankingMetric::Mrr,
        RankingMetric::HitRate,
    ];
    assert_eq!(metrics.map(|metric| metric.of(&report)), [0.1, 0.2, 0.3, 0.4, 0.5]);
}
