//! The whole pipeline in one program: purchases → factors, texts → embeddings, both → soft tokens → narratives for
//! users who were never seen, scored, for three arms with the same seed and budget.
//!
//! ```text
//! cargo run --release --example quickstart                         # the synthetic world
//! cargo run --release --example quickstart -- --data DIR           # every data set that DIR holds
//! ```

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use regen_data::synthetic::SyntheticConfig;
use regen_data::xrec::Vertical;
use regen_data::{HistoryConfig, audit_leaks, examples, training_interactions};
use regen_examples::ablation::{Encoder, data_sha256, language_model_sha256};
use regen_examples::arms::{ArmRun, Task, run_arm};
use regen_examples::budget::Budget;
use regen_examples::cli::{Common, Session, check_writable};
use regen_examples::compare::{Material, compare};
use regen_examples::explore::explore;
use regen_examples::features::{Factorisation, embed_items, fit_factors, item_factors, tables};
use regen_examples::finished;
use regen_examples::given::Given;
use regen_examples::input::{self, Input};
use regen_examples::inputs::{Inputs, Scaling};
use regen_examples::println;
use regen_examples::run_log::RunLog;
use regen_examples::{pipeline, print, report};
use regen_wals::WalsConfig;
use serde_json::{Value, json};

/// From purchases to narratives: trains and compares three arms (collaborative only, semantic only, fusion) and writes
/// a report. Without --data it runs on a synthetic office catalogue; with --data DIR on real data: the XRec release
/// (narratives), or purchase sequences with item text (ranking quality and neighbours).
#[derive(Debug, Parser)]
#[command(name = "quickstart")]
struct Args {
    #[command(flatten)]
    common: Common,
    /// Folder of real data.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Which part of the data, where it has several [default: each in turn].
    #[arg(long, requires = "data")]
    vertical: Option<Vertical>,
    /// Users of the synthetic world.
    #[arg(long, default_value_t = 2000, conflicts_with = "data")]
    users: usize,
    /// Items of the synthetic world.
    #[arg(long, default_value_t = 2000, conflicts_with = "data")]
    items: usize,
    /// Folder of the sentence encoder.
    #[arg(long, env = "REGEN_ENCODER")]
    encoder: PathBuf,
    /// Size of the language model, trained from nothing: 1m, 2m, 3m, 10m, 26m; or the Hugging Face folder of one that has been
    /// trained.
    #[arg(long, default_value = "2m")]
    lm: String,
    /// Training updates of each arm [default: 1800 on the synthetic world, 1000 on real data].
    #[arg(long)]
    steps: Option<u64>,
    /// Updates before those in which each arm only reads the catalogue: from an item's soft token, write the item's
    /// own text [default: 1000 on real data, none on the synthetic world].
    #[arg(long)]
    reading_steps: Option<u64>,
    /// Rank of the collaborative factors.
    #[arg(long, default_value_t = 64)]
    rank: usize,
    /// Examples per update.
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Peak learning rate of the language model; the adapter's is three times that.
    #[arg(long, default_value_t = 3e-3)]
    learning_rate: f64,
    /// Arms to run, of cf, semantic, fusion, text, text+cf, text+semantic, text+fusion [default: cf,semantic,fusion; on real
    /// data text and text+fusion too]. An arm with text reads the description of the item that it writes about.
    #[arg(long, value_delimiter = ',')]
    arms: Vec<Given>,
    /// What is read beside the vectors of items: any of rating, recency, position (of each purchase) and user (the user's own
    /// collaborative vector, folded in from the history), with commas between.
    #[arg(long, default_value = "", hide_default_value = true)]
    inputs: Inputs,
    /// How vectors are scaled before they are read.
    #[arg(long, value_enum, default_value = "l2")]
    scaling: Scaling,
    /// Take the arms that an earlier run with the same --out and settings finished as they are.
    #[arg(long)]
    resume: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let session = args.common.start()?;
    check_writable(&args.common.out)?;
    let encoder = Encoder::load(&args.encoder, &session)?;
    let inputs = match &args.data {
        Some(dir) => input::load(dir, args.vertical)?,
        None => {
            let (seed, users, items) = (args.common.seed, args.users, args.items);
            vec![input::synthetic(&SyntheticConfig { seed, users, items, ..SyntheticConfig::default() })?]
        }
    };
    let several = inputs.len() > 1;
    let mut results = serde_json::Map::new();
    for input in inputs {
        let name = input.dataset.name.clone();
        let out =
            if several { args.common.out.join(name.replace(' ', "-")) } else { args.common.out.clone() };
        let result = if input.dataset.narratives.is_empty() {
            without_narratives(&args, &input, &encoder, &out, &session)?
        } else {
            with_narratives(&args, input, &encoder, &out, &session)?
        };
        results.insert(name, result);
    }
    if args.common.json {
        // One data set gives its own object, several give one object per name.
        let single = if several { None } else { results.values().next().cloned() };
        println!("{}", single.unwrap_or(Value::Object(results)));
    }
    Ok(())
}

