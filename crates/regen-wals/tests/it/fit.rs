//! Properties of the fit that hold for every solver and formula.

use std::ops::ControlFlow;

use ndarray::{Array2, ArrayView1};
use regen_wals::persist::Checkpoint;
use regen_wals::{
    Arithmetic, Confidence, Error, InitialFactors, InteractionMatrix, Objective, Outcome, Solver, Stage,
    UnobservedScope, WalsConfig, WalsModel,
};

use crate::world::{ITEMS, USERS, config, formulas, matrix};

const SOLVERS: [Solver; 3] =
    [Solver::Cholesky, Solver::ConjugateGradient { steps: 3 }, Solver::Block { size: 5, relaxation: 1.4 }];

fn objectives(config: &WalsConfig, matrix: &InteractionMatrix) -> Vec<f64> {
    let mut trace = Vec::new();
    config
        .fit_with(matrix, &mut |progress| {
            trace.push(progress.objective());
            ControlFlow::Continue(())
        })
        .unwrap();
    trace
}

/// The user factors as they stand right after a sweep over users.
fn after_user_sweep(config: &WalsConfig, matrix: &InteractionMatrix) -> WalsModel {
    config
        .fit_with(matrix, &mut |progress| {
            if progress.stage == Stage::UsersSolved && progress.iteration == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap()
}

fn distance(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f32 {
    let scale = b.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    a.iter().zip(&b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max) / scale
}

/// The loss straight from its definition, over every cell of the matrix.
fn loss_by_definition(config: &WalsConfig, matrix: &InteractionMatrix, model: &WalsModel) -> f64 {
    let objective = Objective::new(config);
    let alpha = f64::from(config.unobserved_weight);
    let mut loss = 0.0;
    for user in 0..matrix.users() {
        let (items, values) = matrix.user_row(user);
        for item in 0..matrix.items() {
            let score: f64 = model
                .user_factors()
                .row(user)
                .iter()
                .zip(model.item_factors().row(item))
                .map(|(&a, &b)| f64::from(a) * f64::from(b))
                .sum();
            let observed = items.binary_search(&(item as u32)).ok();
            if let Some(k) = observed {
                loss += objective.weight(values[k]) * (1.0 - score).powi(2);
            }
            if observed.is_none() || config.unobserved_scope == UnobservedScope::All {
                loss += alpha * score * score;
            }
        }
    }
    let penalty = |factors: ndarray::ArrayView2<'_, f32>, count: &dyn Fn(usize) -> usize, width| {
        (0..factors.nrows())
            .map(|row| {
                let norm: f64 = factors.row(row).iter().map(|&v| f64::from(v).powi(2)).sum();
                if norm == 0.0 { 0.0 } else { objective.ridge(count(row), width) * norm }
            })
            .sum::<f64>()
    };
    loss + penalty(model.user_factors(), &|u| matrix.user_row(u).0.len(), ITEMS)
        + penalty(model.item_factors(), &|i| matrix.item_row(i).0.len(), USERS)
}

#[test]
fn the_objective_is_the_sum_over_every_cell() {
    let matrix = matrix();
    for config in formulas(9, Solver::Cholesky) {
        let model = config.fit(&matrix).unwrap();
        let expected = loss_by_definition(&config, &matrix, &model);
        let got = model.objective(&matrix).unwrap();
        assert!((got - expected).abs() < 1e-9 * expected, "{config:?}: {got} {expected}");
    }
}

#[test]
fn the_objective_never_rises_in_a_half_sweep_of_any_solver() {
    let matrix = matrix();
    for rank in [1, 7, 20, 33] {
        for solver in SOLVERS {
            for config in formulas(rank, solver) {
                let trace = objectives(&config, &matrix);
                assert_eq!(trace.len(), 1 + 2 * config.iterations);
                for pair in trace.windows(2) {
                    assert!(pair[1] <= pair[0] * (1.0 + 1e-6), "{config:?}: {trace:?}");
                }
                assert!(trace[trace.len() - 1] < 0.9 * trace[0], "{config:?}: {trace:?}");
            }
        }
    }
}

#[test]
fn relaxation_saves_iterations_and_even_the_wildest_never_raises_the_objective() {
    let matrix = matrix();
    let trace = |size, relaxation| {
        let solver = Solver::Block { size, relaxation };
        objectives(&WalsConfig { iterations: 6, ..config(24, solver) }, &matrix)
    };
    for size in [4, 24] {
        let (plain, relaxed) = (trace(size, 1.0), trace(size, 1.4));
        // The first half-sweep begins at noise and is not relaxed.
        assert_eq!(plain[1], relaxed[1]);
        assert!(relaxed[12] < plain[12], "{size}: {plain:?} {relaxed:?}");
        for relaxation in [0.3, 1.9, 1.999] {
            let trace = trace(size, relaxation);
            assert!(
                trace.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-6)),
                "{relaxation}: {trace:?}"
            );
        }
    }
}

