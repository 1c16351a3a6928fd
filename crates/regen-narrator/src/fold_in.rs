//! The collaborative vector of a user who was not in the factorisation, from a history alone: the exact solve of one row.
//!
//! The factorisation itself is a sibling crate that this one must not know, so a bundle carries what a solve needs as plain
//! numbers: the item factors' Gram matrix, the weights and the ridge. The solve is that of a fit's user half-sweep, in f64; a
//! test of the workspace holds it against the factorisation's own.

use std::path::Path;

use regen_torch::{Checkpoint, save_tensors};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::{Error, Result};

/// How often a pair was observed, as a weight. For a value of 1, and of n for an item that stands n times in a history.
///
/// **Source** Hu, Koren, Volinsky 2008, "Collaborative Filtering for Implicit Feedback Datasets".
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PairWeight {
    /// The same for every observed pair.
    Constant {
        /// The weight, at least 0.
        weight: f64,
    },
    /// `α r`.
    Proportional {
        /// α ≥ 0.
        alpha: f64,
    },
    /// `1 + α r`.
    Hu {
        /// α ≥ 0.
        alpha: f64,
    },
    /// `1 + α ln(1 + r/ε)`.
    Logarithmic {
        /// α ≥ 0.
        alpha: f64,
        /// ε > 0.
        epsilon: f64,
    },
    /// The value itself.
    Given,
}

impl PairWeight {
    fn of(self, value: f64) -> f64 {
        match self {
            Self::Constant { weight } => weight,
            Self::Proportional { alpha } => alpha * value,
            Self::Hu { alpha } => 1.0 + alpha * value,
            Self::Logarithmic { alpha, epsilon } => 1.0 + alpha * (value / epsilon).ln_1p(),
            Self::Given => value,
        }
    }
}

/// Which pairs carry the weight of what was not observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnobservedPairs {
    /// Those that were not.
    Unobserved,
    /// All, on top of the weight of the observed ones.
    All,
}

/// What the ridge of a row grows with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RidgeFrequency {
    /// Its observed pairs.
    Count,
    /// Its observed pairs, and the unobserved weight times the number of items.
    Ials,
}

/// The objective that item factors were fitted to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldInConfig {
    /// The weight of an observed pair.
    pub pair_weight: PairWeight,
    /// α₀ ≥ 0, the weight of a pair that was not observed.
    pub unobserved_weight: f64,
    /// Which pairs carry α₀.
    pub unobserved: UnobservedPairs,
    /// λ ≥ 0.
    pub regularization: f64,
    /// What λ is multiplied by.
    pub frequency: RidgeFrequency,
    /// And to which power.
    pub frequency_exponent: f64,
    /// Items of the factorisation, those that nobody bought included.
    pub items: usize,
}

