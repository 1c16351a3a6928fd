//! What is searched, and how the iterations are shared out.

use serde::{Deserialize, Serialize};

use crate::config::WalsConfig;
use crate::error::{Error, Result};

/// A grid: every combination of the four lists, everything else as in `base`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSpace {
    /// What the lists do not say. Its iterations are the most that a cell may run.
    pub base: WalsConfig,
    /// Candidates for [`WalsConfig::rank`].
    pub ranks: Vec<usize>,
    /// Candidates for [`WalsConfig::regularization`].
    pub regularizations: Vec<f32>,
    /// Candidates for [`WalsConfig::unobserved_weight`].
    pub unobserved_weights: Vec<f32>,
    /// Candidates for [`WalsConfig::frequency_exponent`].
    pub frequency_exponents: Vec<f32>,
}

impl SearchSpace {
    /// The configurations, cell by cell: ranks outermost, frequency exponents innermost.
    ///
    /// # Errors
    /// [`Error::NoCandidates`] for an empty list, [`Error::InvalidSetting`] for a cell whose
    /// settings are out of range or that may not run at all.
    pub fn cells(&self) -> Result<Vec<WalsConfig>> {
        let lists = [
            ("rank", self.ranks.len()),
            ("regularization", self.regularizations.len()),
            ("unobserved_weight", self.unobserved_weights.len()),
            ("frequency_exponent", self.frequency_exponents.len()),
        ];
        if let Some(&(field, _)) = lists.iter().find(|(_, length)| *length == 0) {
            return Err(Error::NoCandidates { field });
        }
        if self.base.iterations == 0 {
            return Err(Error::InvalidSetting { field: "iterations", expected: "at least 1", got: 0.0 });
        }
        let mut cells = Vec::with_capacity(lists.iter().map(|(_, length)| length).product());
        for &rank in &self.ranks {
            for &regularization in &self.regularizations {
                for &unobserved_weight in &self.unobserved_weights {
                    for &frequency_exponent in &self.frequency_exponents {
                        let cell = WalsConfig {
                            rank,
                            regularization,
                            unobserved_weight,
                            frequency_exponent,
                            ..self.base.clone()
                        };
                        cell.validate()?;
                        cells.push(cell);
                    }
                }
            }
        }
        Ok(cells)
    }
}

/// How the iterations are shared out among the cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Strategy {
    /// Every cell runs all iterations, unless it stops early.
    Grid,
    /// All cells run a few iterations; the best of them run `factor` times as many, and so on
    /// until the rest has run all. Of n cells the best ⌈n / factor⌉ go on, ties to the earlier.
    ///
    /// **Source** Jamieson and Talwalkar (2016), "Non-stochastic best arm identification and
    /// hyperparameter optimization".
    SuccessiveHalving {
        /// Iterations of the first round, at least 1.
        first_iterations: usize,
        /// At least 2.
        factor: usize,
    },
}

impl Strategy {
    pub(super) fn validate(self) -> Result<()> {
        let invalid =
            |field, expected, got: usize| Err(Error::InvalidSetting { field, expected, got: got as f64 });
        match self {
            Self::SuccessiveHalving { first_iterations: 0, .. } => {
                invalid("strategy.successive_halving.first_iterations", "at least 1", 0)
            }
            Self::SuccessiveHalving { factor, .. } if factor < 2 => {
                invalid("strategy.successive_halving.factor", "at least 2", factor)
            }
            Self::Grid | Self::SuccessiveHalving { .. } => Ok(()),
        }
    }

    /// Iterations of the first round, out of `most`.
    pub(super) fn first_budget(self, most: usize) -> usize {
        match self {
            Self::Grid => most,
            Self::SuccessiveHalving { first_iterations, .. } => first_iterations.min(most),
        }
    }

    /// Iterations of the next round and how many of `cells` take part in it; `None` once all
    /// have run.
    pub(super) fn next_round(self, budget: usize, most: usize, cells: usize) -> Option<(usize, usize)> {
        let Self::SuccessiveHalving { factor, .. } = self else { return None };
        if budget >= most {
            return None;
        }
        let cells = cells.div_ceil(factor);
        // The last one has nobody left to be compared with.
        let budget = if cells == 1 { most } else { budget.saturating_mul(factor).min(most) };
        Some((budget, cells))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_shrink_until_one_cell_has_run_everything() {
        let strategy = Strategy::SuccessiveHalving { first_iterations: 2, factor: 3 };
        let mut round = (strategy.first_budget(16), 20);
        let mut rounds = vec![round];
        while let Some(next) = strategy.next_round(round.0, 16, round.1) {
            round = next;
            rounds.push(round);
        }
        assert_eq!(rounds, [(2, 20), (6, 7), (16, 3)]);
        assert_eq!(strategy.next_round(2, 16, 3), Some((16, 1)));
        assert_eq!(Strategy::Grid.next_round(16, 16, 20), None);
    }
}
