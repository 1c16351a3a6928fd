//! The alternation: users from items, items from users, and what the caller may see between.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use ndarray::{Array2, ArrayView2};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use crate::checkpoint::Checkpoint;
use crate::config::{Init, WalsConfig};
use crate::error::{Error, Result};
use crate::interactions::InteractionMatrix;
use crate::limits::{Rows, check_solutions};
use crate::model::{Outcome, WalsModel, check_factors, slice};
use crate::objective::Objective;
use crate::simd::Level;
use crate::solver::{Basis, Order, Side, Sweep};

/// Where a fit stands; handed to the callback of [`WalsConfig::fit_with`].
#[derive(Debug)]
pub struct Progress<'a> {
    /// The iteration that runs or just ended, from 1; 0 at [`Stage::Start`].
    pub iteration: usize,
    /// Iterations that the configuration asks for.
    pub of: usize,
    /// Which point of the iteration this is.
    pub stage: Stage,
    /// Time the solver has taken so far, in seconds; time spent in the callback is not counted.
    pub seconds: f64,
    objective: Objective,
    config: &'a WalsConfig,
    matrix: &'a InteractionMatrix,
    state: &'a mut State,
}

/// The factors of a fit on the way.
#[derive(Debug)]
struct State {
    users: Array2<f32>,
    items: Array2<f32>,
    /// The basis both stand in, if it is not their own.
    basis: Option<Basis>,
}

impl State {
    fn turn_back(&mut self) {
        if let Some(basis) = self.basis.take() {
            basis.turn_back(slice_mut(&mut self.users));
            basis.turn_back(slice_mut(&mut self.items));
        }
    }
}

/// The points at which a fit reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before the first iteration.
    Start,
    /// The users of an iteration are solved, its items not yet.
    UsersSolved,
    /// Both half-sweeps of an iteration are done.
    IterationDone,
}

impl Progress<'_> {
    /// L as it stands. Computed when asked: about the cost of one CG step.
    pub fn objective(&self) -> f64 {
        // The loss is the same in every orthogonal basis.
        let State { users, items, .. } = &*self.state;
        self.objective.of_slices(self.matrix, slice(users), slice(items), users.ncols())
    }

    /// User and item factors as they stand, `[users, rank]` and `[items, rank]`.
    ///
    /// A fit that continues from these factors (see [`InitialFactors`]) gives what this one gives
    /// from here on, bit for bit. Looking rounds: the fit that nobody looked at differs by rounding.
    pub fn factors(&mut self) -> (ArrayView2<'_, f32>, ArrayView2<'_, f32>) {
        self.state.turn_back();
        (self.state.users.view(), self.state.items.view())
    }

    /// Writes the fit as it stands into a folder, in place of the checkpoint that may be there. It changes nothing: the fit goes
    /// on as it would without, and so does one that continues from the checkpoint.
    ///
    /// # Errors
    /// [`Error::HalfIteration`] at [`Stage::UsersSolved`], [`Error::Io`]; the previous checkpoint then still stands.
    pub fn save_checkpoint(&self, folder: &Path) -> Result<()> {
        if self.stage == Stage::UsersSolved {
            return Err(Error::HalfIteration { iteration: self.iteration });
        }
        let State { users, items, basis } = &*self.state;
        let factors = [users.view(), items.view()];
        Checkpoint::save_in(folder, self.config, self.matrix, self.iteration, factors, basis.as_ref())
    }
}

/// Factors to begin from; what is `None` is drawn from the seed.
///
/// The first half-sweep solves users from items, so with the exact solver the user factors given
/// here have no influence; the other solvers begin from them.
#[derive(Debug, Clone, Copy, Default)]
pub struct InitialFactors<'a> {
    /// `[users, rank]`.
    pub user_factors: Option<ArrayView2<'a, f32>>,
    /// `[items, rank]`.
    pub item_factors: Option<ArrayView2<'a, f32>>,
    /// The basis that given factors stand in, if it is not their own; see [`Checkpoint::initial`].
    pub basis: Option<&'a Basis>,
    /// Iterations that these factors have already seen, at most those that the configuration asks for; the fit
    /// continues after them.
    pub completed_iterations: usize,
}

/// Solves all rows of one side, `[rows, rank]`, against the other; the basis that both stand in afterwards, if it is another.
pub(crate) type HalfSweep<'a> = dyn FnMut(&Sweep<'_>, &mut [f32], &mut [f32]) -> Result<Option<Basis>> + 'a;

impl WalsConfig {
    /// Factorises the matrix. Uses the rayon thread pool it is called in; the result does not
    /// depend on its size.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a setting out of range, [`Error::NoPairs`] for a matrix
    /// without pairs, [`Error::NotPositiveDefinite`] when a row has no unique solution (only
    /// without regularization), [`Error::Overflow`] for settings that make a weight or a row's
    /// regularization too large for f32, and [`Error::NotFinite`] for a solution that is.
    pub fn fit(&self, matrix: &InteractionMatrix) -> Result<WalsModel> {
        self.fit_with(matrix, &mut |_| ControlFlow::Continue(()))
    }

    /// Factorises the matrix and reports before the first iteration and after each half-sweep.
    /// When the callback breaks, the factors as they stand are returned, and
    /// [`WalsModel::outcome`] says so.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_with(
        &self,
        matrix: &InteractionMatrix,
        progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<WalsModel> {
        self.fit_from(matrix, InitialFactors::default(), progress)
    }

