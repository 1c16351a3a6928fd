//! Has a chat model write the narratives of a prepared folder from what its users bought and said, as REGEN was made.
//!
//! ```text
//! cargo run --release --example build_narratives -- --data out/gift_cards --reviews Gift_Cards_5.json --dry-run
//! cargo run --release --example build_narratives -- --data out/gift_cards --reviews Gift_Cards_5.json \
//!     --base-url http://127.0.0.1:8000/v1 --model a-model --out out/gift_cards_written
//! ```

// Without the shared library, and so without libtorch.
#[macro_use]
#[expect(unreachable_pub, reason = "public in the shared library")]
#[path = "src/stdout.rs"]
mod stdout;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use regen_chat::{Endpoint, Journal, OpenAiClient, Prices, Retries, Sampling};
use regen_data::amazon::Reviews;
use regen_data::mapping::Mapping;
use regen_data::writer::{
    CasesConfig, NarrativeWriter, Paced, ReviewTexts, WriteReport, WriterConfig, estimate, writing_cases,
};
use regen_data::{DataCard, Dataset, NarrativeKind, OnError, prepared};

/// Writes the narratives of a prepared folder with a chat model, checks each, and writes a folder that has them.
///
/// Answers are kept in a journal, OUT/journal.jsonl: a run that was stopped goes on when it is started again, and pays for
/// nothing twice. The key of the endpoint comes from the environment alone.
#[derive(Parser)]
struct Arguments {
    /// Prepared folder (see prepare_data).
    #[arg(long)]
    data: PathBuf,
    /// The Amazon reviews that the folder was made from: what users said.
    #[arg(long, num_args = 1..)]
    reviews: Vec<PathBuf>,
    /// The column mapping that the folder was made from, with `review_text`.
    #[arg(long, conflicts_with = "reviews")]
    mapping: Option<PathBuf>,
    /// Kinds of text [default: all].
    #[arg(long, num_args = 1..)]
    kinds: Vec<NarrativeKind>,
    /// How many of the last purchases of each user get texts.
    #[arg(long, default_value_t = 1)]
    targets: usize,
    /// Write for the first users only, this many texts in all.
    #[arg(long)]
    limit: Option<usize>,

    /// Address of an OpenAI-compatible endpoint, up to and with its version.
    #[arg(long, default_value = "http://127.0.0.1:8000/v1")]
    base_url: String,
    /// The model's name there.
    #[arg(long, default_value = "model")]
    model: String,
    /// The environment variable that holds the endpoint's key, if it needs one.
    #[arg(long, default_value = "REGEN_CHAT_KEY")]
    key_variable: String,
    /// Limit of one attempt, in seconds.
    #[arg(long, default_value_t = 60)]
    timeout_secs: u64,
    /// Attempts at each question.
    #[arg(long, default_value_t = 5)]
    attempts: u32,
    /// Questions under way at once.
    #[arg(long, default_value = "4")]
    at_once: NonZeroUsize,
    /// Most questions in a minute.
    #[arg(long)]
    per_minute: Option<NonZeroUsize>,
    /// Temperature of the answers.
    #[arg(long, default_value_t = 0.7)]
    temperature: f64,
    /// Most tokens of an answer.
    #[arg(long, default_value_t = 600)]
    max_tokens: u32,
    /// Candidates of each critique, of which one is drawn.
    #[arg(long, default_value_t = 5)]
    candidates: usize,
    /// Draws critiques and jitter, and is sent to the endpoint.
    #[arg(long, default_value_t = 7)]
    seed: u64,

    /// Show the first prompt of each kind and what the run would take, and ask nothing.
    #[arg(long)]
    dry_run: bool,
    /// Price of a million tokens of prompts, in any currency.
    #[arg(long, requires = "completion_price")]
    prompt_price: Option<f64>,
    /// Price of a million tokens of answers.
    #[arg(long, requires = "prompt_price")]
    completion_price: Option<f64>,
    /// Folder for the data with its narratives.
    #[arg(long, default_value = "out/written")]
    out: PathBuf,
    /// Print one JSON object as the last line of stdout.
    #[arg(long)]
    json: bool,
    /// No progress on stderr.
    #[arg(short, long)]
    quiet: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut dataset = prepared::read(&arguments.data)?;
    let reviews = review_texts(&arguments, &dataset)?;
    println!("{} reviews of {} purchases", reviews.len(), dataset.interactions.len());
    println!("{} reviews left out because they look like instructions to a model", reviews.instructing());

    let mut wanted = CasesConfig { targets_per_user: arguments.targets, ..CasesConfig::default() };
    if !arguments.kinds.is_empty() {
        wanted.kinds.clone_from(&arguments.kinds);
    }
    let mut cases = writing_cases(&dataset, &wanted)?;
    cases.truncate(arguments.limit.unwrap_or(usize::MAX));

