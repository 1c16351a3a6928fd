//! Every road to a row's solution, at every processor level, against the plain solver in f64.

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::{Arithmetic, Confidence, Frequency, Solver, UnobservedScope, WalsConfig};
use crate::interactions::InteractionMatrix;
use crate::simd::Level;
use crate::solver::{Order, Side, Sweep};

const WIDTH: usize = 260;

/// Rows of 0 to 250 pairs: below, around and above every rank that is tested.
fn matrix() -> InteractionMatrix {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let lengths = (0..70).map(|k| (k * k) / 20).collect::<Vec<usize>>();
    let mut triplets = Vec::new();
    for (row, &length) in lengths.iter().enumerate() {
        for k in 0..length {
            let column = (k * 7 + row) % WIDTH;
            triplets.push((row as u32, column as u32, rng.random_range(1..9) as f32));
        }
    }
    InteractionMatrix::from_triplets(lengths.len(), WIDTH, triplets).unwrap()
}

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random::<f32>() - 0.4).collect()
}

fn solve(config: &WalsConfig, level: Level) -> Array2<f32> {
    let matrix = matrix();
    let rows = matrix.by_user();
    let order = Order::of(rows, config);
    let sweep =
        Sweep { side: Side::User, rows, order: &order, config, relaxation: config.relaxation(1), level };
    let mut solved = numbers(rows.rows() * config.rank, 1);
    let mut fixed = numbers(WIDTH * config.rank, 2);
    if let Some(basis) = sweep.run(&mut solved, &mut fixed).unwrap() {
        basis.turn_back(&mut solved);
    }
    Array2::from_shape_vec((rows.rows(), config.rank), solved).unwrap()
}

fn check(rank: usize, solver: Solver, tolerance: f32) {
    let base = WalsConfig {
        rank,
        solver,
        regularization: 0.5,
        confidence: Confidence::Hu { alpha: 1.0 },
        unobserved_weight: 0.7,
        unobserved_scope: UnobservedScope::Unobserved,
        frequency: Frequency::Count,
        frequency_exponent: 0.5,
        ..WalsConfig::default()
    };
    let confidences = [
        base.confidence,
        // Some pairs lighter than α₀, some equal to it, some heavier.
        Confidence::Proportional { alpha: 0.35 },
        Confidence::Constant { weight: 0.7 },
    ];
    for confidence in confidences {
        let config = WalsConfig { confidence, ..base.clone() };
        let double = WalsConfig { arithmetic: Arithmetic::F64, ..config.clone() };
        let expected = solve(&double, Level::Portable);
        for level in Level::available() {
            let got = solve(&config, level);
            for (row, (a, b)) in got.rows().into_iter().zip(expected.rows()).enumerate() {
                let scale = b.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
                for (x, y) in a.iter().zip(b) {
                    assert!(
                        (x - y).abs() <= tolerance * scale,
                        "{level:?} rank {rank} row {row} {confidence:?}: {x} {y}"
                    );
                }
            }
        }
    }
}

#[test]
fn exact_rows_equal_the_plain_solution_at_every_level() {
    for rank in [1, 3, 8, 13, 16, 31, 64, 100] {
        check(rank, Solver::Cholesky, 1e-4);
    }
}

#[test]
fn ranks_beyond_the_interleaved_systems_equal_the_plain_solution() {
    check(140, Solver::Cholesky, 1e-4);
    check(250, Solver::Cholesky, 1e-4);
}

#[test]
fn conjugate_gradient_takes_the_plain_steps_at_every_level() {
    for rank in [1, 13, 40] {
        check(rank, Solver::ConjugateGradient { steps: 2 }, 1e-3);
    }
}

#[test]
fn blocks_take_the_plain_steps_at_every_level() {
    for (rank, size, relaxation) in
        [(13, 5, 1.0), (40, 16, 1.5), (64, 64, 1.5), (80, 33, 0.5), (150, 130, 1.2)]
    {
        check(rank, Solver::Block { size, relaxation }, 1e-3);
    }
}
