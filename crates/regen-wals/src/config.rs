//! What to minimise and how: plain data, checked when a fit begins.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The whole recipe of a factorisation; see [`Objective`](crate::Objective) for the formula.
///
/// [`Default`] is the MovieLens 20M setting that Rendle et al. publish beside "Revisiting the
/// Performance of iALS on Item Recommendation Benchmarks" (2022): rank 256, 16 iterations,
/// λ 0.003, ν 1 with the frequency that counts unobserved pairs, α₀ 0.1 on all pairs, weights 1
/// and a standard deviation of 0.1, with the exact solver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalsConfig {
    /// Number of columns of the factors, 1 to 16,384: a Gram matrix takes 8 × rank² bytes, and as
    /// many are in memory at once as there are threads.
    pub rank: usize,
    /// Number of iterations, each a sweep over all users and then over all items. May be 0; at
    /// most 2³⁰.
    pub iterations: usize,
    /// λ ≥ 0.
    pub regularization: f32,
    /// How a row is solved.
    pub solver: Solver,
    /// How the value of a pair becomes its weight.
    pub confidence: Confidence,
    /// α₀ ≥ 0.
    pub unobserved_weight: f32,
    /// Which pairs carry α₀.
    pub unobserved_scope: UnobservedScope,
    /// What ρ counts.
    pub frequency: Frequency,
    /// ν: the power of the frequency in ρ; 0 gives every row the same regularization.
    pub frequency_exponent: f32,
    /// How the factors begin.
    pub init: Init,
    /// Seed of the initial factors.
    pub seed: u64,
    /// The number format of the solver.
    pub arithmetic: Arithmetic,
}

impl Default for WalsConfig {
    fn default() -> Self {
        Self {
            rank: 256,
            iterations: 16,
            regularization: 0.003,
            solver: Solver::Cholesky,
            confidence: Confidence::Constant { weight: 1.0 },
            unobserved_weight: 0.1,
            unobserved_scope: UnobservedScope::All,
            frequency: Frequency::Ials,
            frequency_exponent: 1.0,
            init: Init::Normal { standard_deviation: 0.1 },
            seed: 0,
            arithmetic: Arithmetic::F32,
        }
    }
}

/// How the rows of a half-sweep are solved: exactly up to rank 128; beyond it blocks of 32 with a
/// relaxation of 1.4 reach the same loss sooner.
///
/// # What makes them fast
///
/// - Both sides are turned into the basis in which the Gram matrix of the fixed side is diagonal;
///   the loss does not notice. There, a row with fewer pairs than the rank is solved through the
///   small matrix of its pairs' inner products instead of a `rank × rank` one: exactly, for a
///   fraction of the work. On power-law data most rows are of that kind.
/// - Rows are taken in order of length, as many at once as a vector register has lanes, and their
///   small systems are factored side by side, one a lane.
/// - Kernels are compiled for AVX-512, AVX2 and portable vectors and chosen at run time; all
///   `unsafe` is in one module, `simd`.
/// - Conjugate gradient and blocks work in the same basis: the part that all rows share costs
///   `rank` multiplications instead of `rank²`, and preconditions.
/// - Blocks go a little beyond their minimum (over-relaxation), never so far that the loss rises:
///   four iterations then reach what five exact ones reach, at ranks of 256 and more in about half
///   the time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Solver {
    /// The exact minimum of each row.
    Cholesky,
    /// Conjugate gradient from the row's last value.
    ///
    /// **Source** Takács, Pilászy, Tikk (2011), "Applications of the conjugate gradient method for
    /// implicit feedback collaborative filtering".
    ConjugateGradient {
        /// Steps a row and half-sweep, at least 1.
        steps: usize,
    },
    /// Minima over blocks of coordinates, one block after the other, from the row's last value.
    /// Rows with few pairs (a quarter of the rank) are solved as one block.
    ///
    /// **Source** Rendle, Krichene, Zhang, Koren (2021), "iALS++".
    Block {
        /// Coordinates a block, at least 1.
        size: usize,
        /// ω, above 0 and below 2: how many times the way from a row's last value to where its
        /// pass ends is gone, from the second half-sweep on. 1 stops there, as in the paper; more
        /// (over-relaxation) saves iterations: 1.4 reaches in four the loss of the exact solver's
        /// fifth. It never raises the loss.
        relaxation: f32,
    },
}