    let sampling = Sampling {
        temperature: arguments.temperature,
        top_p: 1.0,
        max_tokens: arguments.max_tokens,
        seed: Some(arguments.seed),
    };
    let mut config = WriterConfig::new(sampling, arguments.seed);
    config.critique_candidates = arguments.candidates;
    config.at_once = arguments.at_once;
    let client = OpenAiClient::new(Endpoint {
        base_url: arguments.base_url.clone(),
        model: arguments.model.clone(),
        api_key: std::env::var(&arguments.key_variable).ok(),
        timeout: Duration::from_secs(arguments.timeout_secs),
        retries: Retries { attempts: arguments.attempts, ..Retries::seeded(arguments.seed) },
    })?;
    let prices = arguments.prompt_price.zip(arguments.completion_price);
    let prices = prices.map(|(per_million_prompt, per_million_completion)| Prices {
        per_million_prompt,
        per_million_completion,
    });

    if arguments.dry_run {
        let writer = NarrativeWriter::new(client, &dataset, &reviews, config)?;
        for kind in &wanted.kinds {
            let Some(case) = cases.iter().find(|case| case.kind == *kind) else { continue };
            println!("\n== {kind}");
            for message in writer.request(case).messages {
                println!("-- {:?}\n{}", message.role, message.content);
            }
        }
        let requests = cases.iter().map(|case| (case, writer.request(case)));
        let estimate = estimate(requests, arguments.candidates, prices);
        println!(
            "\n{} questions, about {} tokens of prompts and at most {} of answers",
            estimate.questions, estimate.usage.prompt_tokens, estimate.usage.completion_tokens
        );
        if let Some(cost) = estimate.cost {
            println!("about {cost:.2}, without repairs");
        }
        if arguments.json {
            println!("{}", serde_json::to_string(&estimate)?);
        }
        return Ok(());
    }

    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot make {}", arguments.out.display()))?;
    let minute = Duration::from_secs(60);
    let interval = arguments.per_minute.map_or(Duration::ZERO, |count| minute.div_f64(count.get() as f64));
    let journal = Journal::open(Paced::new(client, interval), arguments.out.join("journal.jsonl"))?;
    let writer = NarrativeWriter::new(journal, &dataset, &reviews, config)?;
    static STOPPED: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| STOPPED.store(true, Ordering::SeqCst))?;
    let progress = if arguments.quiet { ProgressBar::hidden() } else { ProgressBar::new(cases.len() as u64) };
    progress.set_style(ProgressStyle::with_template("{pos}/{len} texts [{elapsed}, {eta} left] {bar:30}")?);
    let written = writer.write_all(&cases, |_, _| {
        progress.inc(1);
        !STOPPED.load(Ordering::SeqCst)
    });
    progress.finish();
    let tally = writer.model().tally();
    let (narratives, report) =
        written.context("the journal keeps what was answered: start again to go on")?;

    print_report(&report);
    println!("{:>8} tokens asked for, {} from the journal", tally.asked.total(), tally.replayed.total());
    if let Some(prices) = prices {
        println!("{:>8.2} is what this run costs", prices.cost(tally.asked));
    }
    anyhow::ensure!(!STOPPED.load(Ordering::SeqCst), "stopped: start again to go on");
    dataset.narratives.extend(narratives);
    prepared::write(&arguments.out, &dataset, Some(&DataCard::new(&dataset, None)))?;
    println!("\nprepared folder  {}", arguments.out.display());
    if arguments.json {
        println!(
            "{}",
            serde_json::json!({ "report": report, "tally": tally, "instructing_reviews": reviews.instructing() })
        );
    }
    Ok(())
}

fn review_texts(arguments: &Arguments, dataset: &Dataset) -> Result<ReviewTexts> {
    let mut texts = ReviewTexts::default();
    for path in &arguments.reviews {
        for review in Reviews::open(path, OnError::Skip)? {
            texts.add(dataset, &review?);
        }
    }
    if let Some(path) = &arguments.mapping {
        Mapping::load(path)?.reviews(|review| {
            texts.add(dataset, &review);
            Ok(())
        })?;
    }
    Ok(texts)
}

fn print_report(report: &WriteReport) {
    for (kind, count) in &report.written {
        println!("{count:>8} {kind}");
    }
    println!("{:>8} of them at the second attempt", report.repaired);
    for (reason, count) in &report.rejected {
        println!("{count:>8} rejected: {reason}");
    }
    println!("{:>8} unanswered", report.unanswered);
    for sample in &report.samples {
        println!("         e.g. {sample}");
    }
}
