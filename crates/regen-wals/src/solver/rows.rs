//! A half-sweep in f32, in the basis in which the Gram matrix of the fixed side is diagonal.
//!
//! There the normal matrix of a row is D + Σ c ŷ ŷᵀ with a diagonal D = α₀Λ + λρ, which opens a
//! second road to the exact solution. A row with n pairs may be solved
//!
//! - by its normal matrix, `rank × rank`: n·rank² + rank³/3 multiplications, or
//! - for n < rank and c > 0 by the matrix of inner products of its pairs,
//!   x = D⁻¹Sᵀ (I + S D⁻¹ Sᵀ)⁻¹ τ with rows s = √c ŷ and τ = w p / √c: rank·n² + n³/3.
//!
//! Most rows of a power-law matrix are short, so the second road saves most of the work. Rows are
//! taken in order of length, as many at once as a vector has lanes. Which road a row takes hangs
//! on the row alone (see [`Order`]), so its solution does not depend on the rows beside it.

use std::any::Any;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::config::Solver;
use crate::error::{Error, Result};
use crate::interactions::Compressed;
use crate::kernel::product::Table;
use crate::objective::Objective;
use crate::simd::{Level, dispatch};
use crate::solver::batch::Batch;
use crate::solver::order::{Order, Road};
use crate::solver::plain::{Base, Problem};
use crate::solver::sweep::Side;

/// A half-sweep that is ready to run.
pub(crate) struct RotatedSweep<'a> {
    pub(crate) side: Side,
    pub(crate) rows: &'a Compressed,
    pub(crate) order: &'a Order,
    /// The fixed factors in the rotated basis.
    pub(crate) table: Table<'a>,
    /// α₀Λ: one number a column.
    pub(crate) spectrum: &'a [f32],
    pub(crate) rank: usize,
    pub(crate) objective: Objective,
    pub(crate) level: Level,
    /// ω: how many times the way from a row's start value to its exact solution is gone.
    pub(crate) relaxation: f32,
}

/// Numbers that are solved for between two visits to the factors, for each thread: rows are scattered there, so results gather in
/// a buffer first. Enough that threads which finish early wait little, and few enough that nobody misses the memory.
const WAVE: usize = 1 << 15;

/// The fewest rows of a thread between two visits.
const FEWEST: usize = 128;

impl RotatedSweep<'_> {
    /// Solves all rows. `factors: [rows, rank]`, rotated, holds the start values of the iterative
    /// solvers and receives the result.
    pub(crate) fn solve(&self, factors: &mut [f32]) -> Result<()> {
        let rank = self.rank;
        for (row, factor) in factors.chunks_exact_mut(rank).enumerate() {
            if self.objective.is_void(self.rows, row) {
                factor.fill(0.0);
            }
        }
        let threads = rayon::current_num_threads().max(1);
        let scratch: Vec<Mutex<Scratch>> = (0..threads).map(|_| Mutex::new(Scratch(None))).collect();
        let wave_rows = (WAVE / rank).max(FEWEST) * threads;
        let mut buffer = vec![0f32; wave_rows.min(self.order.longest_group()) * rank];
        for (road, rows) in self.order.groups() {
            for wave in rows.chunks(wave_rows) {
                let solved = &mut buffer[..wave.len() * rank];
                self.solve_wave(road, wave, factors, solved, &scratch)?;
                let relaxed = self.relaxation != 1.0 && !matches!(road, Road::Iterative(_));
                for (&row, solution) in wave.iter().zip(solved.chunks_exact(rank)) {
                    let factor = &mut factors[row as usize * rank..][..rank];
                    if relaxed {
                        for (x, solution) in factor.iter_mut().zip(solution) {
                            *x += self.relaxation * (solution - *x);
                        }
                    } else {
                        factor.copy_from_slice(solution);
                    }
                }
            }
        }
        Ok(())
    }

    fn solve_wave(
        &self,
        road: Road,
        wave: &[u32],
        start: &[f32],
        solved: &mut [f32],
        scratch: &[Mutex<Scratch>],
    ) -> Result<()> {
        let width = self.level.width();
        solved
            .par_chunks_mut(width * self.rank)
            .zip(wave.par_chunks(width))
            .map(|(out, rows)| {
                let slot = rayon::current_thread_index().unwrap_or(0) % scratch.len();
                // A poisoned scratch belongs to a thread whose panic is on its way already.
                let mut scratch = scratch[slot].lock().unwrap_or_else(PoisonError::into_inner);
                let batch = Batch { sweep: self, road, rows, start, out, scratch: &mut scratch };
                let unsound = dispatch(self.level, batch);
                drop(scratch);
                unsound
                    .into_iter()
                    .try_for_each(|k| self.solve_precisely(rows[k], &mut out[k * self.rank..][..self.rank]))
            })
            .reduce(|| Ok(()), Result::and)
    }

    /// In f64, for a row whose f32 factorisation met a pivot that is all rounding error.
    fn solve_precisely(&self, row: u32, out: &mut [f32]) -> Result<()> {
        let row = row as usize;
        let spectrum: Vec<f64> = self.spectrum.iter().map(|&v| v.into()).collect();
        let problem =
            Problem::new(&self.objective, self.rows, row, self.rank, Base::Diagonal(&spectrum), |column| {
                self.table.row(column as u32).iter().map(|&v| f64::from(v))
            });
        let mut x = vec![0f64; self.rank];
        problem
            .solve(Solver::Cholesky, &mut x)
            .map_err(|_| Error::NotPositiveDefinite { side: self.side.name(), row })?;
        for (to, from) in out.iter_mut().zip(x) {
            *to = from as f32;
        }
        Ok(())
    }
}

/// Memory of a thread that batches use one after the other; its type depends on the level.
pub(crate) struct Scratch(Option<Box<dyn Any + Send>>);

impl Scratch {
    /// The contents, made on the first call.
    pub(crate) fn get<T: Any + Send>(&mut self, make: impl FnOnce() -> T) -> &mut T {
        if !self.0.as_ref().is_some_and(|held| held.is::<T>()) {
            self.0 = Some(Box::new(make()));
        }
        match self.0.as_mut().and_then(|held| held.downcast_mut()) {
            Some(held) => held,
            None => unreachable!("made just above"),
        }
    }
}
