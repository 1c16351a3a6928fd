//! Trains user and item factors on a table of interactions.
//!
//! ```text
//! cargo run --release --example train_wals -- --interactions purchases.csv --rank 64 --out factors
//! cargo run --release --example train_wals -- --interactions train.csv --test test.csv --json
//! ```

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::builder::RangedU64ValueParser;
use clap::{Parser, ValueEnum};
use regen_examples::cli::{Common, check_writable, wrong_usage};
use regen_examples::pairs::{HeldOut, Pairs, print_fit, print_ranking};
use regen_examples::println;
use regen_examples::run_log::peak_rss_bytes;
use regen_examples::sharded::Sharded;
use regen_examples::wals_args::{self, Formula, MetricName, SolverName};
use regen_examples::whole_file::write_whole;
use regen_torch::DeviceChoice;
use regen_wals::evaluate::{RankingReport, evaluate, evaluate_most_popular};
use regen_wals::persist::{Checkpoint, FactorFormat, load_npy, save_as};
use regen_wals::{Arithmetic, EarlyStopping, InitialFactors, OnDevice, Progress, Solver, Stage, WalsConfig};
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
    /// Write a checkpoint into --out after every so many iterations, and when Ctrl-C ends the fit. It does not change the factors.
    #[arg(long, value_name = "ITERATIONS", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    checkpoint_every: Option<usize>,
    /// Continue from the checkpoint in --out, if there is one, to the same result. Not with --validation: what was
    /// ranked before is not in a checkpoint.
    #[arg(long)]
    resume: bool,
    /// How the factors are written.
    #[arg(long, value_enum, default_value_t = FormatName::Npy)]
    format: FormatName,
    /// Keep pairs and factors on disk, in shards of about so many rows: for what does not fit in memory. The factors are
    /// the same to the bit; the same command goes on where it was stopped. With --test, there are no most
    /// popular items to compare with.
    #[arg(long, value_name = "ROWS", value_parser = RangedU64ValueParser::<usize>::new().range(1..), conflicts_with_all = [
        "validation", "init_user_factors", "init_item_factors", "checkpoint_every", "format", "double"
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

    /// Why flags do not go together.
    fn refusal(&self) -> Option<String> {
        if self.resume && self.validation.is_some() {
            let reason = "a checkpoint holds neither the rankings before it nor the best factors, so early stopping \
                          would come to another result; begin anew without --resume";
            return Some(format!("--resume cannot be used with --validation: {reason}"));
        }
        for (given, flag) in [
            (self.init_user_factors.is_some(), "--init-user-factors"),
            (self.init_item_factors.is_some(), "--init-item-factors"),
        ] {
            if self.resume && given {
                return Some(format!("--resume cannot be used with {flag}: it begins from the checkpoint"));
            }
        }
        if let device @ DeviceChoice::Cuda(_) = self.common.device {
            let on_host = [
                (self.rows_per_shard.is_some(), "--rows-per-shard"),
                (self.validation.is_some(), "--validation"),
                (self.formula.solver == SolverName::Cg, "--solver cg"),
                (self.formula.solver == SolverName::Block, "--solver block"),
                (self.formula.double, "--double"),
            ];
            if let Some((_, flag)) = on_host.iter().find(|(given, _)| *given) {
                return Some(format!(
                    "--device {device} cannot be used with {flag}: {GPU}; choose --device cpu or auto"
                ));
            }
        }
        self.formula.idle_flag()
    }

    /// What to tell a user who stopped the fit.
    fn advice(&self, checkpoint: Option<&Path>) -> String {
        match checkpoint {
            None => "no factors were written; --checkpoint-every keeps what is done".to_owned(),
            Some(folder) => {
                let without = if self.validation.is_some() { ", without --validation," } else { "" };
                format!("{} holds what was done: --resume{without} goes on from it", folder.display())
            }
        }
    }
}

