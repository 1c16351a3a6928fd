//! Flags of the factorisation that several programs share: the formula and the solver.

use clap::{Args, ValueEnum};
use regen_wals::evaluate::RankingMetric;
use regen_wals::{Arithmetic, Confidence, Frequency, Solver, UnobservedScope, WalsConfig};

/// The formula and the solver, but for what is searched.
#[derive(Debug, Clone, Args)]
pub struct Formula {
    /// Sweeps over all users and then all items.
    #[arg(long, default_value_t = 16)]
    pub iterations: usize,
    /// How a row is solved: exactly, by some steps of conjugate gradient, or block by block.
    #[arg(long, value_enum, default_value_t = SolverName::Cholesky)]
    pub solver: SolverName,
    /// Steps a row and sweep of `--solver cg`.
    #[arg(long, default_value_t = 3)]
    pub cg_steps: usize,
    /// Coordinates a block of `--solver block`.
    #[arg(long, default_value_t = 32)]
    pub block: usize,
    /// How many times the way to where a row's blocks end `--solver block` goes: above 0, below 2.
    #[arg(long, default_value_t = 1.4)]
    pub relaxation: f32,
    /// How the value r of a pair becomes its weight w.
    #[arg(long, value_enum, default_value_t = ConfidenceName::Constant)]
    pub confidence: ConfidenceName,
    /// α of the confidence.
    #[arg(long, default_value_t = 1.0)]
    pub alpha: f32,
    /// ε of `--confidence logarithmic`.
    #[arg(long, default_value_t = 1.0)]
    pub epsilon: f32,
    /// Whether α₀ lies on the unobserved pairs only (Hu et al.) or on all (Rendle et al.).
    #[arg(long, value_enum, default_value_t = ScopeName::All)]
    pub unobserved_scope: ScopeName,
    /// The frequency: n pairs of the row, or n + α₀ N with N the size of the other side.
    #[arg(long, value_enum, default_value_t = FrequencyName::Ials)]
    pub frequency: FrequencyName,
    /// Solve rows in f64: slower, for badly conditioned problems.
    #[arg(long)]
    pub double: bool,
}

/// How a row is solved.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SolverName {
    /// Exactly.
    Cholesky,
    /// By some steps of conjugate gradient.
    Cg,
    /// Block by block.
    Block,
}

/// How the value of a pair becomes its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConfidenceName {
    /// w = 1.
    Constant,
    /// w = 1 + α r.
    Linear,
    /// w = 1 + α r, and pairs of value 0 count as unobserved (Hu et al. 2008).
    Hu,
    /// w = 1 + α ln(1 + r/ε) (Hu et al. 2008, equation 6).
    Logarithmic,
    /// w = α r, as in Python's implicit.
    Proportional,
}

/// Which pairs carry α₀.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ScopeName {
    /// Those that were not observed.
    Unobserved,
    /// All.
    All,
}

/// What ρ counts.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FrequencyName {
    /// Pairs of the row.
    Count,
    /// Those, and α₀ for each pair that could be.
    Ials,
}

/// A ranking metric by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MetricName {
    /// Hits over held-out items.
    Recall,
    /// Hits over held-out items, of which no more than the cut-off count.
    TruncatedRecall,
    /// Hits near the top count more.
    Ndcg,
    /// One over the position of the first hit.
    Mrr,
    /// Whether there is a hit.
    HitRate,
}

impl MetricName {
    /// The metric.
    pub fn metric(self) -> RankingMetric {
        match self {
            Self::Recall => RankingMetric::Recall,
            Self::TruncatedRecall => RankingMetric::TruncatedRecall,
            Self::Ndcg => RankingMetric::Ndcg,
            Self::Mrr => RankingMetric::Mrr,
            Self::HitRate => RankingMetric::HitRate,
        }
    }

    /// Its name with the cut-off, as tables show it.
    pub fn at(self, k: usize) -> String {
        let name = match self {
            Self::Recall => "recall",
            Self::TruncatedRecall => "truncated_recall",
            Self::Ndcg => "ndcg",
            Self::Mrr => "mrr",
            Self::HitRate => "hr",
        };
        format!("{name}@{k}")
    }
}

impl Formula {
    /// The configuration that these flags ask for, with the defaults of `train_wals` for the rest.
    pub fn config(&self, seed: u64) -> WalsConfig {
        let alpha = self.alpha;
        WalsConfig {
            iterations: self.iterations,
            solver: match self.solver {
                SolverName::Cholesky => Solver::Cholesky,
                SolverName::Cg => Solver::ConjugateGradient { steps: self.cg_steps },
                SolverName::Block => Solver::Block { size: self.block, relaxation: self.relaxation },
            },
            confidence: match self.confidence {
                ConfidenceName::Constant => Confidence::Constant { weight: 1.0 },
                ConfidenceName::Linear | ConfidenceName::Hu => Confidence::Hu { alpha },
                ConfidenceName::Logarithmic => Confidence::Logarithmic { alpha, epsilon: self.epsilon },
                ConfidenceName::Proportional => Confidence::Proportional { alpha },
            },
            unobserved_scope: match self.unobserved_scope {
                ScopeName::Unobserved => UnobservedScope::Unobserved,
                ScopeName::All => UnobservedScope::All,
            },
            frequency: match self.frequency {
                FrequencyName::Count => Frequency::Count,
                FrequencyName::Ials => Frequency::Ials,
            },
            seed,
            arithmetic: if self.double { Arithmetic::F64 } else { Arithmetic::F32 },
            ..WalsConfig::default()
        }
    }

    /// Whether pairs of value 0 count as unobserved.
    pub fn drops_zeros(&self) -> bool {
        self.confidence == ConfidenceName::Hu
    }
}