#[test]
fn single_and_double_precision_agree_for_every_solver() {
    let matrix = matrix();
    for rank in [3, 16, 40] {
        for solver in SOLVERS {
            for config in formulas(rank, solver) {
                let double = WalsConfig { arithmetic: Arithmetic::F64, ..config.clone() };
                // Without α₀ nothing preconditions the few steps of CG, and what three iterations
                // make of a rounding error is seen: 2e-5 at one vector width, 7e-5 at another.
                let tolerance = match solver {
                    Solver::ConjugateGradient { .. } if config.unobserved_weight == 0.0 => 5e-4,
                    Solver::ConjugateGradient { .. } | Solver::Cholesky | Solver::Block { .. } => 1e-6,
                };
                let pairs = objectives(&config, &matrix).into_iter().zip(objectives(&double, &matrix));
                for (single, double) in pairs {
                    assert!((single - double).abs() <= tolerance * double, "{config:?}: {single} {double}");
                }
            }
        }
    }
}

#[test]
fn the_exact_solver_sets_the_gradient_to_zero() {
    // Moving any solved row a little in any direction must not lower the loss.
    let matrix = matrix();
    for config in formulas(6, Solver::Cholesky) {
        let model = after_user_sweep(&config, &matrix);
        let objective = Objective::new(&config);
        let at =
            |users: &Array2<f32>| objective.evaluate(&matrix, users.view(), model.item_factors()).unwrap();
        let base = at(&model.user_factors().to_owned());
        for user in [0, 3, 100, USERS - 1] {
            for k in 0..6 {
                for step in [-0.05f32, 0.05] {
                    let mut moved = model.user_factors().to_owned();
                    moved[[user, k]] += step;
                    assert!(at(&moved) > base - 1e-6 * base, "user {user} coordinate {k}");
                }
            }
        }
    }
}

#[test]
fn fold_in_right_after_the_user_sweep_returns_the_trained_rows() {
    let matrix = matrix();
    for rank in [5, 24, 40] {
        for config in formulas(rank, Solver::Cholesky) {
            let model = after_user_sweep(&config, &matrix);
            assert_eq!(model.outcome(), Outcome::Stopped { completed: 1 });
            let folded = model.fold_in_users(&matrix).unwrap();
            for user in 0..USERS {
                let (items, values) = matrix.user_row(user);
                let pairs: Vec<(u32, f32)> = items.iter().copied().zip(values.iter().copied()).collect();
                let one = model.fold_in_user(&pairs).unwrap();
                let trained = model.user_factors().row(user).to_owned();
                assert!(distance(one.view(), trained.view()) < 1e-5, "{config:?} {user}");
                assert!(distance(folded.row(user), trained.view()) < 1e-5, "{config:?} {user}");
            }
        }
    }
}

