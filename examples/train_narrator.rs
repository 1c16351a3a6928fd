//! Adapter and language model, trained together on the narratives of a prepared data folder.
//!
//! ```text
//! cargo run --release --example prepare_data -- --data data/xrec --vertical google --split-seed 7 --out out/places
//! cargo run --release --example train_wals -- --interactions out/places/training_interactions.csv --out out/factors
//! cargo run --release --example embed_items -- --model ENCODER --input out/places \
//!     --template "{title} · {description}" --out out/embeddings
//! cargo run --release --example train_narrator -- --data out/places --factors out/factors \
//!     --embeddings out/embeddings/embeddings.npy --arm fusion --out out/narrator
//! ```
//!
//! Beside the bundle's own files stands `scalars.jsonl`, a line for each update.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, ValueEnum, value_parser};
use regen_data::{HistoryConfig, audit_leaks, examples, prepared, training_interactions};
use regen_examples::ablation::{CoTraining, CoTrainingSettings, NextItemScores, Pooled, ranks};
use regen_examples::arms::{Arm, SCALARS, Task, Trained, new_narrator, train};
use regen_examples::budget::{Budget, check_lengths};
use regen_examples::cli::{Common, at_least_one, positive, wrong_usage};
use regen_examples::features::tables;
use regen_examples::given::Given;
use regen_examples::inputs::{Inputs, Scaling};
use regen_examples::language_model::LanguageModelArgs;
use regen_examples::pipeline;
use regen_examples::println;
use regen_examples::purchase_reviews::ReviewVectors;
use regen_examples::review_encoder;
use regen_examples::usage::{Rule, unread};
use regen_fusion::{AdapterKind, HiddenActivation, Sources};
use regen_metrics::Bootstrap;
use regen_narrator::{InjectionConfig, InjectionMap, Memory, TrainPrecision};
use serde_json::json;