/// Split, factors, embeddings, three arms, scores, report.
fn with_narratives(
    args: &Args,
    input: Input,
    encoder: &Encoder,
    out: &std::path::Path,
    session: &Session,
) -> Result<Value> {
    let mut log = RunLog::default();
    let dataset = &input.dataset;
    session.note(&format!(
        "\n{}: {} users, {} items",
        dataset.name,
        dataset.users.len(),
        dataset.items.len()
    ));
    let seed = args.common.seed;
    let split = pipeline::split(dataset, seed)?;
    let interactions = training_interactions(dataset, &split);
    // The synthetic world has narratives enough to go on learning; real ones are few, so the catalogue is read first.
    let (steps, reading_steps) = if input.truth.is_some() { (1800, 0) } else { (1000, 1000) };
    let steps = args.steps.unwrap_or(steps);
    let reading_steps = args.reading_steps.unwrap_or(reading_steps);
    // The same for every arm: what differs is only what the adapter reads.
    let mut budget = Budget::new(&args.lm, steps, reading_steps, args.batch, args.learning_rate, seed);
    (budget.inputs, budget.scaling) = (args.inputs, args.scaling);
    let examples = examples(dataset, &HistoryConfig { max_history: budget.max_history })?;
    let audit = audit_leaks(dataset, &split, &examples, &interactions).context("the split leaks")?;

    let config = wals(args);
    let (matrix, model) = log.stage("factorise", || fit_factors(dataset, &interactions, &config, session))?;
    let (cf, factorisation) = (item_factors(&matrix, &model), Factorisation::of(&model));
    let semantic = log.stage("embed items", || embed_items(&encoder.model, dataset, session))?;

    let task = Task::new(dataset, &split, &examples, reading_steps > 0, seed);
    let ids: Vec<String> = dataset.items.names().map(str::to_owned).collect();
    let mut settings = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "libtorch": regen_examples::libtorch_version(),
        "seed": seed,
        "device": format!("{:?}", session.placement.device),
        "threads": session.threads,
        "encoder": encoder.facts,
        "data": dataset.name,
        "data_sha256": data_sha256(dataset, &input.published),
        "users": dataset.users.len(),
        "items": dataset.items.len(),
        "split": { "rule": "user_disjoint", "hash": split.hash(), "audit": audit },
        "wals": config,
        "budget": budget,
    });
    // Of a folder its name says little.
    if let Some(sha256) = language_model_sha256(&args.lm)? {
        settings["language_model_sha256"] = sha256.into();
    }
    let narrators = out.join("narrators");
    let mut arms: Vec<ArmRun> = Vec::new();
    for given in chosen_arms(args, input.truth.is_some())? {
        let device = session.placement.device;
        let kept = if args.resume { finished::find(&narrators, &settings, given, device)? } else { None };
        arms.push(match kept {
            Some(arm) => arm,
            None => log.stage(&format!("train and write {given}"), || {
                let tables = tables(Some(&cf), Some(&semantic), Some(&factorisation))?;
                let arm = run_arm(given, &task, tables, ids.clone(), &budget, seed, session)?;
                finished::keep(&narrators, &settings, &arm)?;
                Ok(arm)
            })?,
        });
    }

    let material = Material {
        input: &input,
        split: &split,
        examples: &examples,
        task: &task,
        cf: &cf,
        semantic: &semantic,
        encoder_name: &encoder.facts.name,
    };
    let comparison = log.stage("score", || compare(&material, &arms, &encoder.model, seed, session))?;
    let parameters: serde_json::Map<String, Value> =
        arms.iter().map(|arm| (arm.given.to_string(), arm.narrator.parameters().into())).collect();
    let mut run = settings;
    run["program"] = "quickstart".into();
    run["parameters"] = parameters.into();
    let metrics = report::write(out, &comparison, &run, &log)?;
    print::comparison(&comparison, &log, out)?;
    Ok(metrics)
}

/// Ranking quality and neighbours.
fn without_narratives(
    args: &Args,
    input: &Input,
    encoder: &Encoder,
    out: &std::path::Path,
    session: &Session,
) -> Result<Value> {
    let mut log = RunLog::default();
    let config = wals(args);
    let found = explore(&input.dataset, &config, &encoder.model, args.common.seed, session, &mut log)?;
    let value = serde_json::to_value(&found)?;
    let run = json!({ "program": "quickstart", "seed": args.common.seed, "data": input.dataset.name, "wals": config });
    report::write_exploration(out, &value, &run, &log)?;
    print::exploration(&input.dataset, &found, &log, out);
    Ok(value)
}

/// The arms asked for. On real data the paper's three are followed by what text alone, and text and vectors, can do.
fn chosen_arms(args: &Args, synthetic: bool) -> Result<Vec<Given>> {
    let default: &[&str] = if synthetic {
        &["cf", "semantic", "fusion"]
    } else {
        &["cf", "semantic", "fusion", "text", "text+fusion"]
    };
    if args.arms.is_empty() {
        default.iter().map(|name| name.parse()).collect()
    } else {
        Ok(args.arms.clone())
    }
}

fn wals(args: &Args) -> WalsConfig {
    WalsConfig { rank: args.rank, seed: args.common.seed, ..WalsConfig::default() }
}
