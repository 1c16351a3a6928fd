//! Numbers that overflow, sizes and shapes that cannot be, rows that nothing speaks for: typed errors or zero, no panic.

use std::ops::ControlFlow;

use ndarray::{Array2, array};
use regen_wals::shards::{ShardPlan, ShardedMatrix};
use regen_wals::{
    Arithmetic, Confidence, Error, Frequency, Init, InitialFactors, InteractionMatrix, Objective, Outcome,
    Solver, UnobservedScope, WalsConfig, WalsModel,
};

use crate::world::{ITEMS, USERS, config, matrix};

const SOLVERS: [Solver; 3] =
    [Solver::Cholesky, Solver::ConjugateGradient { steps: 3 }, Solver::Block { size: 2, relaxation: 1.4 }];

fn overflow<T: std::fmt::Debug>(got: Result<T, Error>) -> (&'static str, String, &'static str) {
    match got {
        Err(Error::Overflow { quantity, place, setting, .. }) => (quantity, place, setting),
        other => panic!("{other:?}"),
    }
}

#[test]
fn regularization_that_overflows_is_refused_before_the_fit() {
    let matrix = matrix();
    // The longest row is user 3's; with a negative power the regularization falls.
    for solver in SOLVERS {
        let steep = WalsConfig { frequency_exponent: 1e9, ..config(4, solver) };
        let (quantity, place, setting) = overflow(steep.fit(&matrix));
        assert_eq!(quantity, "the regularization");
        assert!(place.starts_with("user "), "{place}");
        assert_eq!(setting, "regularization, frequency_exponent or unobserved_weight");
    }
    let count = WalsConfig {
        frequency: Frequency::Count,
        frequency_exponent: 18.0,
        regularization: 1.0,
        ..config(4, Solver::Cholesky)
    };
    // 140¹⁸ is beyond f32, and no shorter row's is.
    let (_, place, setting) = overflow(count.fit(&matrix));
    assert_eq!((place.as_str(), setting), ("user 3", "regularization or frequency_exponent"));
    let double = WalsConfig { arithmetic: Arithmetic::F64, ..count.clone() };
    assert_eq!(double.fit(&matrix).unwrap().outcome(), Outcome::Finished);
    let without = WalsConfig { regularization: 0.0, frequency_exponent: 1e9, ..count };
    assert_eq!(overflow(without.fit(&matrix)).0, "the regularization");
}

#[test]
fn weights_and_targets_that_overflow_are_refused_by_pair() {
    let values = [(0, 0, 1.0), (0, 2, 3.0), (1, 1, 4.0)];
    let matrix = InteractionMatrix::from_triplets(2, 3, values).unwrap();
    for solver in SOLVERS {
        let strong = WalsConfig { confidence: Confidence::Hu { alpha: 1e38 }, ..config(2, solver) };
        let (quantity, place, setting) = overflow(strong.fit(&matrix));
        assert_eq!((quantity, place.as_str()), ("the weight", "user 1 and item 1"));
        assert_eq!(setting, "confidence.alpha, or the values");
    }
    let proportional =
        WalsConfig { confidence: Confidence::Proportional { alpha: 2e38 }, ..config(2, SOLVERS[0]) };
    assert_eq!(overflow(proportional.fit(&matrix)).1, "user 0 and item 2");

    let entries = [(0, 0, 1.0, 1.0), (0, 2, 1e20, 2.0), (1, 1, 1e20, -1e19)];
    let matrix = InteractionMatrix::from_weighted_targets(2, 3, entries).unwrap();
    let given = WalsConfig { confidence: Confidence::Given, ..config(2, SOLVERS[0]) };
    let (quantity, place, setting) = overflow(given.fit(&matrix));
    assert_eq!((quantity, place.as_str()), ("the weight times the target", "user 1 and item 1"));
    assert_eq!(setting, "the targets or the weights (confidence)");
    // Large weights and large targets, but not together.
    let entries = [(0, 0, 1e20, 1.0), (1, 1, 1.0, 1e19)];
    let matrix = InteractionMatrix::from_weighted_targets(2, 3, entries).unwrap();
    assert!(!matches!(given.fit(&matrix), Err(Error::Overflow { .. })));
}

