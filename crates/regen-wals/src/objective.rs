//! The loss, once: the solvers ask it for weights, targets and ridge terms, reports and tests
//! for its value.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::config::{Confidence, Frequency, UnobservedScope, WalsConfig};
use crate::error::Result;
use crate::interactions::{Compressed, InteractionMatrix, Row};
use crate::model::check_shape;
use crate::ordered::in_order;

/// The function that a fit minimises, once, for solver, report and tests:
///
/// L = Σ_{(u,i)∈S} w (p − x·y)² + α₀ Σ_{(u,i)∈D} (x·y)² + λ (Σ_u ρ_u |x_u|² + Σ_i ρ_i |y_i|²)
///
/// S are the observed pairs with weight w and target p; D the unobserved pairs (Hu, Koren,
/// Volinsky 2008; TensorFlow's WALS) or all pairs (Rendle et al. 2022, iALS).
///
/// | what | where | choices |
/// | --- | --- | --- |
/// | w | [`Confidence`] | constant, 1 + αr, αr, logarithmic, given by the caller |
/// | p | [`InteractionMatrix::from_weighted_targets`] | 1, or a target of each pair's own |
/// | D, α₀ | [`UnobservedScope`] | unobserved pairs, all pairs |
/// | ρ | [`Frequency`] | n^ν or (n + α₀N)^ν; ν = 0 gives the same λ to every row |
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    confidence: Confidence,
    unobserved_weight: f64,
    scope: UnobservedScope,
    regularization: f64,
    frequency: Frequency,
    frequency_exponent: f64,
}

impl Objective {
    /// The objective of a configuration.
    pub fn new(config: &WalsConfig) -> Self {
        Self {
            confidence: config.confidence,
            unobserved_weight: config.unobserved_weight.into(),
            scope: config.unobserved_scope,
            regularization: config.regularization.into(),
            frequency: config.frequency,
            frequency_exponent: config.frequency_exponent.into(),
        }
    }

    /// w of an observed pair of the given value.
    pub fn weight(&self, value: f32) -> f64 {
        weight(self.confidence, value)
    }

    /// What the pairs of a row bring to its normal equations.
    pub(crate) fn terms(&self, row: Row<'_>, terms: &mut Terms) {
        let Terms { excesses, scales, pulls } = terms;
        excesses.clear();
        pulls.clear();
        scales.clear();
        if let (Confidence::Constant { weight }, None) = (self.confidence, row.targets) {
            let excess = self.excess(weight.into()) as f32;
            excesses.resize(row.columns.len(), excess);
            scales.resize(row.columns.len(), excess.abs().sqrt());
            pulls.resize(row.columns.len(), weight);
            return;
        }
        let mut fill = |confidence| {
            let weights = row.values.iter().map(|&value| weight(confidence, value));
            pulls.extend(weights.clone().map(|weight| weight as f32));
            excesses.extend(weights.map(|weight| self.excess(weight) as f32));
        };
        // One loop a formula: the compiler then makes vectors of it.
        match self.confidence {
            Confidence::Constant { weight } => fill(Confidence::Constant { weight }),
            Confidence::Proportional { alpha } => fill(Confidence::Proportional { alpha }),
            Confidence::Hu { alpha } => fill(Confidence::Hu { alpha }),
            Confidence::Logarithmic { alpha, epsilon } => {
                fill(Confidence::Logarithmic { alpha, epsilon });
            }
            Confidence::Given => fill(Confidence::Given),
        }
        scales.extend(excesses.iter().map(|excess| excess.abs().sqrt()));
        if let Some(targets) = row.targets {
            for (pull, target) in pulls.iter_mut().zip(targets) {
                *pull *= target;
            }
        }
    }

    /// What an observed pair adds to (x·y)² beyond the α₀ that every pair is given: w, less α₀
    /// where observed pairs are not to carry it. May be negative.
    pub fn excess(&self, weight: f64) -> f64 {
        match self.scope {
            UnobservedScope::Unobserved => weight - self.unobserved_weight,
            UnobservedScope::All => weight,
        }
    }

    /// α₀.
    pub fn unobserved_weight(&self) -> f64 {
        self.unobserved_weight
    }

