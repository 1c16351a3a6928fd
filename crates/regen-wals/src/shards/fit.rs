//! The alternation over shards: what is in memory is one shard and the factors that it touches.
//!
//! Every cut through the rows (pieces of a Gram matrix, chunks that are turned) is where the fit
//! in memory makes it, and a row's solution does not depend on the rows beside it. So both give
//! the same factors, bit for bit.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

use super::blocks::Blocks;
use super::loss;
use super::matrix::ShardedMatrix;
use super::state::{Generation, Work};
use crate::config::{Arithmetic, Solver, WalsConfig};
use crate::error::{Error, Result};
use crate::factor_file::FactorFile;
use crate::fit::{ITEM_STREAM, USER_STREAM};
use crate::interactions::Compressed;
use crate::limits::{Rows, check_solutions};
use crate::npy;
use crate::objective::Objective;
use crate::persist::{ITEM_FACTORS, USER_FACTORS};
use crate::replace::Staged;
use crate::simd::Level;
use crate::solver::{Basis, Order, Side, Sweep, solve_turned};

/// How a sharded fit ended.
#[derive(Debug)]
pub enum ShardedFit {
    /// All iterations ran. The factors lie in the folder of the fit as `user_factors.npy` and
    /// `item_factors.npy`, and are open here.
    Finished {
        /// `[users, rank]`.
        user_factors: FactorFile,
        /// `[items, rank]`.
        item_factors: FactorFile,
    },
    /// The callback broke off. The same call goes on after the last finished shard.
    Stopped {
        /// Iterations whose two half-sweeps both ran.
        completed: usize,
    },
}

/// A point at which a sharded fit reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardStep {
    /// The fit begins, or goes on.
    Begun,
    /// A shard of users is solved; the number of shards that are.
    UserShard(usize),
    /// All users of an iteration are solved, its items not yet.
    UsersSolved,
    /// A shard of items is solved; the number of shards that are.
    ItemShard(usize),
    /// Both half-sweeps of an iteration are done.
    IterationDone,
}

/// Where a sharded fit stands; handed to the callback of [`WalsConfig::fit_shards`].
pub struct ShardProgress<'a> {
    /// The iteration that runs or just ended, from 1; at [`ShardStep::Begun`] the iterations that
    /// an earlier run completed.
    pub iteration: usize,
    /// Iterations that the configuration asks for.
    pub of: usize,
    /// Which point this is.
    pub step: ShardStep,
    objective: Objective,
    matrix: &'a ShardedMatrix,
    factors: &'a Generation,
}

impl ShardProgress<'_> {
    /// L after the last half-sweep that is done. Reads all factors and all pairs.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`].
    pub fn objective(&self) -> Result<f64> {
        loss::evaluate(&self.objective, self.matrix, self.factors)
    }
}