/// Makes users' vectors of the histories that a collaborative table belongs to.
///
/// The minimum over x of `Σ w (1 − x·y)² + α₀ Σ (x·y)² + λρ‖x‖²`, the first sum over the history, the second over the pairs
/// that [`UnobservedPairs`] says, as `(α₀ YᵀY + Σ c y yᵀ + λρ I) x = Σ w y` by Cholesky's method.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldIn {
    config: FoldInConfig,
    /// `[rank, rank]`, row by row.
    gram: Vec<f64>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl FoldIn {
    /// `gram: [rank, rank]` is YᵀY over the factors of all items of the factorisation. A component of a factor is that of the
    /// table's vector times `scale`, plus `shift`, `[rank]` each: ones and zeros where the table holds the factors
    /// themselves.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a setting outside its range, lengths that do not go together, or numbers that are not finite.
    pub fn new(config: FoldInConfig, gram: Vec<f64>, scale: Vec<f32>, shift: Vec<f32>) -> Result<Self> {
        let invalid = |field, got: String, expected| Err(Error::InvalidConfig { field, got, expected });
        let rank = scale.len();
        if rank == 0 || shift.len() != rank || gram.len() != rank * rank {
            let got = format!("{} numbers, {rank} scales and {} shifts", gram.len(), shift.len());
            return invalid("fold_in", got, "rank² numbers, and a scale and a shift for each component");
        }
        let numbers = scale.iter().chain(&shift).map(|&value| f64::from(value)).chain(gram.iter().copied());
        if numbers.into_iter().any(|value| !value.is_finite()) {
            return invalid("fold_in", "a number that is not".into(), "finite numbers");
        }
        let (weight, epsilon) = match config.pair_weight {
            PairWeight::Constant { weight } => (weight, 1.0),
            PairWeight::Proportional { alpha } | PairWeight::Hu { alpha } => (alpha, 1.0),
            PairWeight::Logarithmic { alpha, epsilon } => (alpha, epsilon),
            PairWeight::Given => (0.0, 1.0),
        };
        for (field, value) in [
            ("fold_in.pair_weight", weight),
            ("fold_in.unobserved_weight", config.unobserved_weight),
            ("fold_in.regularization", config.regularization),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return invalid(field, value.to_string(), "a number that is at least 0");
            }
        }
        if !(epsilon.is_finite() && epsilon > 0.0) {
            return invalid("fold_in.pair_weight.epsilon", epsilon.to_string(), "a positive number");
        }
        if !config.frequency_exponent.is_finite() {
            let got = config.frequency_exponent.to_string();
            return invalid("fold_in.frequency_exponent", got, "a finite number");
        }
        Ok(Self { config, gram, scale, shift })
    }

    /// The objective.
    pub fn config(&self) -> &FoldInConfig {
        &self.config
    }

    /// Width of a user's vector.
    pub fn rank(&self) -> usize {
        self.scale.len()
    }

    /// The user who bought each of `vectors: [values.len(), rank]` of the table as often as `values` says; `None` for one who
    /// bought none of them.
    ///
    /// # Errors
    /// [`Error::NotPositiveDefinite`] where the objective has no single minimum, as without λ.
    ///
    /// # Panics
    /// If there are not `rank` numbers for every value.
    pub fn solve(&self, vectors: &[f32], values: &[f32]) -> Result<Option<Vec<f32>>> {
        let rank = self.rank();
        assert_eq!(vectors.len(), values.len() * rank, "numbers of table vectors");
        if values.is_empty() {
            return Ok(None);
        }
        let config = &self.config;
        let mut normal: Vec<f64> = self.gram.iter().map(|value| config.unobserved_weight * value).collect();
        let mut right = vec![0.0; rank];
        for (row, &value) in vectors.chunks_exact(rank).zip(values) {
            let parts = row.iter().zip(&self.scale).zip(&self.shift);
            let factor: Vec<f64> = parts
                .map(|((&x, &scale), &shift)| f64::from(x) * f64::from(scale) + f64::from(shift))
                .collect();
            let weight = config.pair_weight.of(f64::from(value));
            let excess = match config.unobserved {
                UnobservedPairs::Unobserved => weight - config.unobserved_weight,
                UnobservedPairs::All => weight,
            };
            for (i, &left) in factor.iter().enumerate() {
                right[i] += weight * left;
                for (sum, &other) in normal[i * rank..].iter_mut().zip(&factor) {
                    *sum += excess * left * other;
                }
            }
        }
        let ridge = self.ridge(values.len() as f64);
        for i in 0..rank {
            normal[i * rank + i] += ridge;
        }
        cholesky_solve(&mut normal, &mut right)?;
        Ok(Some(right.into_iter().map(|value| value as f32).collect()))
    }

    /// λρ of a row with `count` observed pairs.
    fn ridge(&self, count: f64) -> f64 {
        let config = &self.config;
        let frequency = match config.frequency {
            RidgeFrequency::Count => count,
            RidgeFrequency::Ials => count + config.unobserved_weight * config.items as f64,
        };
        config.regularization * frequency.powf(config.frequency_exponent)
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let rank = self.rank() as i64;
        let tensors = [
            ("gram".to_owned(), Tensor::from_slice(&self.gram).reshape([rank, rank])),
            ("scale".to_owned(), Tensor::from_slice(&self.scale)),
            ("shift".to_owned(), Tensor::from_slice(&self.shift)),
        ];
        Ok(save_tensors(path, &tensors, &[])?)
    }

    pub(crate) fn load(path: &Path, config: FoldInConfig, rank: i64) -> Result<Self> {
        let stored = Checkpoint::open(path)?;
        let copied = |source| regen_torch::Error::Torch { action: "copy a tensor to the host", source };
        let gram = stored.tensor("gram", &[rank, rank])?.to_kind(Kind::Double).reshape([-1]);
        let numbers = |name| -> Result<Vec<f32>> {
            let tensor = stored.tensor(name, &[rank])?.to_kind(Kind::Float);
            Ok(Vec::try_from(tensor).map_err(copied)?)
        };
        Self::new(config, Vec::try_from(gram).map_err(copied)?, numbers("scale")?, numbers("shift")?)
    }
}

