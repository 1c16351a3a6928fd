//! One half-sweep: every row of a side is its own small least-squares problem,
//!
//! (α₀ YᵀY + Σ_i c_i y_i y_iᵀ + λρ I) x = Σ_i w_i p_i y_i, with c_i = w_i or w_i − α₀.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::config::{Arithmetic, Solver, WalsConfig};
use crate::error::{Error, Result};
use crate::interactions::Compressed;
use crate::kernel::product::Table;
use crate::limits::{Rows, check_solutions, check_spectrum};
use crate::objective::{Objective, gram};
use crate::simd::Level;
use crate::solver::basis::{Basis, fast_gram};
use crate::solver::order::{Order, is_short};
use crate::solver::plain::{Base, Indefinite, Problem};
use crate::solver::rows::RotatedSweep;

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

    pub(crate) fn opposite(self) -> Self {
        match self {
            Self::User => Self::Item,
            Self::Item => Self::User,
        }
    }
}

/// A half-sweep that is ready to run.
pub(crate) struct Sweep<'a> {
    pub(crate) side: Side,
    pub(crate) rows: &'a Compressed,
    pub(crate) order: &'a Order,
    pub(crate) config: &'a WalsConfig,
    /// See [`WalsConfig::relaxation`].
    pub(crate) relaxation: f32,
    pub(crate) level: Level,
}

impl Sweep<'_> {
    /// Solves all rows of `solved` against `fixed`, both `[_, rank]`.
    ///
    /// Returns the basis that both stand in afterwards, in terms of the one before: None when
    /// they were not turned.
    pub(crate) fn run(&self, solved: &mut [f32], fixed: &mut [f32]) -> Result<Option<Basis>> {
        match self.config.arithmetic {
            Arithmetic::F32 => self.run_rotated(solved, fixed).map(Some),
            Arithmetic::F64 => self.run_plain(solved, fixed).map(|()| None),
        }
    }

    fn run_rotated(&self, solved: &mut [f32], fixed: &mut [f32]) -> Result<Basis> {
        let rank = self.config.rank;
        let (basis, values) = Basis::of(&fast_gram(self.level, fixed, rank), self.side.opposite().name())?;
        basis.turn(fixed);
        if self.config.solver != Solver::Cholesky {
            basis.turn(solved);
        }
        solve_turned(self, &values, fixed, solved)?;
        Ok(basis)
    }

    /// f64, row by row. The iterative solvers work in the basis of the fast ones, so that they
    /// take the same steps.
    fn run_plain(&self, solved: &mut [f32], fixed: &[f32]) -> Result<()> {
        let rank = self.config.rank;
        let objective = Objective::new(self.config);
        let gram = gram(fixed, rank);
        let wide = |numbers: &[f32]| -> Array2<f64> {
            Array2::from_shape_fn((numbers.len() / rank, rank), |(r, k)| numbers[r * rank + k].into())
        };
        let table = wide(fixed);
        if self.config.solver == Solver::Cholesky {
            let base = Base::Gram(gram.view());
            let row = |column: usize| table.row(column).to_vec();
            return self.solve_plain(&objective, base, row, None, solved);
        }
        let (basis, values) = Basis::of(&gram, self.side.opposite().name())?;
        let turn = Array2::from_shape_fn((rank, rank), |(i, j)| basis.vectors()[(i, j)]);
        let spectrum: Vec<f64> = values.iter().map(|value| objective.unobserved_weight() * value).collect();
        let base = Base::Diagonal(&spectrum);
        let table = table.dot(&turn);
        let row = |column: usize| table.row(column).to_vec();
        self.solve_plain(&objective, base, row, Some(&turn), solved)
    }

    /// `table(column)` yields a fixed factor; `turn` is the basis it stands in, unless it is that
    /// of `solved`.
    fn solve_plain(
        &self,
        objective: &Objective,
        base: Base<'_>,
        table: impl Fn(usize) -> Vec<f64> + Sync,
        turn: Option<&Array2<f64>>,
        solved: &mut [f32],
    ) -> Result<()> {
        let rank = self.config.rank;
        solved
            .par_chunks_mut(rank)
            .enumerate()
            .map(|(row, factor)| {
                if objective.is_void(self.rows, row) {
                    factor.fill(0.0);
                    return Ok(());
                }
                let length = self.rows.length(row);
                let problem = Problem::new(objective, self.rows, row, rank, base, &table);
                let short = is_short(length, rank, self.config.solver);
                let solver = match self.config.solver {
                    Solver::Block { size, .. } => {
                        Solver::Block { size: if short { rank } else { size }, relaxation: self.relaxation }
                    }
                    Solver::ConjugateGradient { .. } if short => Solver::Cholesky,
                    solver => solver,
                };
                let wide: ndarray::Array1<f64> = factor.iter().map(|&v| f64::from(v)).collect();
                let mut x = turn.map_or(wide.clone(), |turn| wide.dot(turn)).to_vec();
                problem
                    .solve(solver, &mut x)
                    .map_err(|Indefinite| Error::NotPositiveDefinite { side: self.side.name(), row })?;
                let x = ndarray::Array1::from_vec(x);
                let x = turn.map_or(x.clone(), |turn| turn.dot(&x));
                for (to, from) in factor.iter_mut().zip(x) {
                    *to = from as f32;
                }
                Ok(())
            })
            // Not a fail-fast collect: the error named is the first row's, not the fastest's.
            .reduce(|| Ok(()), Result::and)
    }
}