impl WalsConfig {
    /// Factorises a matrix that is on disk, with the factors on disk as well, to the factors that
    /// [`fit`](Self::fit) gives, bit for bit.
    ///
    /// `work` is the folder of this fit. Interrupted in any way, the same call goes on: shards
    /// that were solved are not solved again. A finished fit goes on when called with more
    /// iterations. When all are done, its last subfolder `factors-…` serves that purpose only. A fit
    /// that begins reads all shards once, to check them, before it writes.
    ///
    /// Memory: the pairs of one shard (8 bytes each), the factors of its rows and of the
    /// rows of the other side that they touch (4 × rank bytes each), 12 bytes for every 64 rows of
    /// the other side, and 32 Gram matrices of 8 × rank² bytes. Disk: two copies of
    /// all factors while a half-sweep runs, three while the last is written out.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); [`Error::ShardedArithmetic`] for f64; [`Error::ForeignState`] when
    /// the folder holds a fit of another matrix or configuration; [`Error::Io`] and
    /// [`Error::Format`].
    pub fn fit_shards(
        &self,
        matrix: &ShardedMatrix,
        work: &Path,
        progress: &mut dyn FnMut(ShardProgress<'_>) -> ControlFlow<()>,
    ) -> Result<ShardedFit> {
        self.validate()?;
        if self.arithmetic == Arithmetic::F64 {
            return Err(Error::ShardedArithmetic);
        }
        if matrix.pairs() == 0 {
            return Err(Error::NoPairs { users: matrix.users(), items: matrix.items() });
        }
        let folder = work;
        let work = Work::new(folder, self, matrix)?;
        let objective = Objective::new(self);
        let mut report = |iteration, step, factors: &Generation| {
            progress(ShardProgress { iteration, of: self.iterations, step, objective, matrix, factors })
        };

        let mut done = match work.done()? {
            Some(done) => done,
            None => {
                self.check_shards(matrix)?;
                work.clear()?;
                self.write_initial(&work.generation(0))?;
                work.advance(0)?;
                0
            }
        };
        if report(done / 2, ShardStep::Begun, &work.generation(done)).is_break() {
            return Ok(ShardedFit::Stopped { completed: done / 2 });
        }
        while done < 2 * self.iterations {
            let (side, step) = match done % 2 {
                0 => (Side::User, ShardStep::UsersSolved),
                _ => (Side::Item, ShardStep::IterationDone),
            };
            let (before, after) = (work.generation(done), work.generation(done + 1));
            let relaxation = self.relaxation(done);
            let half = HalfSweep { config: self, matrix, side, relaxation, level: Level::best() };
            let iteration = done / 2 + 1;
            let flow = half.run(&before, &after, &mut |solved| {
                let step = match side {
                    Side::User => ShardStep::UserShard(solved),
                    Side::Item => ShardStep::ItemShard(solved),
                };
                report(iteration, step, &before)
            })?;
            if flow.is_break() {
                return Ok(ShardedFit::Stopped { completed: done / 2 });
            }
            done += 1;
            work.advance(done)?;
            if report(iteration, step, &after).is_break() && done < 2 * self.iterations {
                return Ok(ShardedFit::Stopped { completed: done / 2 });
            }
        }
        let last = work.generation(done);
        let basis = last.basis()?;
        let (users, items) = (folder.join(USER_FACTORS), folder.join(ITEM_FACTORS));
        // Both before the first takes its name: the folder never holds sides of two fits.
        let staged = [
            write_out(&last.users, basis.as_ref(), &users)?,
            write_out(&last.items, basis.as_ref(), &items)?,
        ];
        staged.into_iter().try_for_each(Staged::commit)?;
        Ok(ShardedFit::Finished {
            user_factors: FactorFile::open(&users)?,
            item_factors: FactorFile::open(&items)?,
        })
    }

    /// As the fit in memory does before it begins.
    fn check_shards(&self, matrix: &ShardedMatrix) -> Result<()> {
        for side in [Side::User, Side::Item] {
            for shard in 0..matrix.shards(side) {
                let first = shard * matrix.rows_per_shard(side);
                Rows { side, rows: &matrix.shard(side, shard)?, first }.check(self)?;
            }
        }
        Ok(())
    }

    fn write_initial(&self, first: &Generation) -> Result<()> {
        first.create()?;
        for (blocks, stream) in [(&first.users, USER_STREAM), (&first.items, ITEM_STREAM)] {
            let mut draw = self.draws(stream)?;
            for block in 0..blocks.count() {
                let count = blocks.range(block).len() * self.rank;
                let numbers: Vec<f32> = std::iter::repeat_with(&mut draw).take(count).collect();
                blocks.write(block, &numbers)?;
            }
        }
        Ok(())
    }
}

/// One side solved while the other is held fixed.
struct HalfSweep<'a> {
    config: &'a WalsConfig,
    matrix: &'a ShardedMatrix,
    side: Side,
    relaxation: f32,
    level: Level,
}

