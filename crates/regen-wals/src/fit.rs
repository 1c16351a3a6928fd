//! The alternation: users from items, items from users, and what the caller may see between.

use std::ops::ControlFlow;
use std::time::Instant;

use ndarray::{Array2, ArrayView2};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use crate::config::{Init, WalsConfig};
use crate::error::{Error, Result};
use crate::interactions::InteractionMatrix;
use crate::model::{Outcome, WalsModel, check_factors, slice};
use crate::objective::{Objective, gram};
use crate::solver::{Side, Sweep};

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
    matrix: &'a InteractionMatrix,
    user_factors: ArrayView2<'a, f32>,
    item_factors: ArrayView2<'a, f32>,
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

impl<'a> Progress<'a> {
    /// L as it stands. Computed when asked: about the cost of one CG step.
    pub fn objective(&self) -> f64 {
        self.objective.evaluate(self.matrix, self.user_factors, self.item_factors)
    }

    /// User factors as they stand, `[users, rank]`.
    pub fn user_factors(&self) -> ArrayView2<'a, f32> {
        self.user_factors
    }

    /// Item factors as they stand, `[items, rank]`.
    pub fn item_factors(&self) -> ArrayView2<'a, f32> {
        self.item_factors
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
    /// Iterations that these factors have already seen; the fit continues after them.
    pub completed_iterations: usize,
}

impl WalsConfig {
    /// Factorises the matrix. Uses the rayon thread pool it is called in; the result does not
    /// depend on its size.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a setting out of range, [`Error::NoPairs`] for a matrix
    /// without pairs, [`Error::NotPositiveDefinite`] when a row has no unique solution (only
    /// without regularization).
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
    /// factors that do not suit.
    pub fn fit_from(
        &self,
        matrix: &InteractionMatrix,
        initial: InitialFactors<'_>,
        progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<WalsModel> {
        self.validate()?;
        if matrix.pairs() == 0 {
            return Err(Error::NoPairs { users: matrix.users(), items: matrix.items() });
        }
        let mut users = self.initial("user factors", matrix.users(), initial.user_factors, USER_STREAM)?;
        let mut items = self.initial("item factors", matrix.items(), initial.item_factors, ITEM_STREAM)?;

        let objective = Objective::new(self);
        let mut seconds = 0.0;
        let mut report = |iteration, stage, seconds, users: &Array2<f32>, items: &Array2<f32>| {
            progress(Progress {
                iteration,
                of: self.iterations,
                stage,
                seconds,
                objective,
                matrix,
                user_factors: users.view(),
                item_factors: items.view(),
            })
        };
        let finish = |users, items, outcome| Ok(WalsModel::assemble(self.clone(), users, items, outcome));

        let done = initial.completed_iterations;
        if report(done, Stage::Start, seconds, &users, &items).is_break() {
            return finish(users, items, Outcome::Stopped { completed: done });
        }
        for iteration in done + 1..=self.iterations {
            for (side, stage) in [(Side::User, Stage::UsersSolved), (Side::Item, Stage::IterationDone)] {
                let begun = Instant::now();
                let (rows, solved, fixed) = match side {
                    Side::User => (matrix.by_user(), &mut users, &items),
                    Side::Item => (matrix.by_item(), &mut items, &users),
                };
                let fixed_gram = gram(slice(fixed), self.rank);
                let sweep = Sweep::new(self, side, rows, slice(fixed), &fixed_gram);
                match solved.as_slice_mut() {
                    Some(solved) => sweep.solve(solved)?,
                    None => unreachable!("factors are kept in standard layout"),
                }
                seconds += begun.elapsed().as_secs_f64();
                if report(iteration, stage, seconds, &users, &items).is_break() {
                    let completed = match stage {
                        Stage::IterationDone => iteration,
                        Stage::Start | Stage::UsersSolved => iteration - 1,
                    };
                    return finish(users, items, Outcome::Stopped { completed });
                }
            }
        }
        finish(users, items, Outcome::Finished)
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
        Ok(Array2::from_shape_simple_fn((rows, self.rank), || normal.sample(&mut rng)))
    }
}

const USER_STREAM: u64 = 1;
const ITEM_STREAM: u64 = 2;
