//! Narratives from a trained narrator: for histories of your own, or for the held-out users of a prepared folder.
//!
//! ```text
//! cargo run --release --example write_narratives -- --narrator out/narrator --data out/places --limit 5
//! echo '{"kind": "purchase_reason", "history": ["12", "7"], "target": "31"}' |
//!     cargo run --release --example write_narratives -- --narrator out/narrator --requests -
//! ```

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::builder::RangedU64ValueParser;
use clap::parser::ValueSource;
use clap::{ArgGroup, CommandFactory, FromArgMatches, Parser, ValueEnum};
use regen_data::{HistoryConfig, Part, examples, prepared};
use regen_examples::arms::detail;
use regen_examples::asked::{Asked, KEYS};
use regen_examples::cli::{Common, Session, at_least_one, wrong_usage};
use regen_examples::drawn::{Agreement, Drawing};
use regen_examples::encoder;
use regen_examples::passages::Passages;
use regen_examples::pipeline::{self, Catalogue};
use regen_examples::print::reader_gone;
use regen_examples::println;
use regen_examples::requests::Requests;
use regen_examples::review_encoder;
use regen_examples::run_log::peak_rss_bytes;
use regen_examples::usage::{Rule, unread};
use regen_examples::writing_args::{Cache, Memory, RoundingArgs, Settings, WritingArgs};
use regen_examples::written;
use regen_lm::{BeamOptions, Ending, GenerateOptions, Sampling};
use regen_metrics::{Chrf, Rouge};
use regen_narrator::{Narrative, NarrativeWriter, Narrator, Request, TablePlace};
use regen_semantic::hash_model;
use regen_torch::Placement;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tch::Device;

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
    /// Folder of the sentence encoder that made the vectors of reviews in --requests: refused unless it is the one that the
    /// narrator was trained with.
    #[arg(long, value_name = "DIR", requires = "requests")]
    review_encoder: Option<PathBuf>,
    /// Prepared folder with split.json: write for its test users, with the reference beside each narrative.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Write this many at most.
    #[arg(long, value_parser = at_least_one())]
    limit: Option<usize>,
    /// File for the narratives [default: stdout]; lines that an earlier run left there are kept and not written again. A file
    /// beside it, of the same name and .run.json, says what they are written with: lines of another narrator, or of other
    /// options or requests, are refused.
    #[arg(long)]
    to: Option<PathBuf>,
    /// Narratives written at once.
    #[arg(long, default_value_t = 32, value_parser = at_least_one())]
    batch: usize,
    #[command(flatten)]
    writing: WritingArgs,
    #[command(flatten)]
    rounding: RoundingArgs,
    /// Print each narrative as plain text while it is written, one request after the other, instead of JSON.
    #[arg(long, conflicts_with_all = ["to", "batch"])]
    stream: bool,
    /// Draw this many narratives of each request and keep the one that the others agree with most.
    #[arg(long, conflicts_with = "stream",
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AgreeBy {
    /// The longest common subsequence of words.
    RougeL,
    /// Characters that follow one another.
    Chrf,
    /// The meaning, as a sentence encoder sees it; needs --encoder.
    Embeddings,
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
    if matches.value_source("out") == Some(ValueSource::CommandLine) {
        wrong_usage::<Args>("narratives go to --to FILE, or to stdout: no folder --out is written");
    }
    let session = args.common.start()?;
    let device = session.placement.device;
    if let Some(flag) = args.rounding.given().filter(|_| device != Device::Cpu) {
        wrong_usage::<Args>(&format!(
            "{flag} is for writing on a processor: give --device cpu, or leave it out"
        ));
    }
    ensure!(
        args.narrator.join("narrator.json").exists(),
        "{} is no narrator: give --narrator a folder that train_narrator wrote",
        args.narrator.display()
    );
    let mut narrator = match &args.lm {
        Some(lm) => Narrator::open_on(&args.narrator, lm, device, TablePlace::Disk)
            .with_context(|| format!("--lm {}", lm.display()))?,
        None => Narrator::open_stored(&args.narrator, device)?,
    };
    let mut asked = match (&args.requests, &args.data) {
        (Some(path), _) => read_requests(path, &session)?,
        (None, Some(folder)) => test_requests(folder, &narrator)?,
        (None, None) => unreachable!("clap asks for one of them"),
    };
    asked.truncate(args.limit.unwrap_or(usize::MAX));
    let reviews = asked.iter().flat_map(|asked| &asked.details).any(|detail| detail.review.is_some());
    review_encoder::check(&narrator, args.review_encoder.as_deref(), reviews, &session)?;
    let catalogue = Catalogue::new(narrator.item_ids())?;
    let requests = asked
        .iter()
        .map(|asked| asked.request(&narrator, &catalogue).with_context(|| asked.place.clone()))
        .collect::<Result<Vec<_>>>()?;

    let settings = args.writing.settings(&mut narrator, &args.narrator)?;
    let draws = [("--top-p", args.writing.top_p.is_some()), ("--candidates", args.candidates.is_some())];
    if let Some((flag, _)) = draws.iter().find(|(_, given)| *given && !settings.draws()) {
        wrong_usage::<Args>(&format!(
            "{flag} is for narratives that are drawn, and these are not: give --temperature"
        ));
    }
    if args.stream && settings.beam.is_some() {
        wrong_usage::<Args>(
            "--stream shows narratives while they are written, and the language model's folder wants the best of several beams: \
             give --greedy",
        );
    }
    let options = settings.options(args.common.seed);
    session.note(&format!("writing: {}", settings.in_words()));
    if let Err(error) = narrator.folder_writing() {
        session.note(&format!("the language model's folder is not asked how to write: {error}"));
    }
    let (mut out, done): (Box<dyn Write>, usize) = match &args.to {
        Some(path) => {
            let asked = asked.iter().map(as_written).collect::<Result<Vec<_>>>()?;
            let (file, done) = written::go_on(path, &account(&args, &settings)?, &asked)?;
            (Box::new(file), done)
        }
        None => (Box::new(std::io::stdout().lock()), 0),
    };
    let writer =
        narrator.writer_with(args.rounding.weights.storage())?.with_cache(args.rounding.cache.storage());
    if let Some(flag) = args.rounding.given().filter(|_| !writer.is_packed()) {
        bail!("{flag} needs a processor with AVX2, or nothing changes: leave it out");
    }
    let candidates = args.candidates.unwrap_or(1);
    let at_once = if args.stream { 1 } else { args.batch.min(requests.len().saturating_mul(candidates)) };
    let beams = settings.beam.map_or(1, |beam| beam.beams);
    let memory = Memory {
        weights: writer.packed_bytes(),
        cache: writer.cache_bytes(&requests, &options, at_once.saturating_mul(beams))?,
    };
    session.note(&memory.in_words(at_once));
    let started = Instant::now();
    let told = |written: usize| -> Result<()> {
        if args.common.json {
            let seconds = started.elapsed().as_secs_f64();
            println!("{}", summary(&args, &settings, &memory, written, seconds));
        }
        Ok(())
    };
    if args.stream {
        stream(&writer, &asked, &requests, &options, &session)?;
        return told(requests.len());
    }
    let agreement = agreement(&args, session.placement)?;
    let bar = session.bar("write", requests.len() as u64);
    bar.set_position(done as u64);
    // A block is on disk before the next begins, so that stopping loses at most one.
    for start in (done..requests.len()).step_by(args.batch.max(1)) {
        let block = start..requests.len().min(start + args.batch.max(1));
        let (own, flow) = (&requests[block.clone()], &mut || session.flow());
        let found = match &settings.beam {
            Some(beam) => best_of_beams(&writer, own, &options, beam, args.batch, flow)?,
            None => {
                let drawing = Drawing { options: &options, batch: args.batch, candidates };
                drawing.draw(&writer, own, block.start, &agreement, flow)?
            }
        };
        let Some(written) = found else { bail!("stopped by the user during: {STOPPED}") };
        let mut lines = String::new();
        for (asked, narrative) in asked[block.clone()].iter().zip(&written) {
            let cut_off = narrative.ending == Ending::Length;
            let narrative = narrative.text.as_str();
            lines.push_str(&serde_json::to_string(&Written { asked, narrative, cut_off })?);
            lines.push('\n');
        }
        if reader_gone(out.write_all(lines.as_bytes()).and_then(|()| out.flush()))? {
            return Ok(());
        }
        bar.set_position(block.end as u64);
        session.check(STOPPED)?;
    }
    bar.finish();
    drop(out);
    if let Some(path) = &args.to {
        session.note(&format!(
            "{} narratives in {}, {done} of them there before",
            requests.len(),
            path.display()
        ));
    }
    told(requests.len() - done)
}