/// Solves `normal · x = right` in place; `normal: [n, n]` symmetric, of which the lower triangle is read and overwritten.
fn cholesky_solve(normal: &mut [f64], right: &mut [f64]) -> Result<()> {
    let n = right.len();
    for j in 0..n {
        for i in j..n {
            let (before, row) = normal.split_at(i * n);
            let above = if i == j { &row[..j] } else { &before[j * n..j * n + j] };
            let value = row[j] - row[..j].iter().zip(above).map(|(a, b)| a * b).sum::<f64>();
            if i > j {
                normal[i * n + j] = value / normal[j * n + j];
            } else if value > 0.0 && value.is_finite() {
                normal[j * n + j] = value.sqrt();
            } else {
                return Err(Error::NotPositiveDefinite { pivot: j });
            }
        }
    }
    for i in 0..n {
        let known: f64 = (0..i).map(|k| normal[i * n + k] * right[k]).sum();
        right[i] = (right[i] - known) / normal[i * n + i];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|k| normal[k * n + i] * right[k]).sum();
        right[i] = (right[i] - known) / normal[i * n + i];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> FoldInConfig {
        FoldInConfig {
            pair_weight: PairWeight::Hu { alpha: 2.0 },
            unobserved_weight: 0.5,
            unobserved: UnobservedPairs::Unobserved,
            regularization: 0.25,
            frequency: RidgeFrequency::Count,
            frequency_exponent: 1.0,
            items: 3,
        }
    }

    /// By hand: y = (2, 1), w = 3, so (0.5·G + 2.5·yyᵀ + 0.25·I) x = 3y.
    #[test]
    fn one_purchase_is_solved_as_by_hand() {
        let fold_in =
            FoldIn::new(config(), vec![6.0, 1.0, 1.0, 3.0], vec![2.0, 1.0], vec![0.0, 0.5]).unwrap();
        let x = fold_in.solve(&[1.0, 0.5], &[1.0]).unwrap().unwrap();
        let (a, b, c) = (3.0 + 10.0 + 0.25, 0.5 + 5.0, 1.5 + 2.5 + 0.25);
        let determinant = a * c - b * b;
        let expected = [(6.0 * c - 3.0 * b) / determinant, (3.0 * a - 6.0 * b) / determinant];
        for (got, expected) in x.iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() < 1e-6, "{x:?} {expected}");
        }
        assert_eq!(fold_in.solve(&[], &[]).unwrap(), None);
    }

    #[test]
    fn what_has_no_single_minimum_or_does_not_fit_is_refused() {
        let flat = FoldInConfig { regularization: 0.0, unobserved_weight: 0.0, ..config() };
        let fold_in = FoldIn::new(flat, vec![0.0; 4], vec![1.0; 2], vec![0.0; 2]).unwrap();
        assert!(matches!(fold_in.solve(&[1.0, 1.0], &[1.0]), Err(Error::NotPositiveDefinite { pivot: 1 })));
        let refused = |config, gram: Vec<f64>| {
            matches!(FoldIn::new(config, gram, vec![1.0; 2], vec![0.0; 2]), Err(Error::InvalidConfig { .. }))
        };
        assert!(refused(config(), vec![1.0; 3]) && refused(config(), vec![f64::NAN; 4]));
        assert!(refused(FoldInConfig { regularization: -1.0, ..config() }, vec![1.0; 4]));
        let epsilon = PairWeight::Logarithmic { alpha: 1.0, epsilon: 0.0 };
        assert!(refused(FoldInConfig { pair_weight: epsilon, ..config() }, vec![1.0; 4]));
    }
}