#[test]
fn a_row_to_fold_in_is_held_to_the_same() {
    let model = config(4, Solver::Cholesky).fit(&matrix()).unwrap();
    let (quantity, place, _) = overflow(model.fold_in_user(&[(3, 1.0), (9, 3e38)]));
    assert_eq!((quantity, place.as_str()), ("the weight", "user 0 and item 9"));
    assert_eq!(overflow(model.fold_in_item(&[(9, 3e38)])).1, "item 0 and user 9");
}

#[test]
fn sums_that_overflow_on_the_way_are_an_error_and_not_a_fit_without_progress() {
    // Every weight is a float, the products of a conjugate gradient step are not.
    let values = [(0, 0, 1.0), (0, 2, 1.0), (1, 0, 1.0), (1, 1, 1.0), (1, 2, 1.0)];
    let matrix = InteractionMatrix::from_triplets(2, 3, values).unwrap();
    let solver = Solver::ConjugateGradient { steps: 3 };
    let strong = WalsConfig { confidence: Confidence::Hu { alpha: 1e38 }, ..config(2, solver) };
    let fitted = strong.fit(&matrix);
    assert!(matches!(fitted, Err(Error::NotFinite { side: "user", row: 0 })), "{fitted:?}");
    let message = fitted.unwrap_err().to_string();
    assert!(message.contains("user 0") && message.contains("lower them"), "{message}");

    let folder = tempfile::tempdir().unwrap();
    let plan = ShardPlan { users_per_shard: 1, items_per_shard: 1 };
    let far: Vec<(u32, u32, f32)> = values.iter().map(|&(u, i, v)| (u + 2100, i, v)).collect();
    let far = InteractionMatrix::from_triplets(2102, 3, far).unwrap();
    let fitted = strong.fit(&far);
    assert!(matches!(fitted, Err(Error::NotFinite { side: "user", row: 2100 })), "{fitted:?}");
    let sharded = ShardedMatrix::write(&folder.path().join("shards"), &far, plan).unwrap();
    let fitted = strong.fit_shards(&sharded, &folder.path().join("fit"), &mut |_| ControlFlow::Continue(()));
    assert!(matches!(fitted, Err(Error::NotFinite { side: "user", row: 2100 })), "{fitted:?}");
    let steep = WalsConfig { frequency_exponent: 1e9, ..strong };
    let work = folder.path().join("steep");
    let fitted = steep.fit_shards(&sharded, &work, &mut |_| ControlFlow::Continue(()));
    assert_eq!(overflow(fitted).1, "user 2100");
    assert!(!work.join("fit.json").exists(), "refused before anything is written");

    let heavy = WalsConfig {
        unobserved_weight: 3e38,
        unobserved_scope: UnobservedScope::All,
        frequency_exponent: 0.0,
        init: Init::Normal { standard_deviation: 5.0 },
        ..config(2, Solver::Cholesky)
    };
    let (_, place, setting) = overflow(heavy.fit(&crate::world::matrix()));
    assert_eq!((place.as_str(), setting), ("the item factors", "unobserved_weight"));
}

#[test]
fn factors_that_have_seen_more_iterations_than_asked_for_are_refused() {
    let matrix = matrix();
    let config = config(4, Solver::Cholesky);
    let from = |completed_iterations| {
        let initial = InitialFactors { completed_iterations, ..Default::default() };
        config.fit_from(&matrix, initial, &mut |_| ControlFlow::Continue(()))
    };
    assert_eq!(from(config.iterations).unwrap().outcome(), Outcome::Finished);
    for completed in [config.iterations + 1, usize::MAX] {
        let fitted = from(completed);
        assert!(matches!(fitted, Err(Error::InvalidSetting { field: "iterations", got: 3.0, .. })));
    }
}