#[test]
fn fold_in_of_an_item_returns_the_row_of_the_last_item_sweep() {
    let matrix = matrix();
    let model = config(12, Solver::Cholesky).fit(&matrix).unwrap();
    for item in [0, 11, 50, ITEMS - 1] {
        let (users, values) = matrix.item_row(item);
        let pairs: Vec<(u32, f32)> = users.iter().copied().zip(values.iter().copied()).collect();
        let folded = model.fold_in_item(&pairs).unwrap();
        assert!(distance(folded.view(), model.item_factors().row(item)) < 1e-5);
    }
}

#[test]
fn items_folded_in_together_are_those_of_the_last_item_sweep_and_of_each_alone() {
    let matrix = matrix();
    for rank in [5, 24, 40] {
        for config in formulas(rank, Solver::Cholesky) {
            let model = config.fit(&matrix).unwrap();
            let folded = model.fold_in_items(&matrix).unwrap();
            assert_eq!(folded.dim(), (ITEMS, rank));
            for item in 0..ITEMS {
                let (users, values) = matrix.item_row(item);
                let pairs: Vec<(u32, f32)> = users.iter().copied().zip(values.iter().copied()).collect();
                let one = model.fold_in_item(&pairs).unwrap();
                let trained = model.item_factors().row(item).to_owned();
                // Without α₀ a row of few pairs leans on λ alone, and rounding is seen.
                let near = if config.unobserved_weight == 0.0 { 1e-4 } else { 1e-5 };
                assert!(distance(folded.row(item), trained.view()) < near, "{config:?} {item}");
                assert!(distance(one.view(), trained.view()) < near, "{config:?} {item}");
            }
        }
    }
    let model = config(4, Solver::Cholesky).fit(&matrix).unwrap();
    let other = InteractionMatrix::from_triplets(USERS + 1, 2, [(0, 0, 1.0)]).unwrap();
    assert!(matches!(
        model.fold_in_items(&other),
        Err(Error::FactorShape { what: "user factors", expected: [231, 4], got: [USERS, 4] })
    ));
    // Items of their own, fewer than the model's.
    let new = InteractionMatrix::from_triplets(USERS, 2, [(3, 1, 2.0), (9, 1, 1.0)]).unwrap();
    let folded = model.fold_in_items(&new).unwrap();
    let alone = model.fold_in_item(&[(3, 2.0), (9, 1.0)]).unwrap();
    assert!(folded.row(0).iter().all(|&v| v == 0.0) && distance(folded.row(1), alone.view()) < 1e-5);
}

#[test]
fn rows_without_pairs_have_zero_factors() {
    let matrix = matrix();
    for solver in SOLVERS {
        let model = config(8, solver).fit(&matrix).unwrap();
        assert!(model.user_factors().row(7).iter().all(|&v| v == 0.0));
        assert!(model.item_factors().row(11).iter().all(|&v| v == 0.0));
        assert!(model.user_factors().row(3).iter().any(|&v| v != 0.0));
        assert!(model.fold_in_user(&[]).unwrap().iter().all(|&v| v == 0.0));
    }
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let matrix = matrix();
    for solver in SOLVERS {
        let fit = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| config(20, solver).fit(&matrix).unwrap())
        };
        let one = fit(1);
        for threads in [2, 5] {
            let many = fit(threads);
            assert_eq!(one.user_factors(), many.user_factors());
            assert_eq!(one.item_factors(), many.item_factors());
        }
    }
}

