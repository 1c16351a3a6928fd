//! Scores texts against references: every metric with its interval and signature, claims against a catalogue, a chat model as
//! rater, two systems with tests.
//!
//! ```text
//! cargo run --release --example evaluate -- --pairs ours.jsonl
//! cargo run --release --example evaluate -- --pairs ours.jsonl --against baseline.jsonl --json
//! cargo run --release --example evaluate -- --pairs ours.jsonl --catalogue items.jsonl --claims claims.jsonl
//! ```

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use regen_chat::Prices;
use regen_examples::evaluation::{
    BertScoreChoice, Catalogue, FieldTrust, MetricName, RaterChoice, Run, Settings, Words, bertscore_row,
    correct_for_many_questions, print_table, rater_rows, read, same_references, score, similarity_row,
    veracity_row, write_lines, write_segments,
};
use regen_examples::println;
use regen_metrics::BleuTokenizer;
use regen_metrics::rubric::NarrativeKind;
use regen_torch::{DeviceChoice, Placement, Precision};
use serde_json::{Map, Value};

/// Scores hypotheses against references. Input is one JSON object a line, with `hyp` (a text) and `ref` (a text) or
/// `refs` (a list of texts). Grounding and the rater also read `item` (an id of the catalogue), `history` (a list of ids or
/// titles), and the rater `kind`, `item_text` and `context`; other keys are ignored. Lines of `write_narratives --data` and of the
/// quickstart will do: `narrative` or `hypothesis`, `reference`, `target`.
///
/// BLEU, chrF and TER are on sacrebleu's scale of 0 to 100, the rater's scores on 1 to 5, all others on 0 to 1; TER is the
/// only one where lower is better. With --against, p values ask whether the two systems differ; `p (Holm)` is corrected
/// for the number of metrics asked.
#[derive(Debug, Parser)]
#[command(name = "evaluate")]
struct Args {
    /// Texts of the system to score.
    #[arg(long)]
    pairs: PathBuf,
    /// Texts of another system on the same references, to compare with.
    #[arg(long)]
    against: Option<PathBuf>,
    /// Write the values of each pair here, one JSON object a line in the order of the input. BLEU of a single pair
    /// has effective order, as in sacrebleu.
    #[arg(long)]
    segments: Option<PathBuf>,
    /// What to compute, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = MetricName::value_variants().to_vec())]
    metrics: Vec<MetricName>,
    /// How BLEU and METEOR cut words.
    #[arg(long, default_value = "13a", value_parser = parse_tokenizer)]
    tokenize: BleuTokenizer,
    /// Folder of a sentence encoder: adds semantic_similarity, the cosine of its embeddings, of several references the
    /// nearest.
    #[arg(long)]
    encoder: Option<PathBuf>,
    /// Adds bertscore: how well the encoder's tokens of one text match those of the other. Needs --encoder.
    #[arg(long, requires = "encoder")]
    bertscore: bool,
    /// The layer whose vectors BERTScore compares, from 0, the embeddings [default: the last].
    #[arg(long, value_name = "N", requires = "bertscore")]
    bertscore_layer: Option<usize>,
    /// In BERTScore, tokens weigh by how rare they are in the references.
    #[arg(long, requires = "bertscore")]
    idf: bool,
    /// Where the encoder computes: auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Ignore case in BLEU and chrF; the others always do.
    #[arg(long)]
    lowercase: bool,
    /// Stem words for ROUGE.
    #[arg(long)]
    stemmer: bool,
    /// A prepared folder, or items as JSON lines with `item` and what is known of `title, brand, colours, sizes, count, price`:
    /// adds veracity, the share of the texts' checkable claims that are true.
    #[arg(long)]
    catalogue: Option<PathBuf>,
    /// How far fields are relied upon: an authoritative field contradicts what differs from it, an indicative one can only
    /// support. Default: history indicative, all others authoritative.
    #[arg(long, value_name = "FIELD=LEVEL,…", default_value = "")]
    trust: FieldTrust,
    /// Write every claim with its span and verdict here, one JSON object a line.
    #[arg(long, requires = "catalogue")]
    claims: Option<PathBuf>,
    #[command(flatten)]
    rater: RaterArgs,
    /// Key of the input whose values group the pairs, such as `user`: intervals and tests then draw groups.
    #[arg(long, value_name = "KEY")]
    group_by: Option<String>,
    /// Resamples of each interval, and trials of each test.
    #[arg(long, default_value_t = 1000)]
    resamples: usize,
    /// Share of the resampled values that an interval encloses.
    #[arg(long, default_value_t = 0.95, value_parser = parse_confidence)]
    confidence: f64,
    /// Seed of the resampling, and of the rater's questions.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Threads to use [default: all cores]; results do not depend on them. As many questions are asked at once.
    #[arg(long)]
    threads: Option<usize>,
    /// Print one JSON object as the last line of stdout.
    #[arg(long)]
    json: bool,
    /// No table, only --json.
    #[arg(short, long)]
    quiet: bool,
}

