//! Trains user and item factors on a table of interactions.
//!
//! ```text
//! cargo run --release --example train_wals -- --interactions purchases.csv --rank 64 --out factors
//! cargo run --release --example train_wals -- --interactions train.csv --test test.csv --json
//! ```

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use regen_examples::cli::Common;
use regen_examples::pairs::Pairs;
use regen_examples::run_log::peak_rss_bytes;
use regen_examples::sharded;
use regen_examples::wals_args::{Formula, MetricName};
use regen_wals::evaluate::{RankingReport, evaluate, evaluate_most_popular};
use regen_wals::persist::{Checkpoint, FactorFormat, load_npy, save_as};
use regen_wals::{
    Arithmetic, EarlyStopping, InitialFactors, OnDevice, Outcome, Progress, Solver, Stage, WalsConfig,
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
    /// Pairs in the same format to stop early by: the factors of the iteration that ranks them best are written. They
    /// take part in the choice, so they must not be those of --test.
    #[arg(long)]
    validation: Option<PathBuf>,
    /// Iterations without a new best on --validation before the fit ends.
    #[arg(long, default_value_t = 3, requires = "validation")]
    patience: usize,
    /// The metric of --validation, at 20.
    #[arg(long, value_enum, default_value_t = MetricName::Ndcg, requires = "validation")]
    metric: MetricName,
    /// Width of the factors.
    #[arg(long, default_value_t = 64)]
    rank: usize,
    /// α₀, the weight of unobserved pairs.
    #[arg(long, default_value_t = 0.1)]
    unobserved_weight: f32,
    /// λ.
    #[arg(long, default_value_t = 0.003)]
    regularization: f32,
    /// ν of ρ = frequency^ν; 0 regularizes all rows alike.
    #[arg(long, default_value_t = 1.0)]
    frequency_exponent: f32,
    /// Start from these user factors instead of random ones (.npy, f32, rows in order of first appearance).
    #[arg(long)]
    init_user_factors: Option<PathBuf>,
    /// Start from these item factors.
    #[arg(long)]
    init_item_factors: Option<PathBuf>,
    /// Write a checkpoint into --out after every so many iterations.
    #[arg(long, value_name = "ITERATIONS")]
    checkpoint_every: Option<usize>,
    /// Continue from the checkpoint in --out, if there is one, to the same result.
    #[arg(long)]
    resume: bool,
    /// How the factors are written.
    #[arg(long, value_enum, default_value_t = FormatName::Npy)]
    format: FormatName,
    /// Keep pairs and factors on disk, in shards of about so many rows: for what does not fit in memory. The factors are
    /// the same to the bit; the same command goes on where it was stopped.
    #[arg(long, value_name = "ROWS", conflicts_with_all = [
        "test", "validation", "init_user_factors", "init_item_factors", "checkpoint_every", "format"
    ])]
    rows_per_shard: Option<usize>,
    #[command(flatten)]
    formula: Formula,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatName {
    /// user_factors.npy and item_factors.npy.
    Npy,
    /// factors.safetensors with the tensors user_factors and item_factors.
    Safetensors,
}

impl Args {
    fn config(&self) -> WalsConfig {
        WalsConfig {
            rank: self.rank,
            regularization: self.regularization,
            unobserved_weight: self.unobserved_weight,
            frequency_exponent: self.frequency_exponent,
            ..self.formula.config(self.common.seed)
        }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let session = args.common.start()?;
    let config = args.config();
    let out = &args.common.out;

    if let Some(rows) = args.rows_per_shard {
        let report =
            sharded::train(&args.interactions, out, &config, rows, args.formula.drops_zeros(), &session)?;
        if args.common.json {
            println!("{report}");
        }
        return Ok(());
    }
    let mut pairs = Pairs::read(&args.interactions)?;
    let matrix = pairs.matrix(args.formula.drops_zeros())?;
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
    let mut watch = |mut progress: Progress<'_>, report: Option<&RankingReport>| {
        if progress.stage == Stage::UsersSolved {
            return ControlFlow::Continue(());
        }
        let loss = progress.objective();
        objective.push(loss);
        bar.set_position(progress.iteration as u64);
        let ranked =
            report.map(|report| format!(", {} {:.5}", args.metric.at(20), args.metric.metric().of(report)));
        bar.set_message(format!("loss {loss:.6e}{}", ranked.unwrap_or_default()));
        if progress.stage == Stage::IterationDone {
            seconds.push(progress.seconds - before);
            before = progress.seconds;
            if args
                .checkpoint_every
                .is_some_and(|every| every > 0 && progress.iteration.is_multiple_of(every))
            {
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
    };
    let mut stopped_early = None;
    let cuda = matches!(session.placement.device, tch::Device::Cuda(_));
    let on_device = cuda && config.solver == Solver::Cholesky && config.arithmetic == Arithmetic::F32;
    if cuda && (!on_device || args.validation.is_some()) {
        session.note(
            "the GPU solves rows exactly, in f32 and without --validation; this fit stays on the processor",
        );
    }
    let model = match &args.validation {
        None if on_device => {
            let device = OnDevice::new(session.placement.device);
            config.fit_on(device, &matrix, initial, &mut |progress| watch(progress, None))?
        }
        None => config.fit_from(&matrix, initial, &mut |progress| watch(progress, None))?,
        Some(path) => {
            let (held_out, _) = pairs.read_known(path)?;
            let (metric, patience) = (args.metric.metric(), args.patience);
            let stopping = EarlyStopping { held_out: &held_out, metric, k: 20, patience };
            let found = config.fit_until(&matrix, initial, &stopping, &mut watch)?;
            let values: Vec<f64> = found.reports.iter().map(|report| metric.of(report)).collect();
            session.note(&format!("iteration {} ranks {} best", found.best_iteration, path.display()));
            stopped_early =
                Some(json!({ "best_iteration": found.best_iteration, args.metric.at(20): values }));
            found.model
        }
    };
    bar.finish();
    if let Some(error) = failure {
        return Err(error).context("the fit ended at a checkpoint that could not be written");
    }
    if let (Outcome::Stopped { completed }, None) = (model.outcome(), &stopped_early) {
        session.note(&format!("stopped after {completed} iterations; writing the factors as they stand"));
    }
    let user_ids: Vec<&str> = pairs.users.names().collect();
    let item_ids: Vec<&str> = pairs.items.names().collect();
    let format = match args.format {
        FormatName::Npy => FactorFormat::Npy,
        FormatName::Safetensors => FactorFormat::Safetensors,
    };
    save_as(out, format, &model, &user_ids, &item_ids)?;
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
    if let Some(stopped_early) = stopped_early {
        report["validation"] = stopped_early;
    }
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