#[test]
fn a_loss_of_factors_that_do_not_fit_is_an_error() {
    let matrix = matrix();
    let objective = Objective::new(&config(4, Solver::Cholesky));
    let evaluate = |users: [usize; 2], items: [usize; 2]| {
        let (users, items) = (Array2::<f32>::ones(users), Array2::<f32>::ones(items));
        objective.evaluate(&matrix, users.view(), items.view())
    };
    assert!(evaluate([USERS, 4], [ITEMS, 4]).unwrap() > 0.0);
    let refused = |users, items| match evaluate(users, items) {
        Err(Error::FactorShape { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused([USERS - 1, 4], [ITEMS, 4]), "user factors");
    assert_eq!(refused([USERS, 4], [ITEMS + 1, 4]), "item factors");
    assert_eq!(refused([USERS, 4], [ITEMS, 3]), "item factors");
    assert_eq!(refused([USERS, 0], [ITEMS, 0]), "user factors");
}

#[test]
fn a_factor_that_is_not_finite_gets_no_recommendations() {
    let config = WalsConfig { rank: 2, ..WalsConfig::default() };
    let factors = array![[1.0f32, 2.0], [0.5, -1.0]];
    let model = WalsModel::from_factors(config, factors.clone(), factors).unwrap();
    assert_eq!(model.recommend_for(&[1.0, 0.0], 1, &[]).unwrap()[0].item, 0);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let got = model.recommend_for(&[1.0, value], 1, &[]);
        assert!(matches!(got, Err(Error::FactorValue { what: "user factors", row: 0, column: 1, .. })));
    }
}

#[test]
fn rows_whose_pairs_weigh_nothing_have_zero_factors() {
    // User 1 and item 3 have pairs of weight 0 only, of the others each has enough for a solution.
    let mut values = vec![(1, 0, 0.0), (1, 3, 0.0), (2, 3, 0.0)];
    values.extend((0..4).filter(|user| *user != 1).flat_map(|u| (0..3).map(move |i| (u, i, 1.0))));
    let matrix = InteractionMatrix::from_triplets(4, 4, values).unwrap();
    for solver in SOLVERS {
        for arithmetic in [Arithmetic::F32, Arithmetic::F64] {
            let config = WalsConfig {
                rank: 1,
                iterations: 2,
                solver,
                arithmetic,
                regularization: 0.0,
                unobserved_weight: 0.0,
                confidence: Confidence::Proportional { alpha: 1.0 },
                ..WalsConfig::default()
            };
            let model = config.fit(&matrix).unwrap();
            assert_eq!(model.user_factors().row(1).to_vec(), [0.0], "{solver:?}");
            assert_eq!(model.item_factors().row(3).to_vec(), [0.0], "{solver:?}");
            for user in [0, 2, 3] {
                assert_ne!(model.user_factors().row(user).to_vec(), [0.0], "{solver:?}");
            }
            assert_eq!(model.fold_in_user(&[(0, 0.0), (2, 0.0)]).unwrap().to_vec(), [0.0]);
        }
    }
    // With α₀ on factors that do not span the space, zero is one of many minima.
    let config = WalsConfig {
        rank: 6,
        iterations: 0,
        regularization: 0.0,
        unobserved_weight: 0.5,
        confidence: Confidence::Proportional { alpha: 1.0 },
        ..WalsConfig::default()
    };
    let model = config.fit(&matrix).unwrap();
    assert!(model.fold_in_user(&[(0, 0.0)]).unwrap().iter().all(|&v| v == 0.0));
    let other = model.fold_in_user(&[(0, 1.0)]);
    assert!(matches!(other, Err(Error::NotPositiveDefinite { side: "user", row: 0 })), "{other:?}");
}
