//! A small power-law world: users ≠ items ≠ rank, empty rows and columns, very long and very
//! short rows.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regen_wals::{Arithmetic, Confidence, Frequency, InteractionMatrix, Solver, UnobservedScope, WalsConfig};

pub(crate) const USERS: usize = 230;
pub(crate) const ITEMS: usize = 141;

/// Pairs whose popularity falls like 1/rank. User 7 and item 11 have none, user 3 has all.
pub(crate) fn triplets(seed: u64) -> Vec<(u32, u32, f32)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut pairs = Vec::new();
    for user in 0..USERS as u32 {
        let count = match user {
            7 => 0,
            3 => ITEMS,
            _ => 1 + (60.0 * rng.random::<f64>().powi(3)) as usize,
        };
        for k in 0..count {
            let item = if user == 3 { k as u32 } else { (ITEMS as f64 * rng.random::<f64>().powi(2)) as u32 };
            if item != 11 {
                pairs.push((user, item, rng.random_range(1..6) as f32));
            }
        }
    }
    pairs
}

pub(crate) fn matrix() -> InteractionMatrix {
    InteractionMatrix::from_triplets(USERS, ITEMS, triplets(5)).unwrap()
}

/// A setting that exercises every term.
pub(crate) fn config(rank: usize, solver: Solver) -> WalsConfig {
    WalsConfig {
        rank,
        iterations: 3,
        regularization: 0.05,
        solver,
        confidence: Confidence::Hu { alpha: 2.0 },
        unobserved_weight: 0.3,
        unobserved_scope: UnobservedScope::Unobserved,
        frequency: Frequency::Ials,
        frequency_exponent: 0.7,
        seed: 11,
        ..WalsConfig::default()
    }
}

/// Settings that differ in the formula, not in the solver.
pub(crate) fn formulas(rank: usize, solver: Solver) -> Vec<WalsConfig> {
    let base = config(rank, solver);
    vec![
        base.clone(),
        WalsConfig {
            unobserved_scope: UnobservedScope::All,
            confidence: Confidence::Constant { weight: 1.0 },
            ..base.clone()
        },
        // Some observed pairs weigh less than α₀: a negative excess.
        WalsConfig { confidence: Confidence::Proportional { alpha: 0.1 }, ..base.clone() },
        // Observed pairs weigh exactly α₀.
        WalsConfig { confidence: Confidence::Constant { weight: 0.3 }, ..base.clone() },
        WalsConfig {
            unobserved_weight: 0.0,
            frequency: Frequency::Count,
            frequency_exponent: 1.0,
            ..base.clone()
        },
        WalsConfig {
            frequency_exponent: 0.0,
            confidence: Confidence::Logarithmic { alpha: 3.0, epsilon: 0.5 },
            ..base.clone()
        },
        WalsConfig { arithmetic: Arithmetic::F64, ..base },
    ]
}
