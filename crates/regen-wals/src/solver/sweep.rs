//! One half-sweep: every row of a side is its own small least-squares problem,
//!
//! (α₀ YᵀY + Σ_i c_i y_i y_iᵀ + λρ I) x = Σ_i w_i p_i y_i, with c_i = w_i or w_i − α₀.

use ndarray::Array2;
use rayon::prelude::*;

use crate::config::{Solver, WalsConfig};
use crate::error::{Error, Result};
use crate::interactions::Compressed;
use crate::objective::Objective;
use crate::solver::plain;

/// Which side of the matrix is being solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    User,
    Item,
}

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Item => "item",
        }
    }
}

/// A half-sweep that is ready to run.
pub(crate) struct Sweep<'a> {
    pub(crate) side: Side,
    pub(crate) rows: &'a Compressed,
    /// Factors of the other side, `[width, rank]`, and their Gram matrix.
    pub(crate) fixed: &'a [f32],
    pub(crate) gram: &'a Array2<f64>,
    pub(crate) rank: usize,
    pub(crate) solver: Solver,
    pub(crate) objective: Objective,
}

impl<'a> Sweep<'a> {
    pub(crate) fn new(
        config: &WalsConfig,
        side: Side,
        rows: &'a Compressed,
        fixed: &'a [f32],
        gram: &'a Array2<f64>,
    ) -> Self {
        Self {
            side,
            rows,
            fixed,
            gram,
            rank: config.rank,
            solver: config.solver,
            objective: Objective::new(config),
        }
    }

    /// The same with the exact solver, whatever the configuration trains with: for fold-in.
    pub(crate) fn exact(
        config: &WalsConfig,
        side: Side,
        rows: &'a Compressed,
        fixed: &'a [f32],
        gram: &'a Array2<f64>,
    ) -> Self {
        Self { solver: Solver::Cholesky, ..Self::new(config, side, rows, fixed, gram) }
    }

    /// Solves all rows. `factors: [rows, rank]` holds the start values of the iterative solvers
    /// and receives the result.
    pub(crate) fn solve(&self, factors: &mut [f32]) -> Result<()> {
        factors
            .par_chunks_mut(self.rank)
            .enumerate()
            .map(|(row, factor)| {
                if self.rows.length(row) == 0 {
                    factor.fill(0.0);
                    return Ok(());
                }
                plain::solve_row(self, row, factor)
                    .map_err(|_| Error::NotPositiveDefinite { side: self.side.name(), row })
            })
            // Not a fail-fast collect: the error named is the first row's, not the fastest's.
            .reduce(|| Ok(()), Result::and)
    }
}
