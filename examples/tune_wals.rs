//! Looks for the settings of the factorisation that rank held-out pairs best.
//!
//! ```text
//! cargo run --release --example tune_wals -- --interactions purchases.csv --ranks 32,64 --out out/tuning
//! cargo run --release --example tune_wals -- --interactions train.csv --test validation.csv --halving 2 --json
//! ```

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use regen_examples::cli::{Common, check_writable, wrong_usage};
use regen_examples::pairs::{HeldOut, Pairs};
use regen_examples::println;
use regen_examples::run_log::peak_rss_bytes;
use regen_examples::tuning;
use regen_examples::wals_args::{Formula, MetricName};
use regen_examples::whole_file::write_whole;
use regen_torch::DeviceChoice;
use regen_wals::evaluate::evaluate_most_popular;
use regen_wals::search::{Search, SearchSpace, Strategy};
use regen_wals::{EarlyStopping, HoldOut};
use serde_json::json;

/// Searches rank, regularization, unobserved weight and frequency exponent of train_wals.
///
/// Every combination of the four lists is a cell. Each is fitted, judged on held-out pairs after every iteration, and
/// stopped once it gets no better. Prints a table, best first, and writes tuning.json, tuning.html (opens offline) and
/// best.json (the configuration) into --out. The same command again goes on after the last finished cell; a search that
/// was stopped leaves a table and tuning.json of the cells it finished, and no best.json. What is chosen was chosen by
/// these held-out pairs: report its quality on others.
#[derive(Debug, Parser)]
#[command(name = "tune_wals")]
struct Args {
    /// Table with a header `user,item[,value[,timestamp]]`, separated by commas or tabs; .gz and .zst too.
    #[arg(long)]
    interactions: PathBuf,
    /// Pairs to judge by, in the same format; without it a share of each user's pairs is held out.
    #[arg(long)]
    test: Option<PathBuf>,
    /// Share of a user's pairs to hold out.
    #[arg(long, default_value_t = 0.2, conflicts_with = "test")]
    hold_out: f64,
    /// Hold out pairs of at most this many users: judging ranks all items for each of them after every iteration.
    #[arg(long, conflicts_with = "test")]
    hold_out_users: Option<usize>,
    /// Widths of the factors.
    #[arg(long, value_delimiter = ',', default_value = "32,64,128")]
    ranks: Vec<usize>,
    /// Values of λ.
    #[arg(long, value_delimiter = ',', default_value = "0.001,0.003,0.01")]
    regularizations: Vec<f32>,
    /// Values of α₀, the weight of unobserved pairs.
    #[arg(long, value_delimiter = ',', default_value = "0.03,0.1,0.3")]
    unobserved_weights: Vec<f32>,
    /// Values of ν in ρ = frequency^ν.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    frequency_exponents: Vec<f32>,
    /// What is to be highest.
    #[arg(long, value_enum, default_value_t = MetricName::Ndcg)]
    metric: MetricName,
    /// Cut-off of the metric.
    #[arg(long, default_value_t = 20)]
    at: usize,
    /// Iterations without a new best before a cell stops.
    #[arg(long, default_value_t = 3)]
    patience: usize,
    /// Successive halving: all cells run so many iterations, the best of them go on. Without it, every cell runs
    /// --iterations.
    #[arg(long, value_name = "FIRST_ITERATIONS")]
    halving: Option<usize>,
    /// Of n cells n divided by this go on, with as many times the iterations.
    #[arg(long, default_value_t = 3, requires = "halving")]
    factor: usize,
    /// Begin anew even if --out holds finished cells.
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    formula: Formula,
    #[command(flatten)]
    common: Common,
}