    /// Factorises the matrix from given factors, for example those of a checkpoint.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and [`Error::FactorShape`], [`Error::FactorValue`] for initial
    /// factors that do not suit; [`Error::InvalidSetting`] when they have seen more iterations than
    /// the configuration asks for.
    pub fn fit_from(
        &self,
        matrix: &InteractionMatrix,
        initial: InitialFactors<'_>,
        progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<WalsModel> {
        self.fit_by(matrix, initial, progress, &mut |sweep, solved, fixed| sweep.run(solved, fixed))
    }

    /// As [`fit_from`](Self::fit_from), each half-sweep solved by `half`.
    pub(crate) fn fit_by(
        &self,
        matrix: &InteractionMatrix,
        initial: InitialFactors<'_>,
        progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
        half: &mut HalfSweep<'_>,
    ) -> Result<WalsModel> {
        self.validate()?;
        if matrix.pairs() == 0 {
            return Err(Error::NoPairs { users: matrix.users(), items: matrix.items() });
        }
        let done = initial.completed_iterations;
        if done > self.iterations {
            return Err(Error::InvalidSetting {
                field: "iterations",
                expected: "at least as many as the initial factors have seen",
                got: self.iterations as f64,
            });
        }
        Rows { side: Side::User, rows: matrix.by_user(), first: 0 }.check(self)?;
        Rows { side: Side::Item, rows: matrix.by_item(), first: 0 }.check(self)?;
        let mut state = State {
            users: self.initial("user factors", matrix.users(), initial.user_factors, USER_STREAM)?,
            items: self.initial("item factors", matrix.items(), initial.item_factors, ITEM_STREAM)?,
            basis: initial.basis.cloned(),
        };
        if let Some(basis) = initial.basis
            && basis.rank() != self.rank
        {
            let (expected, got) = ([self.rank; 2], [basis.rank(); 2]);
            return Err(Error::FactorShape { what: "basis", expected, got });
        }
        let objective = Objective::new(self);
        let mut seconds = 0.0;
        let mut report = |iteration, stage, seconds, state: &mut State| {
            let (of, config) = (self.iterations, self);
            progress(Progress { iteration, of, stage, seconds, objective, config, matrix, state })
        };
        let finish = |mut state: State, outcome| {
            state.turn_back();
            Ok(WalsModel::assemble(self.clone(), state.users, state.items, outcome))
        };

        if report(done, Stage::Start, seconds, &mut state).is_break() {
            return finish(state, Outcome::Stopped { completed: done });
        }
        let level = Level::best();
        let orders = [Order::of(matrix.by_user(), self), Order::of(matrix.by_item(), self)];
        for iteration in done + 1..=self.iterations {
            for (half_sweep, (side, stage)) in
                [(Side::User, Stage::UsersSolved), (Side::Item, Stage::IterationDone)].into_iter().enumerate()
            {
                let begun = Instant::now();
                let (rows, order, solved, fixed) = match side {
                    Side::User => (matrix.by_user(), &orders[0], &mut state.users, &mut state.items),
                    Side::Item => (matrix.by_item(), &orders[1], &mut state.items, &mut state.users),
                };
                let relaxation = self.relaxation(2 * (iteration - 1) + half_sweep);
                let sweep = Sweep { side, rows, order, config: self, relaxation, level };
                if let Some(turned) = half(&sweep, slice_mut(solved), slice_mut(fixed))? {
                    state.basis = Some(match state.basis.take() {
                        Some(basis) => basis.then(&turned),
                        None => turned,
                    });
                }
                check_solutions(side, 0, slice(solved), self.rank)?;
                seconds += begun.elapsed().as_secs_f64();
                if report(iteration, stage, seconds, &mut state).is_break() {
                    let completed = match stage {
                        Stage::IterationDone => iteration,
                        Stage::Start | Stage::UsersSolved => iteration - 1,
                    };
                    return finish(state, Outcome::Stopped { completed });
                }
            }
        }
        finish(state, Outcome::Finished)
    }

    /// Checked copies of given factors, or fresh ones from the seed.
    fn initial(
        &self,
        what: &'static str,
        rows: usize,
        given: Option<ArrayView2<'_, f32>>,
        stream: u64,
    ) -> Result<Array2<f32>> {
        if let Some(given) = given {
            check_factors(what, given, Some(rows), self.rank)?;
            return Ok(given.as_standard_layout().into_owned());
        }
        Ok(Array2::from_shape_simple_fn((rows, self.rank), self.draws(stream)?))
    }

    /// The initial factors of a side, number by number.
    pub(crate) fn draws(&self, stream: u64) -> Result<impl FnMut() -> f32 + use<>> {
        let Init::Normal { standard_deviation } = self.init;
        let scaled = standard_deviation / (self.rank as f32).sqrt();
        let Ok(normal) = Normal::new(0.0, scaled) else {
            return Err(Error::InvalidSetting {
                field: "init.standard_deviation",
                expected: "finite, > 0",
                got: standard_deviation.into(),
            });
        };
        // One stream a side: the items' numbers do not shift when users are added.
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        Ok(move || normal.sample(&mut rng))
    }
}

pub(crate) const USER_STREAM: u64 = 1;
pub(crate) const ITEM_STREAM: u64 = 2;

fn slice_mut(array: &mut Array2<f32>) -> &mut [f32] {
    match array.as_slice_mut() {
        Some(slice) => slice,
        None => unreachable!("factors are kept in standard layout"),
    }
}