/// How the value r of a pair becomes its weight w. The target p is 1, or what the matrix gives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Confidence {
    /// w = weight, whatever the value.
    Constant {
        /// The weight of every observed pair, ≥ 0.
        weight: f32,
    },
    /// w = α r: the value is the confidence, as in Python's `implicit`.
    Proportional {
        /// α ≥ 0.
        alpha: f32,
    },
    /// w = 1 + α r. **Source** Hu, Koren, Volinsky (2008), section 4.
    Hu {
        /// α ≥ 0.
        alpha: f32,
    },
    /// w = 1 + α ln(1 + r/ε). **Source** Hu, Koren, Volinsky (2008), equation 6.
    Logarithmic {
        /// α ≥ 0.
        alpha: f32,
        /// ε > 0.
        epsilon: f32,
    },
    /// w = r: the caller computed the weights, for example row weight × column weight.
    Given,
}

/// Which pairs D the weight α₀ lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnobservedScope {
    /// The pairs that are not observed (Hu et al. 2008; TensorFlow's WALS).
    Unobserved,
    /// All pairs, on top of the weight of the observed ones (Rendle et al. 2021, 2022).
    All,
}

/// What the frequency in ρ = frequency^ν counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    /// n, the observed pairs of the row.
    Count,
    /// n + α₀ N, where N is the size of the other side (Rendle et al. 2022, equation 5).
    Ials,
}

/// How factors begin that the caller does not give.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Init {
    /// Independent normal numbers of standard deviation `standard_deviation / √rank`, so that
    /// the first scores have a spread that does not depend on the rank (Rendle et al. 2022).
    Normal {
        /// > 0.
        standard_deviation: f32,
    },
}

/// The number format that rows are solved in. Factors are stored in f32 either way.
///
/// In f32, Gram matrices are summed in f64, and a row whose factorisation meets a pivot that is
/// all rounding is solved again in f64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arithmetic {
    /// f32 with Gram matrices summed in f64.
    F32,
    /// f64 throughout: several times slower, for badly conditioned problems.
    F64,
}

impl WalsConfig {
    /// How many times the way to where a row's solver ends is gone, in the half-sweep after
    /// `done` others.
    pub(crate) fn relaxation(&self, done: usize) -> f32 {
        match self.solver {
            // Where rows begin in the first half-sweep is noise: nothing to lean away from.
            Solver::Block { relaxation, .. } if done > 0 => relaxation,
            Solver::Block { .. } | Solver::Cholesky | Solver::ConjugateGradient { .. } => 1.0,
        }
    }

    /// Checks every setting against its range.
    pub(crate) fn validate(&self) -> Result<()> {
        let invalid = |field, expected, got: f64| Err(Error::InvalidSetting { field, expected, got });
        let finite = |x: f32| x.is_finite() && x >= 0.0;
        if self.rank == 0 || self.rank > MAX_RANK {
            return invalid("rank", "1 to 16384", self.rank as f64);
        }
        if self.iterations > MAX_ITERATIONS {
            return invalid("iterations", "at most 1073741824", self.iterations as f64);
        }
        if !finite(self.regularization) {
            return invalid("regularization", "finite, ≥ 0", self.regularization.into());
        }
        if !finite(self.unobserved_weight) {
            return invalid("unobserved_weight", "finite, ≥ 0", self.unobserved_weight.into());
        }
        if !self.frequency_exponent.is_finite() {
            return invalid("frequency_exponent", "finite", self.frequency_exponent.into());
        }
        match self.solver {
            Solver::Cholesky => {}
            Solver::ConjugateGradient { steps: 0 } => {
                return invalid("solver.conjugate_gradient.steps", "at least 1", 0.0);
            }
            Solver::Block { size: 0, .. } => return invalid("solver.block.size", "at least 1", 0.0),
            Solver::Block { relaxation, .. } if !(relaxation > 0.0 && relaxation < 2.0) => {
                return invalid("solver.block.relaxation", "above 0, below 2", relaxation.into());
            }
            Solver::ConjugateGradient { .. } | Solver::Block { .. } => {}
        }
        let confidence = match self.confidence {
            Confidence::Constant { weight } => weight,
            Confidence::Proportional { alpha } | Confidence::Hu { alpha } => alpha,
            Confidence::Logarithmic { alpha, epsilon } => {
                if !(epsilon.is_finite() && epsilon > 0.0) {
                    return invalid("confidence.epsilon", "finite, > 0", epsilon.into());
                }
                alpha
            }
            Confidence::Given => 0.0,
        };
        if !finite(confidence) {
            return invalid("confidence", "finite, ≥ 0", confidence.into());
        }
        let Init::Normal { standard_deviation } = self.init;
        if !(standard_deviation.is_finite() && standard_deviation > 0.0) {
            return invalid("init.standard_deviation", "finite, > 0", standard_deviation.into());
        }
        Ok(())
    }
}

/// Beyond this a single Gram matrix in f64 needs more than 2 GiB.
const MAX_RANK: usize = 16_384;

/// Half-sweeps are counted in a `usize` that may have 32 bits.
const MAX_ITERATIONS: usize = 1 << 30;