impl HalfSweep<'_> {
    /// Writes the generation after a half-sweep, but for blocks of it that are there already.
    fn run(
        &self,
        before: &Generation,
        after: &Generation,
        solved_shards: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        after.create()?;
        let (fixed, solved) = (self.side.opposite(), self.side);
        let gram = before.side(fixed).gram(self.level)?;
        let (basis, eigenvalues) = Basis::of(&gram, fixed.name())?;
        let turned = after.side(fixed);
        for block in 0..turned.count() {
            if !turned.exists(block) {
                let mut numbers = before.side(fixed).read(block)?;
                basis.turn(&mut numbers);
                turned.write(block, &numbers)?;
            }
        }
        let results = after.side(solved);
        for shard in 0..self.matrix.shards(solved) {
            if !results.exists(shard) {
                let numbers = self.solve(shard, before.side(solved), turned, &basis, &eigenvalues)?;
                results.write(shard, &numbers)?;
            }
            if solved_shards(shard + 1).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let basis = match before.basis()? {
            Some(before) => before.then(&basis),
            None => basis,
        };
        after.write_basis(&basis)?;
        Ok(ControlFlow::Continue(()))
    }

    /// The factors of a shard.
    fn solve(
        &self,
        shard: usize,
        start: &Blocks,
        fixed: &Blocks,
        basis: &Basis,
        eigenvalues: &[f64],
    ) -> Result<Vec<f32>> {
        let mut rows = self.matrix.shard(self.side, shard)?;
        let order = Order::of(&rows, self.config);
        let mut factors = match self.config.solver {
            // The exact solver has no use for where a row was.
            Solver::Cholesky => vec![0f32; rows.rows() * self.config.rank],
            Solver::ConjugateGradient { .. } | Solver::Block { .. } => {
                let mut numbers = start.read(shard)?;
                basis.turn(&mut numbers);
                numbers
            }
        };
        let table = fixed.gather(&renumber(&mut rows))?;
        let Self { side, config, relaxation, level, .. } = *self;
        let sweep = Sweep { side, rows: &rows, order: &order, config, relaxation, level };
        solve_turned(&sweep, eigenvalues, &table, &mut factors).map_err(|error| match error {
            Error::NotPositiveDefinite { side, row } => {
                Error::NotPositiveDefinite { side, row: row + start.range(shard).start }
            }
            other => other,
        })?;
        check_solutions(side, start.range(shard).start, &factors, config.rank)?;
        Ok(factors)
    }
}

/// Numbers the columns that occur from 0, in their order; returns which they were.
pub(super) fn renumber(rows: &mut Compressed) -> Vec<u32> {
    let mut words = vec![0u64; rows.width().div_ceil(64)];
    for &column in rows.columns_mut().iter() {
        words[column as usize / 64] |= 1 << (column % 64);
    }
    let mut occurring = Vec::with_capacity(words.iter().map(|word| word.count_ones() as usize).sum());
    let mut before = Vec::with_capacity(words.len());
    for (k, &word) in words.iter().enumerate() {
        before.push(occurring.len() as u32);
        let mut rest = word;
        while rest != 0 {
            occurring.push(k as u32 * 64 + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
    for column in rows.columns_mut() {
        let k = *column as usize / 64;
        let lower = words[k] & ((1 << (*column % 64)) - 1);
        *column = before[k] + lower.count_ones();
    }
    occurring
}

/// Turns all blocks back and writes them as one matrix, to stand at `path`.
fn write_out(blocks: &Blocks, basis: Option<&Basis>, path: &Path) -> Result<Staged> {
    let mut failure = None;
    let staged = Staged::write(path, |file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(&npy::header(blocks.rows, blocks.rank))?;
        for block in 0..blocks.count() {
            let mut numbers = blocks.read(block).map_err(|error| {
                failure = Some(error);
                std::io::Error::other("a block of factors could not be read")
            })?;
            if let Some(basis) = basis {
                basis.turn_back(&mut numbers);
            }
            for number in &numbers {
                out.write_all(&number.to_le_bytes())?;
            }
        }
        out.flush()
    });
    failure.map_or(staged, Err)
}
