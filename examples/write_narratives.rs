//! Narratives from a trained narrator: for histories of your own, or for the held-out users of a prepared folder.
//!
//! ```text
//! cargo run --release --example write_narratives -- --narrator out/narrator --data out/places --limit 5
//! echo '{"kind": "purchase_reason", "history": ["12", "7"], "target": "31"}' |
//!     cargo run --release --example write_narratives -- --narrator out/narrator --requests -
//! ```

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::builder::RangedU64ValueParser;
use clap::{ArgGroup, CommandFactory, FromArgMatches, Parser, ValueEnum};
use regen_data::{HistoryConfig, Part, examples, prepared};
use regen_examples::arms::detail;
use regen_examples::cli::{Common, Session, at_least_one, positive, probability, wrong_usage};
use regen_examples::drawn::{Agreement, Drawing};
use regen_examples::passages::Passages;
use regen_examples::pipeline::{self, Catalogue};
use regen_examples::usage::{Rule, unread};
use regen_examples::written;
use regen_lm::{Ending, GenerateOptions, Sampling, Storage};
use regen_metrics::{Chrf, Rouge};
use regen_narrator::{Detail, NarrativeWriter, Narrator, Request, TablePlace};
use regen_semantic::{SentenceEncoder, hash_model};
use regen_torch::Placement;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a run that is stopped says of itself.
const STOPPED: &str = "writing; run it again with the same --to to go on";

/// Writes one JSON object a line: the request and its narrative.
#[derive(Debug, Parser)]
#[command(name = "write_narratives", group = ArgGroup::new("what").required(true).args(["requests", "data"]))]
struct Args {
    /// Bundle of a trained narrator.
    #[arg(long)]
    narrator: PathBuf,
    /// Folder of the language model, for a bundle that names one that is elsewhere.
    #[arg(long)]
    lm: Option<PathBuf>,
    /// Requests, one JSON object a line: `kind`, `history` (item ids, oldest first), `target` (an item id or null),
    /// `passage` (phrases to read, for a narrator with text), `details` (of each purchase: `rating` in stars, `days` before the
    /// request, `review` as a vector of numbers), and `user` if you like; - is stdin.
    #[arg(long)]
    requests: Option<PathBuf>,
    /// Prepared folder with split.json: write for its test users, with the reference beside each narrative.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Write this many at most.
    #[arg(long)]
    limit: Option<usize>,
    /// File for the narratives [default: stdout]; lines that an earlier run left there are kept and not written again. A file
    /// beside it, of the same name and .run.json, says what they are written with: lines of another narrator, or of other
    /// options or requests, are refused.
    #[arg(long)]
    to: Option<PathBuf>,
    /// Narratives written at once.
    #[arg(long, default_value_t = 32, value_parser = at_least_one())]
    batch: usize,
    /// Longest narrative in tokens [default: as in training].
    #[arg(long, value_parser = at_least_one())]
    max_tokens: Option<usize>,
    /// A narrative never holds the same run of this many tokens twice; 0 allows it [default: as the bundle says].
    #[arg(long)]
    no_repeat_ngram: Option<usize>,
    /// How the language model's weights are kept while it writes.
    #[arg(long, value_enum, default_value = "f32")]
    weights: Weights,
    /// Print each narrative as plain text while it is written, one request after the other, instead of JSON.
    #[arg(long, conflicts_with_all = ["to", "batch"])]
    stream: bool,
    /// Draw from the model's distribution at this temperature instead of taking the most probable token.
    #[arg(long, value_parser = positive)]
    temperature: Option<f64>,
    /// Draw only from the fewest tokens whose probabilities come to this.
    #[arg(long, requires = "temperature", value_parser = probability)]
    top_p: Option<f64>,
    /// Draw this many narratives of each request and keep the one that the others agree with most.
    #[arg(long, requires = "temperature", conflicts_with = "stream",
          value_parser = RangedU64ValueParser::<usize>::new().range(2..=1024))]
    candidates: Option<usize>,
    /// What they agree by [default: rouge-l].
    #[arg(long, value_enum, requires = "candidates")]
    agree_by: Option<AgreeBy>,
    /// Sentence-transformers folder for --agree-by embeddings.
    #[arg(long, env = "REGEN_ENCODER")]
    encoder: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Weights {
    /// As they are.
    F32,
    /// Half the memory; faster where the processor multiplies bfloat16.
    Bf16,
    /// A quarter of the memory.
    Int8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AgreeBy {
    /// The longest common subsequence of words.
    RougeL,
    /// Characters that follow one another.
    Chrf,
    /// The meaning, as a sentence encoder sees it; needs --encoder.
    Embeddings,
}

/// One line of requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Asked {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    kind: String,
    #[serde(default)]
    history: Vec<String>,
    #[serde(default)]
    target: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    passage: Vec<String>,
    /// Of each purchase: `rating` in stars, `days` before the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

/// One line of narratives.
#[derive(Debug, Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    asked: &'a Asked,
    narrative: &'a str,
    /// Whether it came to --max-tokens before its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut_off: bool,
}

