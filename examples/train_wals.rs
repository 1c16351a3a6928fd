//! Trains user and item factors on a table of interactions.
//!
//! ```text
//! cargo run --release --example train_wals -- --interactions purchases.csv --rank 64 --out factors
//! cargo run --release --example train_wals -- --interactions train.csv --test test.csv --json
//! ```

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use regen_data::{Columns, IdMap, InteractionTable, ItemId, UserId};
use regen_examples::cli::Common;
use regen_examples::run_log::peak_rss_bytes;
use regen_wals::evaluate::{evaluate, evaluate_most_popular};
use regen_wals::persist::{Checkpoint, load_npy, save};
use regen_wals::{
    Arithmetic, Confidence, Frequency, InitialFactors, InteractionMatrix, Outcome, Solver, Stage,
    UnobservedScope, WalsConfig,
};
use serde_json::json;

/// Trains user and item factors by weighted alternating least squares.
///
/// The loss is Σ w (p − x·y)² over the observed pairs, plus α₀ Σ (x·y)² over the unobserved (or all) pairs, plus
/// λ Σ ρ |x|² + λ Σ ρ |y|². Writes user_factors.npy and item_factors.npy; row k belongs to line k of user_ids.txt and
/// item_ids.txt, which list the ids in order of first appearance.
#[derive(Debug, Parser)]
#[command(name = "train_wals")]
struct Args {
    /// Table with a header `user,item[,value[,timestamp]]`, separated by commas or tabs; .gz and .zst too. Without a
    /// value column every value is 1; pairs that occur several times count with the sum of their values.
    #[arg(long)]
    interactions: PathBuf,
    /// Held-out pairs in the same format, to report recall@20 and ndcg@20 on.
    #[arg(long)]
    test: Option<PathBuf>,
    /// Width of the factors.
    #[arg(long, default_value_t = 64)]
    rank: usize,
    /// Sweeps over all users and then all items.
    #[arg(long, default_value_t = 16)]
    iterations: usize,
    /// How a row is solved: exactly, by some steps of conjugate gradient, or block by block.
    #[arg(long, value_enum, default_value_t = SolverName::Cholesky)]
    solver: SolverName,
    /// Steps a row and sweep of `--solver cg`.
    #[arg(long, default_value_t = 3)]
    cg_steps: usize,
    /// Coordinates a block of `--solver block`.
    #[arg(long, default_value_t = 64)]
    block: usize,
    /// How the value r of a pair becomes its weight w.
    #[arg(long, value_enum, default_value_t = ConfidenceName::Constant)]
    confidence: ConfidenceName,
    /// α of the confidence.
    #[arg(long, default_value_t = 1.0)]
    alpha: f32,
    /// ε of `--confidence logarithmic`.
    #[arg(long, default_value_t = 1.0)]
    epsilon: f32,
    /// α₀, the weight of unobserved pairs.
    #[arg(long, default_value_t = 0.1)]
    unobserved_weight: f32,
    /// Whether α₀ lies on the unobserved pairs only (Hu et al.) or on all (Rendle et al.).
    #[arg(long, value_enum, default_value_t = ScopeName::All)]
    unobserved_scope: ScopeName,
    /// λ.
    #[arg(long, default_value_t = 0.003)]
    regularization: f32,
    /// ν of ρ = frequency^ν; 0 regularizes all rows alike.
    #[arg(long, default_value_t = 1.0)]
    frequency_exponent: f32,
    /// The frequency: n pairs of the row, or n + α₀ N with N the size of the other side.
    #[arg(long, value_enum, default_value_t = FrequencyName::Ials)]
    frequency: FrequencyName,
    /// Start from these user factors instead of random ones (.npy, f32, rows in order of first appearance).
    #[arg(long)]
    init_user_factors: Option<PathBuf>,
    /// Start from these item factors.
    #[arg(long)]
    init_item_factors: Option<PathBuf>,
    /// Solve rows in f64: slower, for badly conditioned problems.
    #[arg(long)]
    double: bool,
    /// Write a checkpoint into --out after every so many iterations.
    #[arg(long, value_name = "ITERATIONS")]
    checkpoint_every: Option<usize>,
    /// Continue from the checkpoint in --out, if there is one, to the same result.
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SolverName {
    Cholesky,
    Cg,
    Block,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ConfidenceName {
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

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeName {
    Unobserved,
    All,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FrequencyName {
    Count,
    Ials,
}

impl Args {
    fn config(&self) -> WalsConfig {
        let alpha = self.alpha;
        WalsConfig {
            rank: self.rank,
            iterations: self.iterations,
            regularization: self.regularization,
            solver: match self.solver {
                SolverName::Cholesky => Solver::Cholesky,
                SolverName::Cg => Solver::ConjugateGradient { steps: self.cg_steps },
                SolverName::Block => Solver::Block { size: self.block },
            },
            confidence: match self.confidence {
                ConfidenceName::Constant => Confidence::Constant { weight: 1.0 },
                ConfidenceName::Linear | ConfidenceName::Hu => Confidence::Hu { alpha },
                ConfidenceName::Logarithmic => Confidence::Logarithmic { alpha, epsilon: self.epsilon },
                ConfidenceName::Proportional => Confidence::Proportional { alpha },
            },
            unobserved_weight: self.unobserved_weight,
            unobserved_scope: match self.unobserved_scope {
                ScopeName::Unobserved => UnobservedScope::Unobserved,
                ScopeName::All => UnobservedScope::All,
            },
            frequency: match self.frequency {
                FrequencyName::Count => Frequency::Count,
                FrequencyName::Ials => Frequency::Ials,
            },
            frequency_exponent: self.frequency_exponent,
            seed: self.common.seed,
            arithmetic: if self.double { Arithmetic::F64 } else { Arithmetic::F32 },
            ..WalsConfig::default()
        }
    }
}

/// A table as numbers, with the names they stand for.
struct Pairs {
    users: IdMap<UserId>,
    items: IdMap<ItemId>,
    triplets: Vec<(u32, u32, f32)>,
}

impl Pairs {
    fn read(path: &Path) -> Result<Self> {
        let mut pairs = Self { users: IdMap::new(), items: IdMap::new(), triplets: Vec::new() };
        for row in InteractionTable::open(path, &Columns::default())? {
            let row = row?;
            let user = pairs.users.intern(&row.user)?.index() as u32;
            let item = pairs.items.intern(&row.item)?.index() as u32;
            pairs.triplets.push((user, item, row.value.unwrap_or(1.0)));
        }
        ensure!(!pairs.triplets.is_empty(), "{} holds no pair", path.display());
        Ok(pairs)
    }

    /// Pairs of a table whose user and item this one knows, and how many it does not.
    fn read_known(&self, path: &Path) -> Result<(Vec<(u32, u32)>, usize)> {
        let mut known = Vec::new();
        let mut unknown = HashSet::new();
        for row in InteractionTable::open(path, &Columns::default())? {
            let row = row?;
            match (self.users.get(&row.user), self.items.get(&row.item)) {
                (Some(user), Some(item)) => known.push((user.index() as u32, item.index() as u32)),
                _ => {
                    unknown.insert((row.user, row.item));
                }
            }
        }
        Ok((known, unknown.len()))
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let session = args.common.start()?;
    let config = args.config();
    let out = &args.common.out;

    let mut pairs = Pairs::read(&args.interactions)?;
    if args.confidence == ConfidenceName::Hu {
        pairs.triplets.retain(|&(_, _, value)| value != 0.0);
    }
    let matrix = InteractionMatrix::from_triplets(
        pairs.users.len(),
        pairs.items.len(),
        std::mem::take(&mut pairs.triplets),
    )?;
    session.note(&format!("{} users, {} items, {} pairs", matrix.users(), matrix.items(), matrix.pairs()));

    let given = |path: &Option<PathBuf>| path.as_deref().map(load_npy).transpose();
    let mut initial_users = given(&args.init_user_factors)?;
    let mut initial_items = given(&args.init_item_factors)?;
    let mut completed = 0;
    let checkpoint_folder = out.join("checkpoint");
    if args.resume && checkpoint_folder.exists() {
        let checkpoint = Checkpoint::load(&checkpoint_folder)?;
        ensure!(
            WalsConfig { iterations: config.iterations, ..checkpoint.config } == config,
            "the checkpoint in {} was made with other settings",
            checkpoint_folder.display()
        );
        completed = checkpoint.completed_iterations;
        initial_users = Some(checkpoint.user_factors);
        initial_items = Some(checkpoint.item_factors);
        session.note(&format!("continuing after iteration {completed}"));
    }
    let initial = InitialFactors {
        user_factors: initial_users.as_ref().map(|factors| factors.view()),
        item_factors: initial_items.as_ref().map(|factors| factors.view()),
        completed_iterations: completed,
    };

    let bar = session.bar("factors", config.iterations as u64);
    let (mut seconds, mut objective) = (Vec::new(), Vec::new());
    let mut before = 0.0;
    let mut failure = None;
    let model = config.fit_from(&matrix, initial, &mut |mut progress| {
        if progress.stage == Stage::UsersSolved {
            return ControlFlow::Continue(());
        }
        let loss = progress.objective();
        objective.push(loss);
        bar.set_position(progress.iteration as u64);
        bar.set_message(format!("loss {loss:.6e}"));
        if progress.stage == Stage::IterationDone {
            seconds.push(progress.seconds - before);
            before = progress.seconds;
            if args.checkpoint_every.is_some_and(|every| every > 0 && progress.iteration % every == 0) {
                let iteration = progress.iteration;
                let (users, items) = progress.factors();
                let saved = Checkpoint::save(&checkpoint_folder, &config, iteration, users, items);
                if let Err(error) = saved {
                    failure = Some(error);
                    return ControlFlow::Break(());
                }
            }
        }
        session.flow()
    })?;
    bar.finish();
    if let Some(error) = failure {
        return Err(error).context("the fit ended at a checkpoint that could not be written");
    }
    if let Outcome::Stopped { completed } = model.outcome() {
        session.note(&format!("stopped after {completed} iterations; writing the factors as they stand"));
    }
    let user_ids: Vec<&str> = pairs.users.names().collect();
    let item_ids: Vec<&str> = pairs.items.names().collect();
    save(out, &model, &user_ids, &item_ids)?;
    std::fs::write(out.join("wals.json"), serde_json::to_string_pretty(&config)? + "\n")
        .with_context(|| format!("cannot write {}", out.join("wals.json").display()))?;

    println!(
        "factors: {} users, {} items, rank {}: {}",
        model.users(),
        model.items(),
        model.rank(),
        out.display()
    );
    if let (Some(first), Some(last)) = (objective.first(), objective.last()) {
        println!("loss: {first:.6e} -> {last:.6e}");
    }
    let mut report = json!({
        "users": matrix.users(),
        "items": matrix.items(),
        "pairs": matrix.pairs(),
        "seconds_per_iteration": seconds,
        "objective": objective,
        "peak_rss_bytes": peak_rss_bytes(),
    });
    if let Some(path) = &args.test {
        let (held_out, unknown) = pairs.read_known(path)?;
        let ours = evaluate(&model, &matrix, &held_out, 20)?;
        let popular = evaluate_most_popular(&matrix, &held_out, 20)?;
        println!("                 recall@20  ndcg@20   mrr@20    hr@20");
        for (name, r) in [("factors", &ours), ("most popular", &popular)] {
            println!("{name:<16} {:>9.5} {:>8.5} {:>8.5} {:>8.5}", r.recall, r.ndcg, r.mrr, r.hit_rate);
        }
        println!(
            "{} users with {} held-out pairs; left out: {} already in the training table, {unknown} of unknown users or items",
            ours.users, ours.pairs, ours.already_seen
        );
        report["recall@20"] = json!(ours.recall);
        report["ndcg@20"] = json!(ours.ndcg);
        report["mrr@20"] = json!(ours.mrr);
        report["hr@20"] = json!(ours.hit_rate);
        report["most_popular"] = json!({ "recall@20": popular.recall, "ndcg@20": popular.ndcg });
        report["test"] = json!({
            "users": ours.users, "pairs": ours.pairs, "already_seen": ours.already_seen, "unknown": unknown,
        });
    }
    if args.common.json {
        println!("{report}");
    }
    Ok(())
}