/// A chat model that judges the texts by rubrics.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Rater")]
struct RaterArgs {
    /// OpenAI-compatible endpoint, up to and with its version, such as http://127.0.0.1:8000/v1: adds rater_ATTRIBUTE.
    #[arg(long = "rater", value_name = "URL", requires = "rater_model")]
    rater_url: Option<String>,
    /// The model's name at the endpoint.
    #[arg(long)]
    rater_model: Option<String>,
    /// Name of the environment variable that holds the endpoint's key.
    #[arg(long, value_name = "VARIABLE")]
    rater_key: Option<String>,
    /// Answers, so that a run that was stopped goes on without asking twice.
    #[arg(long, default_value = "rater.jsonl")]
    rater_journal: PathBuf,
    /// How often each question is asked; their variance is part of the result.
    #[arg(long, default_value_t = 3)]
    rater_samples: u32,
    /// Ask which system is better, in both orders, instead of scoring each: adds rater_prefers_ATTRIBUTE, above 0.5 where
    /// --pairs is preferred to --against.
    #[arg(long, requires = "against")]
    rater_pairwise: bool,
    /// Kind of the texts whose line has no `kind`.
    #[arg(long, default_value = "endorsement_short", value_parser = parse_kind)]
    rater_kind: NarrativeKind,
    /// What a million tokens of questions and of answers cost.
    #[arg(long, value_name = "IN,OUT", value_parser = parse_prices)]
    rater_prices: Option<Prices>,
    /// Count what the rater would be asked and about what it would cost, and ask nothing.
    #[arg(long, requires = "rater_url")]
    dry_run: bool,
}

fn parse_tokenizer(name: &str) -> Result<BleuTokenizer, String> {
    serde_json::from_value(Value::from(name)).map_err(|_| "expected 13a, intl, char, zh or none".to_owned())
}

fn parse_confidence(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("not a share between 0 and 1, as in 0.95".to_owned()),
    }
}

fn parse_kind(name: &str) -> Result<NarrativeKind, String> {
    serde_json::from_value(Value::from(name)).map_err(|error| error.to_string())
}

fn parse_prices(text: &str) -> Result<Prices, String> {
    let parsed = text.split_once(',').and_then(|(one, other)| Some((one.parse().ok()?, other.parse().ok()?)));
    let (per_million_prompt, per_million_completion) = parsed.ok_or("expected two numbers, as in 0.5,1.5")?;
    Ok(Prices { per_million_prompt, per_million_completion })
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let ours = read(&args.pairs, args.group_by.as_deref())?;
    let theirs = args.against.as_deref().map(|path| read(path, args.group_by.as_deref())).transpose()?;
    if let (Some(theirs), Some(path)) = (&theirs, &args.against) {
        same_references(&args.pairs, &ours, path, theirs)?;
    }
    let settings = Settings { resamples: args.resamples, confidence: args.confidence, seed: args.seed };
    let run = Run { settings, ours: &ours, theirs: theirs.as_ref() };
    let words = Words { tokenizer: args.tokenize, lowercase: args.lowercase, stemmer: args.stemmer };
    let mut rows = Vec::new();
    for &metric in &args.metrics {
        rows.push(score(metric, words, run).with_context(|| format!("{metric}"))?);
    }
    if let Some(folder) = &args.encoder {
        let placement = Placement::choose(args.device, Precision::F32)?;
        rows.push(similarity_row(folder, placement, run)?);
        if args.bertscore {
            let choice = BertScoreChoice { encoder: folder, layer: args.bertscore_layer, idf: args.idf };
            rows.push(bertscore_row(choice, placement, run)?);
        }
    }
    let catalogue = args.catalogue.as_deref().map(Catalogue::read).transpose()?;
    if let Some(catalogue) = &catalogue {
        let (row, claims) = veracity_row(catalogue, args.trust, run)?;
        rows.push(row);
        if let Some(path) = &args.claims {
            write_lines(path, &claims)?;
        }
    }
    let mut object = Map::new();
    if let Some(choice) = rater(&args.rater)? {
        let (rated, spent) = rater_rows(&choice, &catalogue.unwrap_or_default(), run)?;
        rows.extend(rated);
        if !args.quiet {
            // Of a dry run this is the result.
            match args.rater.dry_run {
                true => println!("rater: {spent}"),
                false => eprintln!("rater: {spent}"),
            }
        }
        object.insert("rater".into(), spent);
    }
    correct_for_many_questions(&mut rows);
    if let Some(path) = &args.segments {
        write_segments(path, &rows, ours.hypotheses.len())?;
    }
    if !args.quiet {
        print_table(&rows, ours.hypotheses.len());
    }
    if args.json {
        object.extend(rows.into_iter().map(|row| (row.name, Value::Object(row.json))));
        println!("{}", Value::Object(object));
    }
    Ok(())
}

fn rater(args: &RaterArgs) -> Result<Option<RaterChoice>> {
    let (Some(url), Some(model)) = (&args.rater_url, &args.rater_model) else { return Ok(None) };
    let key = |name: &String| std::env::var(name).with_context(|| format!("no key in the variable {name}"));
    Ok(Some(RaterChoice {
        url: url.clone(),
        model: model.clone(),
        api_key: args.rater_key.as_ref().map(key).transpose()?,
        journal: args.rater_journal.clone(),
        samples: args.rater_samples,
        pairwise: args.rater_pairwise,
        kind: args.rater_kind,
        prices: args.rater_prices,
        dry_run: args.dry_run,
    }))
}