/// The best narrative of each request that a beam search finds; `None` where `flow` broke.
fn best_of_beams(
    writer: &NarrativeWriter<'_>,
    requests: &[Request],
    options: &GenerateOptions,
    beam: &BeamOptions,
    batch: usize,
    flow: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Option<Vec<Narrative>>> {
    let found = writer.search(requests, options, beam, batch, &mut |_| flow())?;
    Ok(found.into_iter().map(|found| found?.into_iter().next()).collect())
}

/// The last line of stdout with --json.
fn summary(args: &Args, settings: &Settings, memory: &Memory, written: usize, seconds: f64) -> Value {
    json!({
        "written": written,
        "seconds": seconds,
        "settings": settings,
        "weights": args.rounding.weights.name(),
        "cache": args.rounding.cache.name(),
        "weights_bytes": memory.weights,
        "cache_bytes": memory.cache,
        "peak_rss_bytes": peak_rss_bytes(),
    })
}

/// By what candidates agree.
fn agreement(args: &Args, placement: Placement) -> Result<Agreement> {
    Ok(match (args.agree_by.unwrap_or(AgreeBy::RougeL), &args.encoder) {
        (AgreeBy::Embeddings, Some(folder)) => {
            Agreement::Embeddings(Box::new(encoder::load(folder, "--encoder", placement)?))
        }
        (AgreeBy::Chrf, _) => Agreement::Chrf(Chrf::default()),
        _ => Agreement::RougeL(Rouge::l()),
    })
}

/// Everything beside the requests that decides what is written. What is as it would be without being asked for is null.
fn account(args: &Args, settings: &Settings) -> Result<Map<String, Value>> {
    // It holds fingerprints of all other parts, and of a language model that is elsewhere.
    let manifest = args.narrator.join("narrator.json");
    let text =
        std::fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let agree_by = args.candidates.map(|_| args.agree_by.unwrap_or(AgreeBy::RougeL));
    let encoder = args.encoder.as_deref().filter(|_| agree_by == Some(AgreeBy::Embeddings));
    let (temperature, top_k, top_p, min_p) = match settings.sampling.value {
        Sampling::Greedy => (None, None, None, None),
        Sampling::Sample { temperature, top_k, top_p, min_p } => (Some(temperature), top_k, top_p, min_p),
    };
    let account = json!({
        "narrator": serde_json::from_str::<Value>(&text)?,
        "max_tokens": settings.max_tokens.value,
        "no_repeat_ngram": settings.no_repeat_ngram.value,
        "repetition_penalty": Some(settings.repetition_penalty.value).filter(|penalty| *penalty != 1.0),
        "weights": args.rounding.weights.name(),
        "cache": Some(args.rounding.cache).filter(|cache| *cache != Cache::F32).map(Cache::name),
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "beam": settings.beam,
        "stop": Some(&settings.stop).filter(|stop| !stop.is_empty()),
        "candidates": args.candidates,
        "agree_by": agree_by.map(|by| format!("{by:?}")),
        "encoder_sha256": encoder.map(hash_model).transpose()?,
        // Where nothing is drawn, any seed gives the same.
        "seed": Some(args.common.seed).filter(|_| settings.draws()),
    });
    let Value::Object(account) = account else { unreachable!("an object was written down") };
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
        if reader_gone(writeln!(out, "— {}{user}{target}", asked.kind))? {
            return Ok(());
        }
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
        if reader_gone(failed.map_or_else(|| writeln!(out, "\n"), Err))? {
            return Ok(());
        }
        session.check("writing")?;
    }
    Ok(())
}

fn read_requests(path: &Path, session: &Session) -> Result<Vec<Asked>> {
    let requests = Requests::<Asked>::read(path, &KEYS)?;
    if let Some(told) = requests.unread_in_words() {
        session.note(&format!("warning: {told}"));
    }
    if requests.lines.is_empty() {
        session.note("no requests, so nothing is written");
    }
    Ok(requests.lines.into_iter().map(|(place, asked)| Asked { place, ..asked }).collect())
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
        item: example.target.filter(|_| !vectors).map(item),
        reference: Some(example.reference.clone()),
        place: format!("a test narrative of user {:?}", dataset.users.name(example.user)),
    };
    let requests: Vec<Asked> = split.select(&examples, Part::Test).into_iter().map(asked).collect();
    if requests.is_empty() {
        bail!("{} has no narratives of test users", folder.display());
    }
    Ok(requests)
}