/// Solves the rows of a sweep in the basis in which the Gram matrix of the fixed side is diagonal.
///
/// `eigenvalues` are those of the Gram matrix; `fixed` holds the fixed factors that the rows
/// speak of, turned into its basis, and `solved` the start values, turned as well unless the
/// solver is exact.
pub(crate) fn solve_turned(
    sweep: &Sweep<'_>,
    eigenvalues: &[f64],
    fixed: &[f32],
    solved: &mut [f32],
) -> Result<()> {
    let rank = sweep.config.rank;
    let objective = Objective::new(sweep.config);
    let spectrum: Vec<f32> =
        eigenvalues.iter().map(|value| (objective.unobserved_weight() * value) as f32).collect();
    check_spectrum(&spectrum, sweep.side.opposite())?;
    RotatedSweep {
        side: sweep.side,
        rows: sweep.rows,
        order: sweep.order,
        table: Table::new(fixed, rank),
        spectrum: &spectrum,
        rank,
        objective,
        level: sweep.level,
        relaxation: sweep.relaxation,
    }
    .solve(solved)
}

/// The exact solutions of rows that were not in the fit, `[rows, rank]`.
///
/// A few rows are solved in f64 in the basis of the factors; many are worth a turned copy of the
/// fixed factors and the solver of the fit.
pub(crate) fn fold_in(
    config: &WalsConfig,
    side: Side,
    rows: &Compressed,
    fixed: &Array2<f32>,
    gram: ArrayView2<'_, f64>,
) -> Result<Vec<f32>> {
    Rows { side, rows, first: 0 }.check(config)?;
    let exact = WalsConfig { solver: Solver::Cholesky, ..config.clone() };
    let order = Order::of(rows, &exact);
    let sweep = Sweep { side, rows, order: &order, config: &exact, relaxation: 1.0, level: Level::best() };
    let mut solved = vec![0f32; rows.rows() * config.rank];
    let pairs: usize = order.rows().map(|row| rows.length(row as usize)).sum();
    if config.arithmetic == Arithmetic::F64 || pairs < fixed.nrows() {
        let base = Base::Gram(gram);
        let wide = |column: usize| fixed.row(column).mapv(f64::from).to_vec();
        sweep.solve_plain(&Objective::new(&exact), base, wide, None, &mut solved)?;
    } else {
        let mut fixed: Vec<f32> = fixed.iter().copied().collect();
        if let Some(basis) = sweep.run(&mut solved, &mut fixed)? {
            basis.turn_back(&mut solved);
        }
    }
    check_solutions(side, 0, &solved, config.rank)?;
    Ok(solved)
}