impl Args {
    /// Why flags do not go together.
    fn refusal(&self) -> Option<String> {
        match self.common.device {
            device @ DeviceChoice::Cuda(_) => {
                Some(format!("--device {device}: cells are fitted on the processor; choose cpu or auto"))
            }
            DeviceChoice::Auto | DeviceChoice::Cpu => self.formula.idle_flag(),
        }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(reason) = args.refusal() {
        wrong_usage::<Args>(&reason);
    }
    let session = args.common.start()?;
    let out = &args.common.out;
    check_writable(out)?;

    let mut pairs = Pairs::read(&args.interactions)?;
    let all = pairs.matrix(args.formula.drops_zeros())?;
    let (train, held_out) = match &args.test {
        Some(path) => {
            let HeldOut { known, unknown } = pairs.read_held_out(path, &all)?;
            if unknown > 0 {
                session.note(&format!("{unknown} pairs of unknown users or items are left out"));
            }
            (all, known)
        }
        None => HoldOut { share: args.hold_out, users: args.hold_out_users, seed: args.common.seed }
            .split(&all)?,
    };
    session.note(&format!(
        "{} users, {} items, {} pairs to learn from, {} to judge by",
        train.users(),
        train.items(),
        train.pairs(),
        held_out.len()
    ));

    let space = SearchSpace {
        base: args.formula.config(args.common.seed),
        ranks: args.ranks.clone(),
        regularizations: args.regularizations.clone(),
        unobserved_weights: args.unobserved_weights.clone(),
        frequency_exponents: args.frequency_exponents.clone(),
    };
    let strategy = match args.halving {
        None => Strategy::Grid,
        Some(first_iterations) => Strategy::SuccessiveHalving { first_iterations, factor: args.factor },
    };
    let folder = out.join("cells");
    if args.restart && folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let (metric, k, patience) = (args.metric.metric(), args.at, args.patience);
    let stopping = EarlyStopping { held_out: &held_out, metric, k, patience };
    let search = Search { space: &space, strategy, train: &train, stopping, folder: Some(&folder) };

    let name = args.metric.at(k);
    let bar = session.bar("cells", 0);
    let report = search.run(&mut |progress| {
        bar.set_length(progress.of as u64);
        bar.set_position(progress.done as u64);
        bar.set_prefix(format!("round {}: cells", progress.round));
        let value = progress.report.map_or("…".to_owned(), |report| format!("{:.5}", metric.of(report)));
        let cell = tuning::in_words(progress.config);
        bar.set_message(format!("{cell}: {}/{}, {name} {value}", progress.iteration, progress.budget));
        session.flow()
    })?;
    bar.finish_and_clear();
    ensure!(
        !report.trials.is_empty(),
        "stopped by the user before the first cell was done: the same command begins anew"
    );

    let popular = metric.of(&evaluate_most_popular(&train, &held_out, k)?);
    println!("{}", tuning::table(&report, &name, popular).trim_end());
    let best = &report.trials[0];
    let page = tuning::page(&report, &name, popular);
    write_whole(&out.join("tuning.html"), page)?;
    write_whole(&out.join("tuning.json"), serde_json::to_string_pretty(&report)?)?;
    if report.finished {
        // Of a part of the cells, the best would be taken for that of all.
        write_whole(&out.join("best.json"), serde_json::to_string_pretty(&best.config)?)?;
    }
    println!("best: {} after {} iterations", tuning::in_words(&best.config), best.best_iteration);
    println!("as flags of train_wals: {}", tuning::as_flags(&best.config, best.best_iteration));
    println!("plot: {}", out.join("tuning.html").display());
    if args.common.json {
        let line = json!({
            "metric": name,
            "best": {
                "config": best.config,
                "iterations": best.best_iteration,
                "report": best.best(),
            },
            "most_popular": popular,
            "cells": report.cells,
            "trials": report.trials,
            "finished": report.finished,
            "seed": args.common.seed,
            "threads": session.threads,
            "peak_rss_bytes": peak_rss_bytes(),
        });
        println!("{line}");
    }
    if !report.finished {
        bail!(
            "stopped by the user after {} trials, which {} holds: the same command goes on after the last of them",
            report.trials.len(),
            folder.display()
        );
    }
    Ok(())
}