#[test]
fn continuing_from_factors_that_were_looked_at_equals_not_having_stopped() {
    let matrix = matrix();
    for solver in SOLVERS {
        let config = config(10, solver);
        let mut checkpoint = None;
        let whole = config
            .fit_with(&matrix, &mut |mut progress| {
                if progress.iteration == 1 && progress.stage == Stage::IterationDone {
                    let (users, items) = progress.factors();
                    checkpoint = Some((users.to_owned(), items.to_owned()));
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        let (users, items) = checkpoint.unwrap();
        let initial = InitialFactors {
            user_factors: Some(users.view()),
            item_factors: Some(items.view()),
            completed_iterations: 1,
            ..InitialFactors::default()
        };
        let resumed = config.fit_from(&matrix, initial, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(whole.user_factors(), resumed.user_factors());
        assert_eq!(whole.item_factors(), resumed.item_factors());
        // Looking changes no more than rounding.
        let unseen = config.fit(&matrix).unwrap();
        for row in 0..ITEMS {
            assert!(distance(unseen.item_factors().row(row), whole.item_factors().row(row)) < 1e-3);
        }
    }
}

#[test]
fn a_fit_from_a_checkpoint_is_the_one_without_any_bit_for_bit() {
    let matrix = matrix();
    let folder = tempfile::tempdir().unwrap();
    for solver in SOLVERS {
        for arithmetic in [Arithmetic::F32, Arithmetic::F64] {
            let config = WalsConfig { arithmetic, iterations: 5, ..config(10, solver) };
            let whole = config.fit(&matrix).unwrap();
            for at in 0..5 {
                let written = config
                    .fit_with(&matrix, &mut |progress| {
                        if progress.stage == Stage::UsersSolved {
                            let error = progress.save_checkpoint(folder.path()).unwrap_err();
                            assert!(matches!(error, Error::HalfIteration { .. }), "{error}");
                        } else if progress.iteration == at {
                            progress.save_checkpoint(folder.path()).unwrap();
                        }
                        ControlFlow::Continue(())
                    })
                    .unwrap();
                let checkpoint = Checkpoint::load(folder.path(), &matrix).unwrap();
                assert_eq!((checkpoint.completed_iterations, &checkpoint.config), (at, &config));
                let initial = checkpoint.initial();
                let resumed = config.fit_from(&matrix, initial, &mut |_| ControlFlow::Continue(())).unwrap();
                let what = format!("{solver:?} {arithmetic:?} after {at}");
                for model in [&written, &resumed] {
                    assert_eq!(model.user_factors(), whole.user_factors(), "{what}");
                    assert_eq!(model.item_factors(), whole.item_factors(), "{what}");
                }
                // What it shows is what a fit of so many iterations gives.
                let short = WalsConfig { iterations: at, ..config.clone() }.fit(&matrix).unwrap();
                let (users, items) = checkpoint.factors();
                assert_eq!(
                    (users.view(), items.view()),
                    (short.user_factors(), short.item_factors()),
                    "{what}"
                );
            }
        }
    }
    // Nothing of the ones before stays: index, both sides and a basis, which f64 has none of.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn a_basis_that_is_damaged_or_of_another_rank_is_refused() {
    let matrix = matrix();
    let folder = tempfile::tempdir().unwrap();
    let config = config(6, Solver::Cholesky);
    config
        .fit_with(&matrix, &mut |progress| {
            if progress.stage == Stage::IterationDone {
                progress.save_checkpoint(folder.path()).unwrap();
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    let checkpoint = Checkpoint::load(folder.path(), &matrix).unwrap();
    let basis = checkpoint.basis.as_ref();
    let narrow = WalsConfig { rank: 5, ..config };
    let initial = InitialFactors { basis, ..InitialFactors::default() };
    let error = narrow.fit_from(&matrix, initial, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, Error::FactorShape { what: "basis", expected: [5, 5], got: [6, 6] }), "{error}");

    let path = folder.path().join("basis.3.f64");
    let whole = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8], wanted: &str| {
        std::fs::write(&path, bytes).unwrap();
        match Checkpoint::load(folder.path(), &matrix) {
            Err(Error::Format { field, .. }) => assert_eq!(field, wanted),
            other => panic!("{other:?}"),
        }
    };
    refused(&whole[8..], "file size");
    refused(&[&1e30f64.to_le_bytes(), &whole[8..]].concat(), "content");
    refused(&[&f64::NAN.to_le_bytes(), &whole[8..]].concat(), "content");
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(Checkpoint::load(folder.path(), &matrix), Err(Error::Io { .. })));
}

#[test]
fn weights_times_targets_fit_row_and_column_weights() {
    // TensorFlow's form: weight = row weight × column weight, targets of either sign. With full
    // rank and hardly any regularization the observed targets are met.
    let entries = [(0, 0, -2.0), (0, 1, 0.5), (1, 0, 3.0), (2, 1, 1.5), (2, 2, -1.0)];
    let weights = |user: u32, item: u32| (1.0 + user as f32) * (2.0 + item as f32);
    let matrix = InteractionMatrix::from_weighted_targets(
        3,
        3,
        entries.map(|(user, item, target)| (user, item, weights(user, item), target)),
    )
    .unwrap();
    let config = WalsConfig {
        rank: 3,
        iterations: 200,
        confidence: Confidence::Given,
        unobserved_weight: 0.0,
        regularization: 1e-5,
        frequency_exponent: 0.0,
        ..WalsConfig::default()
    };
    let model = config.fit(&matrix).unwrap();
    for (user, item, target) in entries {
        let score = model.user_factors().row(user as usize).dot(&model.item_factors().row(item as usize));
        assert!((score - target).abs() < 0.02, "{user} {item}: {score} {target}");
    }
}

#[test]
fn bad_settings_and_factors_are_refused_by_name() {
    let matrix = matrix();
    let refused = |change: fn(&mut WalsConfig), name: &str| {
        let mut bad = config(4, Solver::Cholesky);
        change(&mut bad);
        match bad.fit(&matrix) {
            Err(Error::InvalidSetting { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
    };
    refused(|c| c.rank = 0, "rank");
    refused(|c| c.rank = 16_385, "rank");
    refused(|c| c.rank = 1 << 40, "rank");
    refused(|c| c.iterations = usize::MAX, "iterations");
    refused(|c| c.regularization = f32::NAN, "regularization");
    refused(|c| c.regularization = -1.0, "regularization");
    refused(|c| c.unobserved_weight = f32::INFINITY, "unobserved_weight");
    refused(|c| c.frequency_exponent = f32::NAN, "frequency_exponent");
    refused(|c| c.solver = Solver::Block { size: 0, relaxation: 1.0 }, "solver.block.size");
    refused(|c| c.solver = Solver::Block { size: 4, relaxation: 0.0 }, "solver.block.relaxation");
    refused(|c| c.solver = Solver::Block { size: 4, relaxation: 2.0 }, "solver.block.relaxation");
    refused(|c| c.solver = Solver::Block { size: 4, relaxation: f32::NAN }, "solver.block.relaxation");
    refused(|c| c.solver = Solver::ConjugateGradient { steps: 0 }, "solver.conjugate_gradient.steps");
    refused(|c| c.confidence = Confidence::Hu { alpha: -1.0 }, "confidence");

    let wrong = Array2::<f32>::zeros((ITEMS, 4));
    let initial = InitialFactors { user_factors: Some(wrong.view()), ..Default::default() };
    let fitted = config(4, Solver::Cholesky).fit_from(&matrix, initial, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(
        fitted,
        Err(Error::FactorShape { what: "user factors", expected: [USERS, 4], got: [ITEMS, 4] })
    ));
    let empty = InteractionMatrix::from_triplets(3, 2, []).unwrap();
    assert!(matches!(config(4, Solver::Cholesky).fit(&empty), Err(Error::NoPairs { users: 3, items: 2 })));
}

#[test]
fn a_row_without_a_unique_solution_is_named() {
    let matrix = InteractionMatrix::from_triplets(2, 3, [(0, 0, 1.0), (1, 2, 1.0)]).unwrap();
    let config = WalsConfig { rank: 3, regularization: 0.0, unobserved_weight: 0.0, ..WalsConfig::default() };
    assert!(matches!(config.fit(&matrix), Err(Error::NotPositiveDefinite { side: "user", row: 0 })));
}

#[test]
fn configurations_survive_json_and_refuse_unknown_keys() {
    let config = config(17, Solver::Block { size: 8, relaxation: 1.5 });
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<WalsConfig>(&text).unwrap(), config);
    let surplus = text.replacen('{', "{\"ranks\":3,", 1);
    assert!(serde_json::from_str::<WalsConfig>(&surplus).is_err());
}