fn main() -> Result<()> {
    let matches = Args::command().get_matches();
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let by_embeddings = args.agree_by == Some(AgreeBy::Embeddings);
    let of_embeddings = Rule { flags: &["encoder"], read: by_embeddings, with: "--agree-by embeddings" };
    if let Some(reason) = unread(&matches, &[of_embeddings]) {
        wrong_usage::<Args>(&reason);
    }
    if by_embeddings && args.encoder.is_none() {
        wrong_usage::<Args>("--agree-by embeddings needs --encoder");
    }
    let session = args.common.start()?;
    let device = session.placement.device;
    let narrator = match &args.lm {
        Some(lm) => Narrator::open_on(&args.narrator, lm, device, TablePlace::Disk)?,
        None => Narrator::open_stored(&args.narrator, device)?,
    };
    let mut asked = match (&args.requests, &args.data) {
        (Some(path), _) => read_requests(path)?,
        (None, Some(folder)) => test_requests(folder, &narrator)?,
        (None, None) => unreachable!("clap asks for one of them"),
    };
    asked.truncate(args.limit.unwrap_or(usize::MAX));
    let catalogue = Catalogue::new(narrator.item_ids())?;
    let requests = asked
        .iter()
        .enumerate()
        .map(|(index, asked)| request(&catalogue, asked).with_context(|| format!("request {}", index + 1)))
        .collect::<Result<Vec<_>>>()?;

    let usual = narrator.generate_options();
    let options = GenerateOptions {
        max_new_tokens: args.max_tokens.unwrap_or(usual.max_new_tokens),
        no_repeat_ngram: args.no_repeat_ngram.unwrap_or(usual.no_repeat_ngram),
        sampling: args.temperature.map_or(Sampling::Greedy, |temperature| Sampling::Sample {
            temperature,
            top_k: None,
            top_p: args.top_p,
            min_p: None,
        }),
        seed: args.common.seed,
        ..usual
    };
    let (mut out, done): (Box<dyn Write>, usize) = match &args.to {
        Some(path) => {
            let asked = asked.iter().map(as_written).collect::<Result<Vec<_>>>()?;
            let (file, done) = written::go_on(path, &account(&args, &options)?, &asked)?;
            (Box::new(file), done)
        }
        None => (Box::new(std::io::stdout().lock()), 0),
    };
    let writer = narrator.writer_with(match args.weights {
        Weights::F32 => Storage::F32,
        Weights::Bf16 => Storage::Bf16,
        Weights::Int8 => Storage::Int8,
    })?;
    if args.stream {
        return stream(&writer, &asked, &requests, &options, &session);
    }
    let agreement = agreement(&args, session.placement)?;
    let bar = session.bar("write", requests.len() as u64);
    bar.set_position(done as u64);
    // A block is on disk before the next begins, so that stopping loses at most one.
    for start in (done..requests.len()).step_by(args.batch.max(1)) {
        let block = start..requests.len().min(start + args.batch.max(1));
        let drawing =
            Drawing { options: &options, batch: args.batch, candidates: args.candidates.unwrap_or(1) };
        let flow = &mut || session.flow();
        let drawn = drawing.draw(&writer, &requests[block.clone()], block.start, &agreement, flow)?;
        let Some(written) = drawn else { bail!("stopped by the user during: {STOPPED}") };
        for (asked, narrative) in asked[block.clone()].iter().zip(&written) {
            let cut_off = narrative.ending == Ending::Length;
            let narrative = narrative.text.as_str();
            writeln!(out, "{}", serde_json::to_string(&Written { asked, narrative, cut_off })?)?;
        }
        out.flush()?;
        bar.set_position(block.end as u64);
        session.check(STOPPED)?;
    }
    bar.finish();
    Ok(())
}

/// By what candidates agree.
fn agreement(args: &Args, placement: Placement) -> Result<Agreement> {
    Ok(match (args.agree_by.unwrap_or(AgreeBy::RougeL), &args.encoder) {
        (AgreeBy::Embeddings, Some(folder)) => {
            Agreement::Embeddings(Box::new(SentenceEncoder::load(folder, placement)?))
        }
        (AgreeBy::Chrf, _) => Agreement::Chrf(Chrf::default()),
        _ => Agreement::RougeL(Rouge::l()),
    })
}

/// Everything beside the requests that decides what is written.
fn account(args: &Args, options: &GenerateOptions) -> Result<Map<String, Value>> {
    // It holds fingerprints of all other parts, and of a language model that is elsewhere.
    let manifest = args.narrator.join("narrator.json");
    let text =
        std::fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let mut account = Map::new();
    account.insert("narrator".into(), serde_json::from_str(&text)?);
    account.insert("max_tokens".into(), options.max_new_tokens.into());
    account.insert("no_repeat_ngram".into(), options.no_repeat_ngram.into());
    account.insert("weights".into(), format!("{:?}", args.weights).to_lowercase().into());
    account.insert("temperature".into(), args.temperature.into());
    account.insert("top_p".into(), args.top_p.into());
    account.insert("candidates".into(), args.candidates.into());
    let agree_by = args.candidates.map(|_| args.agree_by.unwrap_or(AgreeBy::RougeL));
    account.insert("agree_by".into(), agree_by.map(|by| format!("{by:?}")).into());
    let encoder = args.encoder.as_deref().filter(|_| agree_by == Some(AgreeBy::Embeddings));
    account.insert("encoder_sha256".into(), encoder.map(hash_model).transpose()?.into());
    // Where nothing is drawn, any seed gives the same.
    account.insert("seed".into(), args.temperature.map(|_| options.seed).into());
    Ok(account)
}

