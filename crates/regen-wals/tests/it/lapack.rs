//! The fit against an independent one: normal equations written from the formula, solved by
//! LAPACK in f64.

use std::ops::ControlFlow;

use ndarray::{Array1, Array2};
use ndarray_linalg::Solve;
use regen_lapack as _;
use regen_wals::{Confidence, Frequency, InteractionMatrix, Solver, Stage, UnobservedScope, WalsConfig};

use crate::world::{ITEMS, USERS, config, matrix};

/// The textbook, cell by cell: nothing here comes from the crate but the pairs.
struct Reference {
    weights: Array2<f64>,
    observed: Array2<f64>,
    alpha: f64,
    all: bool,
    lambda: f64,
    exponent: f64,
    count_only: bool,
}

impl Reference {
    fn new(config: &WalsConfig, matrix: &InteractionMatrix) -> Self {
        let mut weights = Array2::zeros((USERS, ITEMS));
        let mut observed = Array2::zeros((USERS, ITEMS));
        for user in 0..USERS {
            let (items, values) = matrix.user_row(user);
            for (&item, &r) in items.iter().zip(values) {
                let r = f64::from(r);
                weights[[user, item as usize]] = match config.confidence {
                    Confidence::Hu { alpha } => 1.0 + f64::from(alpha) * r,
                    Confidence::Constant { weight } => weight.into(),
                    Confidence::Proportional { alpha } => f64::from(alpha) * r,
                    Confidence::Logarithmic { alpha, epsilon } => {
                        1.0 + f64::from(alpha) * (1.0 + r / f64::from(epsilon)).ln()
                    }
                    other => unreachable!("{other:?}"),
                };
                observed[[user, item as usize]] = 1.0;
            }
        }
        Self {
            weights,
            observed,
            alpha: config.unobserved_weight.into(),
            all: config.unobserved_scope == UnobservedScope::All,
            lambda: config.regularization.into(),
            exponent: config.frequency_exponent.into(),
            count_only: config.frequency == Frequency::Count,
        }
    }

    /// λρ of a row with n of `width` pairs.
    fn ridge(&self, n: f64, width: usize) -> f64 {
        let frequency = if self.count_only { n } else { n + self.alpha * width as f64 };
        self.lambda * frequency.powf(self.exponent)
    }

    /// Weight of a cell in the quadratic term.
    fn quadratic(&self, weight: f64, observed: f64) -> f64 {
        match (self.all, observed > 0.0) {
            (true, _) => self.alpha + weight,
            (false, true) => weight,
            (false, false) => self.alpha,
        }
    }

    fn solve(&self, fixed: &Array2<f64>, by_item: bool) -> Array2<f64> {
        let (weights, observed) = if by_item {
            (self.weights.t(), self.observed.t())
        } else {
            (self.weights.view(), self.observed.view())
        };
        let rank = fixed.ncols();
        let mut solved = Array2::zeros((weights.nrows(), rank));
        for row in 0..weights.nrows() {
            let n = observed.row(row).sum();
            if n == 0.0 {
                continue;
            }
            let cells: Array1<f64> =
                (0..fixed.nrows()).map(|k| self.quadratic(weights[[row, k]], observed[[row, k]])).collect();
            let scaled = fixed * &cells.insert_axis(ndarray::Axis(1));
            let normal = fixed.t().dot(&scaled) + Array2::<f64>::eye(rank) * self.ridge(n, fixed.nrows());
            let right = fixed.t().dot(&weights.row(row));
            let solution = normal.solve(&right).unwrap();
            solved.row_mut(row).assign(&solution);
        }
        solved
    }

    fn loss(&self, users: &Array2<f64>, items: &Array2<f64>) -> f64 {
        let scores = users.dot(&items.t());
        let mut loss = 0.0;
        for ((user, item), s) in scores.indexed_iter() {
            let (w, o) = (self.weights[[user, item]], self.observed[[user, item]]);
            loss += w * (o - s).powi(2) + (self.quadratic(w, o) - w) * s * s;
        }
        for (side, counts, width) in [
            (users, self.observed.sum_axis(ndarray::Axis(1)), ITEMS),
            (items, self.observed.sum_axis(ndarray::Axis(0)), USERS),
        ] {
            for (row, &n) in side.rows().into_iter().zip(&counts) {
                if n > 0.0 {
                    loss += self.ridge(n, width) * row.dot(&row);
                }
            }
        }
        loss
    }
}

/// Follows the reference through every half-sweep, to the given share of the loss.
fn check(config: &WalsConfig, tolerance: f64) {
    let matrix = matrix();
    let reference = Reference::new(config, &matrix);
    let mut items = None;
    let mut trace = Vec::new();
    config
        .fit_with(&matrix, &mut |mut progress| {
            if progress.stage == Stage::Start {
                items = Some(progress.factors().1.mapv(f64::from));
            } else {
                trace.push(progress.objective());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    let mut items = items.unwrap();
    for pair in trace.chunks(2) {
        let users = reference.solve(&items, false);
        let half = reference.loss(&users, &items);
        items = reference.solve(&users, true);
        let whole = reference.loss(&users, &items);
        for (got, expected) in [(pair[0], half), (pair[1], whole)] {
            assert!((got - expected).abs() <= tolerance * expected, "{config:?}: {got} {expected}");
        }
    }
}

#[test]
fn ten_iterations_at_rank_64_follow_lapack_in_double_precision() {
    check(&WalsConfig { iterations: 10, ..config(64, Solver::Cholesky) }, 1e-6);
}

#[test]
fn other_formulas_and_ranks_follow_lapack_too() {
    // In the first iterations the loss falls so steeply that f32 rounding of the factors moves it by some 1e-6;
    // an error in a formula moves it by more than 1e-3.
    let check = |config: WalsConfig| check(&config, 1e-5);
    let base = WalsConfig { iterations: 2, ..config(19, Solver::Cholesky) };
    check(WalsConfig {
        unobserved_scope: UnobservedScope::All,
        confidence: Confidence::Constant { weight: 1.0 },
        ..base.clone()
    });
    check(WalsConfig {
        confidence: Confidence::Proportional { alpha: 0.1 },
        frequency: Frequency::Count,
        ..base.clone()
    });
    check(WalsConfig {
        rank: 37,
        confidence: Confidence::Logarithmic { alpha: 3.0, epsilon: 0.5 },
        frequency_exponent: 0.0,
        ..base
    });
}