    /// λρ of a row with `count` observed pairs out of `width` possible ones.
    pub fn ridge(&self, count: usize, width: usize) -> f64 {
        let frequency = match self.frequency {
            Frequency::Count => count as f64,
            Frequency::Ials => count as f64 + self.unobserved_weight * width as f64,
        };
        // A row without pairs has frequency 0; a negative power of it would be infinite. Its
        // factor is zero, so its ridge adds nothing and may be anything.
        if frequency == 0.0 {
            return self.regularization;
        }
        self.regularization * frequency.powf(self.frequency_exponent)
    }

    /// Whether nothing speaks for or against any factor of a row: no pair that weighs anything, no α₀ and no
    /// regularization. As for a row without pairs, its factor is zero.
    pub(crate) fn is_void(&self, rows: &Compressed, row: usize) -> bool {
        let length = rows.length(row);
        length == 0
            || (self.unobserved_weight == 0.0
                && self.ridge(length, rows.width()) == 0.0
                && rows.row(row).values.iter().all(|&value| self.weight(value) == 0.0))
    }

    /// L for the given factors, summed in f64. The result does not depend on the number of
    /// threads.
    ///
    /// **Shapes** `user_factors: [users, rank]`, `item_factors: [items, rank]`.
    ///
    /// # Errors
    /// [`Error::FactorShape`](crate::Error::FactorShape) for factors of other shapes, or without columns.
    pub fn evaluate(
        &self,
        matrix: &InteractionMatrix,
        user_factors: ArrayView2<'_, f32>,
        item_factors: ArrayView2<'_, f32>,
    ) -> Result<f64> {
        let rank = user_factors.ncols();
        check_shape("user factors", user_factors, matrix.users(), rank.max(1))?;
        check_shape("item factors", item_factors, matrix.items(), rank.max(1))?;
        let users = user_factors.as_standard_layout();
        let items = item_factors.as_standard_layout();
        let (Some(users), Some(items)) = (users.as_slice(), items.as_slice()) else {
            unreachable!("standard layout is contiguous");
        };
        Ok(self.of_slices(matrix, users, items, rank))
    }

    /// [`evaluate`](Self::evaluate), for factors of the right shape: `[users, rank]` and `[items, rank]`.
    pub(crate) fn of_slices(
        &self,
        matrix: &InteractionMatrix,
        users: &[f32],
        items: &[f32],
        rank: usize,
    ) -> f64 {
        let all = if self.unobserved_weight == 0.0 {
            0.0
        } else {
            let (left, right) = (gram(users, rank), gram(items, rank));
            left.iter().zip(&right).map(|(a, b)| a * b).sum()
        };
        self.total(
            &self.observed_parts(matrix.by_user(), users, items, rank),
            all,
            &self.penalty_parts(matrix.by_user(), users, rank),
            &self.penalty_parts(matrix.by_item(), items, rank),
        )
    }

    /// L from its parts, each in the order of its rows; `all` is Σ (x·y)² over all pairs.
    pub(crate) fn total(&self, observed: &[f64], all: f64, users: &[f64], items: &[f64]) -> f64 {
        let sum = |parts: &[f64]| parts.iter().sum::<f64>();
        sum(observed) + self.unobserved_weight * all + sum(users) + sum(items)
    }

    /// Σ_S w (p − s)² − (w − excess) s²: the observed pairs, less what the sum over all pairs
    /// counts for them in vain. A part for every 1,024 rows.
    pub(crate) fn observed_parts(
        &self,
        by_user: &Compressed,
        users: &[f32],
        items: &[f32],
        rank: usize,
    ) -> Vec<f64> {
        sum_chunks(by_user.rows(), |user| {
            let x = &users[user * rank..][..rank];
            let mut sum = 0.0;
            for (item, value, target) in by_user.row(user).entries() {
                let score = dot(x, &items[item * rank..][..rank]);
                let weight = self.weight(value);
                let miss = f64::from(target) - score;
                sum += weight * miss * miss - (weight - self.excess(weight)) * score * score;
            }
            sum
        })
    }