/// A request as its line has it.
fn as_written(asked: &Asked) -> Result<Value> {
    Ok(serde_json::from_str(&serde_json::to_string(asked)?)?)
}

/// Narratives to look at while they come into being.
fn stream(
    writer: &NarrativeWriter<'_>,
    asked: &[Asked],
    requests: &[Request],
    options: &GenerateOptions,
    session: &Session,
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for (row, (asked, request)) in asked.iter().zip(requests).enumerate() {
        let user = asked.user.as_deref().map(|user| format!(", user {user}")).unwrap_or_default();
        let target = asked.target.as_deref().map(|item| format!(", item {item}")).unwrap_or_default();
        writeln!(out, "— {}{user}{target}", asked.kind)?;
        let options = GenerateOptions { row_streams: Some(vec![row as u64]), ..options.clone() };
        let mut failed = None;
        writer.stream(std::slice::from_ref(request), &options, 1, &mut |_, piece| match out
            .write_all(piece.as_bytes())
            .and_then(|()| out.flush())
        {
            Ok(()) => session.flow(),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        if let Some(error) = failed {
            return Err(error).context("cannot write the narrative");
        }
        writeln!(out, "\n")?;
        session.check("writing")?;
    }
    Ok(())
}

fn request(catalogue: &Catalogue, asked: &Asked) -> Result<Request> {
    let row = |id: &String| {
        catalogue
            .row(id)
            .with_context(|| format!("item {id:?} is none of those the narrator was trained with"))
    };
    Ok(Request {
        kind: asked.kind.clone(),
        history: asked.history.iter().map(row).collect::<Result<_>>()?,
        target: asked.target.as_ref().map(row).transpose()?,
        passage: asked.passage.clone(),
        details: asked.details.clone(),
    })
}

fn read_requests(path: &Path) -> Result<Vec<Asked>> {
    let reader: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path).with_context(|| format!("cannot read {}", path.display()))?))
    };
    let mut requests = Vec::new();
    for (index, line) in reader.lines().enumerate() {
        let place = || format!("{}, line {}", path.display(), index + 1);
        let line = line.with_context(place)?;
        if !line.trim().is_empty() {
            requests.push(serde_json::from_str(&line).with_context(place)?);
        }
    }
    Ok(requests)
}

/// The narratives of the test users, as requests with references.
fn test_requests(folder: &Path, narrator: &Narrator) -> Result<Vec<Asked>> {
    let dataset = prepared::read(folder)?;
    let split = pipeline::read_split(folder, &dataset)?;
    if let Some(from) = narrator.provenance() {
        ensure!(
            from.split == split.hash(),
            "the narrator was trained on {} divided as {}, and {} is divided as {}: test users of the one may be training users of \
             the other. Use the folder that it was trained on, or --requests",
            from.data,
            from.split,
            folder.display(),
            split.hash()
        );
    }
    let narrator = narrator.config();
    ensure!(
        narrator.adapter.is_none_or(|adapter| adapter.details.review.is_none()),
        "the narrator reads what users wrote about their purchases, which {} does not hold: give requests by --requests, with the \
         vector of each `review` among `details`",
        folder.display()
    );
    // As in training: what is longer would be cut, but the user would be folded in from all of it.
    let examples = examples(&dataset, &HistoryConfig { max_history: narrator.max_history })?;
    let passages = Passages::learn(&dataset, &split, &examples);
    // A narrator without an adapter reads no items, one without passages no text.
    let item = |item| dataset.items.name(item).to_owned();
    let vectors = narrator.adapter.is_some();
    let asked = |example: &regen_data::Example| Asked {
        user: Some(dataset.users.name(example.user).to_owned()),
        kind: example.kind.as_str().to_owned(),
        history: example.history.iter().filter(|_| vectors).map(|&one| item(one)).collect(),
        target: example.target.filter(|_| vectors).map(item),
        passage: narrator.passage.as_ref().map(|_| passages.of(example)).unwrap_or_default(),
        details: match &narrator.adapter {
            Some(adapter) if !adapter.details.is_none() => example.details.iter().map(detail).collect(),
            _ => Vec::new(),
        },
        reference: Some(example.reference.clone()),
    };
    let requests: Vec<Asked> = split.select(&examples, Part::Test).into_iter().map(asked).collect();
    if requests.is_empty() {
        bail!("{} has no narratives of test users", folder.display());
    }
    Ok(requests)
}
