//! Flags of the factorisation that several programs share: the formula and the solver.

use anyhow::Result;
use clap::{Args, ValueEnum};
use regen_wals::evaluate::RankingMetric;
use regen_wals::search::SearchSpace;
use regen_wals::{Arithmetic, Confidence, Frequency, Solver, UnobservedScope, WalsConfig};

/// The formula and the solver, but for what is searched.
#[derive(Debug, Clone, Args)]
pub struct Formula {
    /// Sweeps over all users and then all items; with 0, train_wals writes what a fit would start from.
    #[arg(long, default_value_t = 16)]
    pub iterations: usize,
    /// How a row is solved: exactly, by some steps of conjugate gradient, or block by block.
    #[arg(long, value_enum, default_value_t = SolverName::Cholesky)]
    pub solver: SolverName,
    /// Steps a row and sweep of `--solver cg` [default: 3].
    #[arg(long)]
    pub cg_steps: Option<usize>,
    /// Coordinates a block of `--solver block` [default: 32].
    #[arg(long)]
    pub block: Option<usize>,
    /// How many times the way to where a row's blocks end `--solver block` goes: above 0, below 2 [default: 1.4].
    #[arg(long)]
    pub relaxation: Option<f32>,
    /// How the value r of a pair becomes its weight w.
    #[arg(long, value_enum, default_value_t = ConfidenceName::Constant)]
    pub confidence: ConfidenceName,
    /// α of every confidence but `constant` [default: 1].
    #[arg(long)]
    pub alpha: Option<f32>,
    /// ε of `--confidence logarithmic` [default: 1].
    #[arg(long)]
    pub epsilon: Option<f32>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
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
        let alpha = self.alpha.unwrap_or(1.0);
        let block =
            || Solver::Block { size: self.block.unwrap_or(32), relaxation: self.relaxation.unwrap_or(1.4) };
        WalsConfig {
            iterations: self.iterations,
            solver: match self.solver {
                SolverName::Cholesky => Solver::Cholesky,
                SolverName::Cg => Solver::ConjugateGradient { steps: self.cg_steps.unwrap_or(3) },
                SolverName::Block => block(),
            },
            confidence: match self.confidence {
                ConfidenceName::Constant => Confidence::Constant { weight: 1.0 },
                ConfidenceName::Linear | ConfidenceName::Hu => Confidence::Hu { alpha },
                ConfidenceName::Logarithmic => {
                    Confidence::Logarithmic { alpha, epsilon: self.epsilon.unwrap_or(1.0) }
                }
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

    /// The first flag that was given and that nothing would come of, and what it needs.
    pub fn idle_flag(&self) -> Option<String> {
        let (solver, confidence) = (self.solver, self.confidence);
        let flags = [
            (self.cg_steps.is_some(), solver == SolverName::Cg, "--cg-steps", "--solver cg"),
            (self.block.is_some(), solver == SolverName::Block, "--block", "--solver block"),
            (self.relaxation.is_some(), solver == SolverName::Block, "--relaxation", "--solver block"),
            (
                self.alpha.is_some(),
                confidence != ConfidenceName::Constant,
                "--alpha",
                "a --confidence other than constant",
            ),
            (
                self.epsilon.is_some(),
                confidence == ConfidenceName::Logarithmic,
                "--epsilon",
                "--confidence logarithmic",
            ),
        ];
        let idle = flags.into_iter().find(|(given, used, ..)| *given && !used);
        idle.map(|(_, _, flag, needed)| format!("{flag} needs {needed}"))
    }

    /// Whether pairs of value 0 count as unobserved.
    pub fn drops_zeros(&self) -> bool {
        self.confidence == ConfidenceName::Hu
    }
}

/// Refuses settings out of range before the first row of a table is read.
///
/// # Errors
/// Names the setting.
pub fn check(config: &WalsConfig) -> Result<()> {
    // A search of one cell checks it as a fit does. It wants an iteration, a fit may have none.
    SearchSpace {
        base: WalsConfig { iterations: config.iterations.max(1), ..config.clone() },
        ranks: vec![config.rank],
        regularizations: vec![config.regularization],
        unobserved_weights: vec![config.unobserved_weight],
        frequency_exponents: vec![config.frequency_exponent],
    }
    .cells()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        formula: Formula,
    }

    fn formula(flags: &[&str]) -> Formula {
        Program::try_parse_from([&["program"], flags].concat())
            .unwrap_or_else(|error| panic!("{error}"))
            .formula
    }

    #[test]
    fn flags_that_nothing_would_come_of_are_named() {
        for (flags, expected) in [
            (&["--cg-steps", "3"][..], "--cg-steps needs --solver cg"),
            (&["--block", "32", "--solver", "cg"], "--block needs --solver block"),
            (&["--relaxation", "1"], "--relaxation needs --solver block"),
            (&["--alpha", "1"], "--alpha needs a --confidence other than constant"),
            (&["--epsilon", "1", "--confidence", "hu"], "--epsilon needs --confidence logarithmic"),
        ] {
            assert_eq!(formula(flags).idle_flag().as_deref(), Some(expected));
        }
        assert_eq!(formula(&[]).idle_flag(), None);
    }

    #[test]
    fn what_is_not_given_is_what_the_help_says() {
        for (flags, given) in [
            (["--solver", "cg"], &["--cg-steps", "3"][..]),
            (["--solver", "block"], &["--block", "32", "--relaxation", "1.4"]),
            (["--confidence", "linear"], &["--alpha", "1"]),
            (["--confidence", "logarithmic"], &["--alpha", "1", "--epsilon", "1"]),
        ] {
            let explicit = formula(&[&flags[..], given].concat());
            assert_eq!(explicit.idle_flag(), None);
            assert_eq!(explicit.config(7), formula(&flags).config(7));
        }
    }

    #[test]
    fn settings_out_of_range_are_refused_and_a_fit_may_have_no_iterations() {
        let config = WalsConfig { iterations: 0, ..WalsConfig::default() };
        assert!(check(&config).is_ok());
        assert!(check(&WalsConfig { rank: 0, ..config.clone() }).is_err());
        assert!(check(&WalsConfig { regularization: -1.0, ..config }).is_err());
    }
}
