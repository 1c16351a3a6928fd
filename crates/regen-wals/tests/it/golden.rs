//! Traces of an independent implementation, and factors of Python's implicit, from files: see
//! `tests/golden/traces/make.py`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ndarray::{Array2, ArrayView2};
use regen_wals::{Arithmetic, InitialFactors, InteractionMatrix, Solver, Stage, WalsConfig};
use serde::Deserialize;
use serde_json::{Map, Value};

const TOLERANCE: f64 = 1e-5;

#[derive(Deserialize)]
struct Inputs {
    users: usize,
    items: usize,
    rank: usize,
    iterations: usize,
    pairs: Vec<(u32, u32, f32)>,
    targets: Vec<(u32, u32, f32)>,
    row_weights: Vec<f32>,
    column_weights: Vec<f32>,
    user_factors: Vec<Vec<f32>>,
    item_factors: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Expected {
    config: Map<String, Value>,
    /// At the start and after each half-sweep.
    losses: Option<Vec<f64>>,
    user_factors: Vec<Vec<f32>>,
    item_factors: Vec<Vec<f32>>,
}

fn dense(rows: &[Vec<f32>]) -> Array2<f32> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

fn assert_close(got: ArrayView2<'_, f32>, expected: &[Vec<f32>], what: &str) {
    let expected = dense(expected);
    assert_eq!(got.dim(), expected.dim(), "{what}");
    let largest = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
    for (index, value) in got.indexed_iter() {
        let apart = f64::from((value - expected[index]).abs() / largest);
        // Factors move by more than the loss, which is flat at a minimum.
        assert!(apart < 3.0 * TOLERANCE, "{what} {index:?}: {value} {}", expected[index]);
    }
}

/// Every formula, in both arithmetics.
#[test]
fn fits_follow_the_independent_implementation_half_sweep_by_half_sweep() {
    let inputs: Inputs = serde_json::from_str(include_str!("../golden/traces/inputs.json")).unwrap();
    let cases: BTreeMap<String, Expected> =
        serde_json::from_str(include_str!("../golden/traces/expected.json")).unwrap();
    assert_eq!(cases.len(), 7);
    let values =
        InteractionMatrix::from_triplets(inputs.users, inputs.items, inputs.pairs.iter().copied()).unwrap();
    let weighted = InteractionMatrix::from_row_and_column_weights(
        &inputs.row_weights,
        &inputs.column_weights,
        inputs.targets.iter().copied(),
    )
    .unwrap();
    let (users, items) = (dense(&inputs.user_factors), dense(&inputs.item_factors));
    for (name, case) in &cases {
        let matrix = if name == "row_and_column_weights" { &weighted } else { &values };
        for arithmetic in [Arithmetic::F32, Arithmetic::F64] {
            let shape = WalsConfig { rank: inputs.rank, iterations: inputs.iterations, ..Default::default() };
            let mut config = serde_json::to_value(shape).unwrap();
            config.as_object_mut().unwrap().extend(case.config.clone());
            let config: WalsConfig = serde_json::from_value(config).unwrap();
            let config = WalsConfig { arithmetic, solver: Solver::Cholesky, ..config };
            let initial = InitialFactors {
                user_factors: Some(users.view()),
                item_factors: Some(items.view()),
                ..InitialFactors::default()
            };
            let mut losses = Vec::new();
            let model = config
                .fit_from(matrix, initial, &mut |progress| {
                    assert_eq!(progress.stage == Stage::Start, losses.is_empty());
                    losses.push(progress.objective());
                    ControlFlow::Continue(())
                })
                .unwrap();
            if let Some(expected) = &case.losses {
                assert_eq!(losses.len(), expected.len());
                for (got, expected) in losses.iter().zip(expected) {
                    let apart = (got - expected).abs() / expected;
                    assert!(apart < TOLERANCE, "{name} {arithmetic:?}: {got} {expected}");
                }
            }
            assert_close(model.user_factors(), &case.user_factors, &format!("{name} {arithmetic:?} users"));
            assert_close(model.item_factors(), &case.item_factors, &format!("{name} {arithmetic:?} items"));
        }
    }
}