/// Trains a narrator on the training users of a prepared folder and writes it as one bundle.
///
/// The folder must have been divided (prepare_data --split-seed), and the factors must come from its
/// training_interactions.csv, so that nothing is known of the users it will be judged by.
#[derive(Debug, Parser)]
#[command(name = "train_narrator")]
struct Args {
    /// Prepared data folder with split.json.
    #[arg(long)]
    data: PathBuf,
    /// Folder of train_wals: item factors and item_ids.txt. For an arm that reads collaborative vectors.
    #[arg(long)]
    factors: Option<PathBuf>,
    /// Embeddings of the folder's items.jsonl, line by line: the folder of embed_items, or its embeddings.npy. For an arm that
    /// reads semantic vectors.
    #[arg(long)]
    embeddings: Option<PathBuf>,
    #[command(flatten)]
    language_model: LanguageModelArgs,
    /// What the narrator reads: vectors (cf, semantic, fusion), the text of the item it writes about (text), or both
    /// (text+cf, text+semantic, text+fusion).
    #[arg(long, default_value = "fusion")]
    arm: Given,
    /// How they are made.
    #[arg(long, value_enum, default_value = "projection")]
    adapter: AdapterName,
    /// Units of each hidden layer of --adapter mlp.
    #[arg(long, default_value_t = 256)]
    mlp_width: i64,
    /// Hidden layers of --adapter mlp.
    #[arg(long, default_value_t = 1)]
    mlp_depth: usize,
    /// What its hidden units do with their sums.
    #[arg(long, value_enum, default_value = "gelu")]
    mlp_activation: Activation,
    /// Experts of --adapter moe.
    #[arg(long, default_value_t = 8)]
    experts: usize,
    /// Soft tokens of an item.
    #[arg(long, default_value_t = 1)]
    tokens_per_item: i64,
    /// Soft tokens of a history with --adapter cross-attention.
    #[arg(long, default_value_t = 8)]
    history_tokens: i64,
    /// Heads of its attention, a divisor of the language model's width.
    #[arg(long, default_value_t = 4)]
    attention_heads: i64,
    /// Layers of it.
    #[arg(long, default_value_t = 2)]
    attention_layers: usize,
    /// What is read beside the vectors of items: any of rating, recency, position (of each purchase), user (the user's own
    /// collaborative vector, folded in from the history) and reviews (what the user wrote about each purchase, by --reviews), with
    /// commas between.
    #[arg(long, default_value = "", hide_default_value = true)]
    inputs: Inputs,
    /// Blocks of the language model, numbered from 0, with commas between: before each of them soft tokens are added to the states as
    /// well, by a map that begins as zero.
    #[arg(long, value_name = "BLOCKS", value_delimiter = ',', conflicts_with = "kernels")]
    inject: Vec<usize>,
    /// What they pass through on the way.
    #[arg(long, value_enum, default_value = "projection", requires = "inject")]
    inject_through: Through,
    /// How vectors are scaled before they are read.
    #[arg(long, value_enum, default_value = "l2")]
    scaling: Scaling,
    /// Review files that the prepared folder was made from, for --inputs reviews. Of each past purchase its buyer's review is read,
    /// but none that was not written before the purchase that the narrative is about, and never that one's own.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    reviews: Vec<PathBuf>,
    /// Folder of the sentence encoder that makes vectors of them.
    #[arg(long, value_name = "DIR", env = "REGEN_ENCODER", hide_env_values = true)]
    review_encoder: Option<PathBuf>,
    /// How these vectors are scaled; there is no table to whiten them by.
    #[arg(long, value_enum, default_value = "l2")]
    review_scaling: Scaling,
    /// What is trained beside adapter and language model: the item tables, the next purchase, or both.
    #[arg(long, value_enum, default_value = "none")]
    co_train: CoTraining,
    /// Peak learning rate of the item tables.
    #[arg(long, default_value_t = 1e-3, value_parser = positive)]
    table_learning_rate: f64,
    /// What the loss of the next purchase counts beside that of the narrative.
    #[arg(long, default_value_t = 0.2, value_parser = positive)]
    next_item_weight: f64,
    /// Items that each purchase is told from, drawn for each batch; 0 for all.
    #[arg(long, default_value_t = 512)]
    negatives: usize,
    /// Training updates.
    #[arg(long, default_value_t = 1000, value_parser = value_parser!(u64).range(1..))]
    steps: u64,
    /// Updates before those in which it only reads the catalogue: from an item's soft token, write the item's own text.
    #[arg(long, default_value_t = 1000)]
    reading_steps: u64,
    /// Updates between the two in which the language model stays as it is: the adapter alone moves, with what --co-train names.
    #[arg(long, default_value_t = 0)]
    adapter_steps: u64,
    /// End once the held-out loss was no better at this many looks in a row; there are ten in a whole run.
    #[arg(long, value_name = "LOOKS", value_parser = value_parser!(u64).range(1..))]
    patience: Option<u64>,
    /// Examples per update.
    #[arg(long, default_value_t = 16, value_parser = at_least_one())]
    batch: usize,
    /// Parts of a batch that are computed one after the other, to need less memory.
    #[arg(long, default_value_t = 1, value_parser = at_least_one())]
    parts: usize,
    /// Compute activations of the language model again on the way back instead of keeping them: less memory, more time.
    #[arg(long)]
    recompute: bool,
    /// Pass through the language model by the kernels of regen-lm instead of libtorch's: on a CPU, without dropout.
    #[arg(long, conflicts_with_all = ["recompute", "lora_dropout"])]
    kernels: bool,
    /// In what numbers the language model is trained; all else is in f32.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// Purchases of a history that are read, from the most recent.
    #[arg(long, default_value_t = 50, value_parser = at_least_one())]
    max_history: usize,
    /// Tokens of a narrative, its end included.
    #[arg(long, default_value_t = 96, value_parser = at_least_one())]
    max_narrative_tokens: usize,
    /// Keep only the low-rank updates, and name the language model beneath them by this path or repository id and the hashes of
    /// its files, instead of copying it.
    #[arg(long, value_name = "NAME", requires = "lora_rank")]
    name_base: Option<String>,
    /// Go on with a run that was broken off, from the snapshots in OUT.progress.
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AdapterName {
    Projection,
    Mlp,
    Gated,
    /// Mixture of experts.
    Moe,
    /// Learned queries that attend over the history: a fixed number of soft tokens for all of it.
    CrossAttention,
}

/// As [`InjectionMap`].
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Through {
    /// A matrix for each block.
    Projection,
    /// A factor for each component and block.
    Gate,
}

impl From<Through> for InjectionMap {
    fn from(through: Through) -> Self {
        match through {
            Through::Projection => Self::Projection,
            Through::Gate => Self::Gate,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Activation {
    Gelu,
    Relu,
    Silu,
    Tanh,
}

/// As [`TrainPrecision`].
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Precision {
    F32,
    /// Weights and activations of the language model in bf16, what the optimiser adds up in f32.
    Bf16,
}

impl From<Precision> for TrainPrecision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

impl From<Activation> for HiddenActivation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Gelu => Self::Gelu,
            Activation::Relu => Self::Relu,
            Activation::Silu => Self::Silu,
            Activation::Tanh => Self::Tanh,
        }
    }
}

fn main() -> Result<()> {
    let matches = Args::command().get_matches();
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let Some(reason) = wrong(&args, &matches) {
        wrong_usage::<Args>(&reason);
    }
    let (budget, kind) = settings(&args)?;
    let session = args.common.start()?;
    let progress = progress_folder(&args)?;
    // Small, and needed: found out before the data are read.
    let factorisation = match args.factors.as_deref().filter(|_| args.arm.vectors.is_some_and(Sources::cf)) {
        Some(folder) => pipeline::factorisation(folder)?,
        None => None,
    };
    if args.inputs.user && factorisation.is_none() {
        bail!(
            "--inputs user folds users in by the settings of the factors, and {} is not there",
            pipeline::WALS
        );
    }
    let dataset = prepared::read(&args.data)?;
    let split = pipeline::read_split(&args.data, &dataset)?;
    let seed = args.common.seed;
    let examples = examples(&dataset, &HistoryConfig { max_history: budget.max_history })?;
    audit_leaks(&dataset, &split, &examples, &training_interactions(&dataset, &split))
        .context("the split leaks")?;

    let (factors, embeddings) = (args.factors.as_deref(), args.embeddings.as_deref());
    let cf = factors.map(|folder| pipeline::factors(folder, &dataset)).transpose()?;
    let semantic = embeddings.map(|file| pipeline::embeddings(file, &dataset)).transpose()?;
    let known = factors.map_or(Ok(0), |folder| pipeline::held_out_users(folder, &dataset, &split))?;
    if let Some(folder) = factors.filter(|_| known > 0) {
        // Whoever fits held-out users without the purchases they are judged by may do so.
        session.note(&format!(
            "warning: the factors of {} were fitted with {known} users that the split holds out: unless what they are judged by was \
             taken out, scores will be too good. Fit them to {}",
            folder.display(),
            args.data.join(pipeline::TRAINING_INTERACTIONS).display()
        ));
    }
    let reviews = match &args.review_encoder {
        Some(encoder) if args.inputs.reviews => {
            Some(ReviewVectors::read(&args.reviews, encoder, &dataset, &examples, &session)?)
        }
        _ => None,
    };
    let read_catalogue = args.reading_steps > 0;
    let task = Task::with_reviews(&dataset, &split, &examples, read_catalogue, seed, reviews.as_ref());
    let ids = dataset.items.names().map(str::to_owned).collect();
    let arm = Arm { given: args.arm, kind };
    let tables = tables(cf.as_ref(), semantic.as_ref(), factorisation.as_ref())?;
    let mut narrator = new_narrator(arm, &task, tables, ids, &budget, seed, &session)?;
    if let (Some(folder), Some(dim)) = (&args.review_encoder, task.review_dim) {
        narrator.set_review_encoder(review_encoder::of_folder(folder, dim)?)?;
    }

    let start = Instant::now();
    let trained = train(&mut narrator, args.arm, &task, &budget, Some(&progress), &session);
    let Trained { reading, adapter, report } = trained.with_context(|| match session.interrupted() {
        true => format!("{} holds what was done: --resume goes on from it", progress.display()),
        false => "training failed".to_owned(),
    })?;
    let seconds = start.elapsed().as_secs_f64();
    match &args.name_base {
        Some(name) => narrator.save_on_base(&args.common.out, name)?,
        None => narrator.save(&args.common.out)?,
    }
    fs::rename(progress.join(SCALARS), args.common.out.join(SCALARS))
        .context("the scalars cannot be kept")?;
    fs::remove_dir_all(&progress).with_context(|| format!("cannot remove {}", progress.display()))?;

    // What was done: training may have ended early.
    let steps = narrator.provenance().map_or(0, |trained| trained.updates);
    let stages = [reading.as_ref(), adapter.as_ref(), Some(&report)];
    let positions: u64 = stages.into_iter().flatten().map(|stage| stage.positions).sum();
    let held_out = report.validation.iter().map(|point| point.loss).reduce(f64::min);
    println!("narrator: {} ({} parameters)", args.common.out.display(), narrator.parameters());
    if let (Some(trained), Some(held_out)) = (report.training.last(), held_out) {
        println!("loss in nats a token: {:.4} in training, {held_out:.4} held out", trained.loss);
    }
    let requests = task.requests(args.arm);
    let bought = training_interactions(&dataset, &split);
    let ranks = ranks(&narrator, &requests, &task.test_users, &bought, dataset.items.len())?;
    let next_item = NextItemScores::of(&ranks.iter().collect::<Vec<_>>(), false, &Bootstrap::seeded(seed))?;
    if let Some(told) = &next_item {
        let shown = |[recall, ndcg, mrr]: &[Pooled; 3]| {
            format!("Recall@10 {:.4}, NDCG@10 {:.4}, MRR {:.4}", recall.value, ndcg.value, mrr.value)
        };
        println!("next purchase of {} test requests: {}", told.requests, shown(&told.narrator));
        println!("  by the most bought items: {}", shown(&told.popularity));
    }
    println!("{steps} updates in {seconds:.1} s, weights of update {} kept", report.kept_step);
    if args.common.json {
        let result = json!({
            "parameters": narrator.parameters(),
            "split": split.hash(),
            "held_out_users_in_factors": known,
            "reading": reading,
            "adapter": adapter,
            "training": report,
            "next_item": next_item,
            "seconds": seconds,
            "steps_per_second": steps as f64 / seconds,
            "tokens_per_second": positions as f64 / seconds,
        });
        println!("{result}");
    }
    Ok(())
}

/// What is wrong with the command line, beyond what clap sees.
fn wrong(args: &Args, matches: &ArgMatches) -> Option<String> {
    let vectors = args.arm.vectors;
    let (cf, semantic) = (vectors.is_some_and(Sources::cf), vectors.is_some_and(Sources::semantic));
    let mut trained = Budget::new("", 1, 0, 1, 1.0, 0);
    args.co_train.apply(&CoTrainingSettings::default(), vectors, &mut trained);
    let (tables, next) = (!trained.training.tables.is_none(), trained.training.next_item.is_some());
    let (adapter, lm) = (args.adapter, &args.language_model);
    let rule = |flags, read, with| Rule { flags, read, with };
    let of_adapter: &[&str] = &[
        "adapter",
        "tokens_per_item",
        "inputs",
        "inject",
        "scaling",
        "co_train",
        "adapter_steps",
        "max_history",
        "adapter_learning_rate",
    ];
    let of_reviews: &[&str] = &["reviews", "review_encoder", "review_scaling"];
    let of_attention: &[&str] = &["history_tokens", "attention_heads", "attention_layers"];
    let unread = unread(
        matches,
        &[
            rule(of_adapter, vectors.is_some(), "an --arm that reads vectors"),
            rule(&["factors"], cf, "an --arm that reads collaborative vectors"),
            rule(&["embeddings"], semantic, "an --arm that reads semantic vectors"),
            rule(
                &["mlp_width", "mlp_depth", "mlp_activation"],
                matches!(adapter, AdapterName::Mlp) && vectors.is_some(),
                "--adapter mlp",
            ),
            rule(&["experts"], matches!(adapter, AdapterName::Moe) && vectors.is_some(), "--adapter moe"),
            rule(
                of_attention,
                matches!(adapter, AdapterName::CrossAttention) && vectors.is_some(),
                "--adapter cross-attention",
            ),
            rule(of_reviews, args.inputs.reviews, "--inputs reviews"),
            rule(&["co_train"], tables || next, "tables that the --arm reads"),
            rule(&["table_learning_rate"], tables, "--co-train of tables"),
            rule(&["next_item_weight", "negatives"], next, "--co-train of the next purchase"),
            rule(
                &["lora_alpha", "lora_dropout", "lora_targets", "name_base"],
                lm.lora_rank > 0,
                "--lora-rank",
            ),
        ],
    );
    let needed = |read: bool, given: bool, flag: &str| {
        (read && !given).then(|| format!("--arm {} reads vectors that {flag} names", args.arm))
    };
    let clash = |both: bool, told: &str| both.then(|| told.to_owned());
    unread
        .or_else(|| lm.conflict())
        .or_else(|| needed(cf, args.factors.is_some(), "--factors"))
        .or_else(|| needed(semantic, args.embeddings.is_some(), "--embeddings"))
        .or_else(|| {
            clash(args.inputs.user && !cf, "--inputs user is for an --arm that reads collaborative vectors")
        })
        .or_else(|| {
            let missing = args.inputs.reviews && (args.reviews.is_empty() || args.review_encoder.is_none());
            clash(
                missing,
                "--inputs reviews needs --reviews FILE, and --review-encoder DIR to make vectors of them",
            )
        })
        .or_else(|| {
            let told =
                "--review-scaling whiten is not to be had: no table of reviews says how to whiten them";
            clash(args.review_scaling == Scaling::Whiten, told)
        })
        .or_else(|| {
            let both = args.kernels && matches!(args.precision, Precision::Bf16);
            clash(both, "--kernels train in f32, and --precision bf16 is for libtorch: leave one of them out")
        })
}

/// Everything that does not come from the data, found impossible before they are read.
fn settings(args: &Args) -> Result<(Budget, AdapterKind)> {
    let lm = &args.language_model;
    let mut budget =
        Budget::new(lm.name(), args.steps, args.reading_steps, args.batch, lm.rate(), args.common.seed);
    (budget.lora, budget.words, budget.chat) = (lm.lora()?, lm.prompt_words()?, lm.chat_format()?);
    (budget.max_history, budget.max_narrative_tokens) = (args.max_history, args.max_narrative_tokens);
    budget.tokens_per_item = args.tokens_per_item;
    budget.injection = (!args.inject.is_empty())
        .then(|| InjectionConfig { layers: args.inject.clone(), through: args.inject_through.into() });
    (budget.inputs, budget.scaling, budget.review_scaling) = (args.inputs, args.scaling, args.review_scaling);
    budget.training.patience = args.patience;
    let settings = CoTrainingSettings {
        table_learning_rate: args.table_learning_rate,
        next_item_weight: args.next_item_weight,
        negatives: args.negatives,
    };
    args.co_train.apply(&settings, args.arm.vectors, &mut budget);
    let memory = Memory { parts: args.parts, recompute: args.recompute, kernels: args.kernels };
    let budget = budget
        .with_adapter_stage(args.adapter_steps)
        .with_memory(memory)
        .with_precision(args.precision.into())
        .with_adapter_rate(lm.adapter_rate());
    budget.validate()?;

    let kind = match args.adapter {
        AdapterName::Projection => AdapterKind::Projection,
        AdapterName::Mlp => AdapterKind::Mlp {
            width: args.mlp_width,
            depth: args.mlp_depth,
            activation: args.mlp_activation.into(),
        },
        AdapterName::Gated => AdapterKind::Gated,
        AdapterName::Moe => AdapterKind::MixtureOfExperts { experts: args.experts },
        AdapterName::CrossAttention => AdapterKind::CrossAttention {
            tokens: args.history_tokens,
            heads: args.attention_heads,
            layers: args.attention_layers,
        },
    };
    let decoder = lm.decoder(budget.vocabulary as i64)?;
    if let Some(injection) = &budget.injection {
        injection.validate(decoder.layers)?;
    }
    check_lengths(args.arm, kind, &budget, &decoder)
        .context("--adapter, --max-history, --tokens-per-item, --max-narrative-tokens")?;
    Ok((budget, kind))
}

/// Where snapshots go. One that is there already belongs to a run that was broken off, which is gone on with or left alone.
fn progress_folder(args: &Args) -> Result<PathBuf> {
    let out = &args.common.out;
    // Found out now, not after hours.
    if out.exists() && fs::read_dir(out).map_or(true, |mut entries| entries.next().is_some()) {
        bail!("{} is there already and not empty: give --out a new name", out.display());
    }
    let mut name = out.as_os_str().to_owned();
    name.push(".progress");
    let progress = PathBuf::from(name);
    match (progress.exists(), args.resume) {
        (true, false) => bail!(
            "{} holds a run that was broken off: go on with it by --resume, or remove it",
            progress.display()
        ),
        (false, true) => bail!("there is nothing to resume: {} does not exist", progress.display()),
        _ => Ok(progress),
    }
}