/// What a GPU does here.
const GPU: &str = "a GPU solves rows exactly, in f32, with all pairs in memory and without early stopping";

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(reason) = args.refusal() {
        wrong_usage::<Args>(&reason);
    }
    let session = args.common.start()?;
    let config = args.config();
    let out = &args.common.out;
    wals_args::check(&config)?;
    check_writable(out)?;
    session.detail(&format!("settings: {}", serde_json::to_string(&config)?));
    if config.iterations == 0 && !args.resume {
        session.note("--iterations 0: nothing is fitted, the factors are those that a fit would start from");
    }

    let cuda = matches!(session.placement.device, tch::Device::Cuda(_));
    let on_device = cuda && config.solver == Solver::Cholesky && config.arithmetic == Arithmetic::F32;
    if cuda && (!on_device || args.validation.is_some() || args.rows_per_shard.is_some()) {
        session.note(&format!("{GPU}; this fit stays on the processor"));
    }
    if let Some(rows_per_shard) = args.rows_per_shard {
        let fit = Sharded {
            table: &args.interactions,
            out,
            config: &config,
            rows_per_shard,
            drop_zeros: args.formula.drops_zeros(),
            test: args.test.as_deref(),
        };
        let report = fit.train(&session)?;
        if args.common.json {
            println!("{report}");
        }
        return Ok(());
    }
    let mut pairs = Pairs::read(&args.interactions)?;
    let matrix = pairs.matrix(args.formula.drops_zeros())?;
    session.note(&format!("{} users, {} items, {} pairs", matrix.users(), matrix.items(), matrix.pairs()));

    // Before the fit, which may take hours: a file that cannot be used is refused now.
    let held_out = |path: &Option<PathBuf>| -> Result<Option<HeldOut>> {
        path.as_deref().map(|path| pairs.read_held_out(path, &matrix)).transpose()
    };
    let (validation, test) = (held_out(&args.validation)?, held_out(&args.test)?);

    let given = |path: &Option<PathBuf>| path.as_deref().map(load_npy).transpose();
    let (initial_users, initial_items) = (given(&args.init_user_factors)?, given(&args.init_item_factors)?);
    let mut checkpoint = None;
    let checkpoint_folder = out.join("checkpoint");
    if args.resume && checkpoint_folder.exists() {
        let found = Checkpoint::load(&checkpoint_folder, &matrix)?;
        ensure!(
            WalsConfig { iterations: config.iterations, ..found.config.clone() } == config,
            "the checkpoint in {} was made with other settings: repeat those, leave out --resume to begin anew, or give another \
             --out",
            checkpoint_folder.display()
        );
        session.note(&format!("continuing after iteration {}", found.completed_iterations));
        checkpoint = Some(found);
    }
    let initial = checkpoint.as_ref().map_or(
        InitialFactors {
            user_factors: initial_users.as_ref().map(|factors| factors.view()),
            item_factors: initial_items.as_ref().map(|factors| factors.view()),
            ..InitialFactors::default()
        },
        Checkpoint::initial,
    );

    let bar = session.bar("factors", config.iterations as u64);
    let (mut seconds, mut objective) = (Vec::new(), Vec::new());
    let mut before = 0.0;
    let (mut failure, mut stopped) = (None, None);
    let mut kept = checkpoint.is_some();
    let mut watch = |progress: Progress<'_>, report: Option<&RankingReport>| {
        if progress.stage == Stage::UsersSolved {
            return ControlFlow::Continue(());
        }
        let (iteration, flow) = (progress.iteration, session.flow());
        let loss = progress.objective();
        objective.push(loss);
        bar.set_position(iteration as u64);
        let ranked =
            report.map(|report| format!(", {} {:.5}", args.metric.at(20), args.metric.metric().of(report)));
        bar.set_message(format!("loss {loss:.6e}{}", ranked.unwrap_or_default()));
        if progress.stage == Stage::IterationDone {
            seconds.push(progress.seconds - before);
            before = progress.seconds;
            // On Ctrl-C too: it is the last there is to keep.
            let due = |every| iteration.is_multiple_of(every) || flow.is_break();
            if args.checkpoint_every.is_some_and(due) {
                if let Err(error) = progress.save_checkpoint(&checkpoint_folder) {
                    failure = Some(error);
                    return ControlFlow::Break(());
                }
                kept = true;
            }
        }
        if flow.is_break() && iteration < config.iterations {
            stopped = Some(iteration);
        }
        flow
    };
    let mut stopped_early = None;
    let model = match &validation {
        None if on_device => {
            let device = OnDevice::new(session.placement.device);
            config.fit_on(device, &matrix, initial, &mut |progress| watch(progress, None))?
        }
        None => config.fit_from(&matrix, initial, &mut |progress| watch(progress, None))?,
        Some(held_out) => {
            let (metric, patience) = (args.metric.metric(), args.patience);
            let stopping = EarlyStopping { held_out: &held_out.known, metric, k: 20, patience };
            let found = config.fit_until(&matrix, initial, &stopping, &mut watch)?;
            let values: Vec<f64> = found.reports.iter().map(|report| metric.of(report)).collect();
            session.note(&format!("iteration {} ranks --validation best", found.best_iteration));
            stopped_early =
                Some(json!({ "best_iteration": found.best_iteration, args.metric.at(20): values }));
            found.model
        }
    };
    bar.finish();
    if let Some(error) = failure {
        return Err(error).context("the fit ended at a checkpoint that could not be written");
    }
    if let Some(iteration) = stopped {
        // Under the name of factors, those of half a fit would be taken for whole ones.
        let advice = args.advice(kept.then_some(checkpoint_folder.as_path()));
        bail!("stopped by the user after {iteration} of {} iterations: {advice}", config.iterations);
    }
    let user_ids: Vec<&str> = pairs.users.names().collect();
    let item_ids: Vec<&str> = pairs.items.names().collect();
    let format = match args.format {
        FormatName::Npy => FactorFormat::Npy,
        FormatName::Safetensors => FactorFormat::Safetensors,
    };
    save_as(out, format, &model, &user_ids, &item_ids)?;
    write_whole(&out.join("wals.json"), serde_json::to_string_pretty(&config)? + "\n")?;

    print_fit(model.users(), model.items(), model.rank(), out, &objective);
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
    if let Some(HeldOut { known, unknown }) = &test {
        let ours = evaluate(&model, &matrix, known, 20)?;
        let popular = evaluate_most_popular(&matrix, known, 20)?;
        print_ranking(&mut report, &ours, Some(&popular), *unknown);
    }
    if args.common.json {
        println!("{report}");
    }
    Ok(())
}