    /// λ Σ ρ |x|², a part for every 1,024 rows.
    pub(crate) fn penalty_parts(&self, side: &Compressed, factors: &[f32], rank: usize) -> Vec<f64> {
        sum_chunks(side.rows(), |row| {
            let x = &factors[row * rank..][..rank];
            let norm = dot(x, x);
            if norm == 0.0 {
                return 0.0;
            }
            self.ridge(side.length(row), side.width()) * norm
        })
    }
}

/// The weight of a value.
#[inline(always)]
fn weight(confidence: Confidence, value: f32) -> f64 {
    let value = f64::from(value);
    match confidence {
        Confidence::Constant { weight } => weight.into(),
        Confidence::Proportional { alpha } => f64::from(alpha) * value,
        Confidence::Hu { alpha } => 1.0 + f64::from(alpha) * value,
        Confidence::Logarithmic { alpha, epsilon } => {
            1.0 + f64::from(alpha) * (value / f64::from(epsilon)).ln_1p()
        }
        Confidence::Given => value,
    }
}

/// c, √|c| and w p of the pairs of a row, rounded to f32.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    pub(crate) excesses: Vec<f32>,
    pub(crate) scales: Vec<f32>,
    pub(crate) pulls: Vec<f32>,
}

impl Terms {
    /// Whether every c is above zero, so that √c may divide.
    pub(crate) fn positive(&self) -> bool {
        self.excesses.iter().all(|&c| c >= f32::MIN_POSITIVE)
    }

    /// Whether some c is below zero.
    pub(crate) fn negative(&self) -> bool {
        self.excesses.iter().any(|&c| c < 0.0)
    }

    /// c / √|c|
    pub(crate) fn negated_scales(&self, signed: &mut Vec<f32>) {
        signed.clear();
        let pairs = self.scales.iter().zip(&self.excesses);
        signed.extend(pairs.map(|(scale, c)| scale.copysign(*c)));
    }
}

/// x·y in f64, eight partial sums so that it vectorises.
fn dot(x: &[f32], y: &[f32]) -> f64 {
    let mut sums = [0f64; 8];
    let (x_chunks, x_rest) = x.as_chunks::<8>();
    let (y_chunks, y_rest) = y.as_chunks::<8>();
    for (a, b) in x_chunks.iter().zip(y_chunks) {
        for k in 0..8 {
            sums[k] += f64::from(a[k]) * f64::from(b[k]);
        }
    }
    let rest: f64 = x_rest.iter().zip(y_rest).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    sums.iter().sum::<f64>() + rest
}

/// Sums of `term` over chunks of rows that the number of threads cannot change.
fn sum_chunks(rows: usize, term: impl Fn(usize) -> f64 + Sync) -> Vec<f64> {
    const CHUNK: usize = 1024;
    (0..rows.div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| (chunk * CHUNK..rows.min((chunk + 1) * CHUNK)).map(&term).sum::<f64>())
        .collect()
}

/// FᵀF in f64, `[rank, rank]`, both triangles filled.
pub(crate) fn gram(factors: &[f32], rank: usize) -> Array2<f64> {
    let mut sum = Array2::zeros((rank, rank));
    add_gram(&mut sum, factors);
    sum
}

/// Adds FᵀF: all rows at once, or in order by multiples of 2,048.
pub(crate) fn add_gram(sum: &mut Array2<f64>, factors: &[f32]) {
    const CHUNK: usize = 2048;
    let rank = sum.nrows();
    in_order(factors, CHUNK * rank, |chunk| precise_gram(chunk, rank), |part| *sum += &part);
}

/// FᵀF of some rows, on this thread.
fn precise_gram(factors: &[f32], rank: usize) -> Array2<f64> {
    // Rows that are widened at once.
    const ROWS: usize = 128;
    let mut sum = Array2::zeros((rank, rank));
    for rows in factors.chunks(ROWS * rank) {
        // Products of f32 numbers are exact in f64.
        match ArrayView2::from_shape((rows.len() / rank, rank), rows).map(|rows| rows.mapv(f64::from)) {
            Ok(rows) => general_mat_mul(1.0, &rows.t(), &rows, 1.0, &mut sum),
            Err(_) => unreachable!("chunks hold whole rows"),
        }
    }
    sum
}
