//! People judge narratives blind on a local page; answers lie in SQLite, results follow at any time.
//!
//! ```text
//! cargo run --release --example human_eval -- --narratives out/narratives.jsonl --arms cf,fusion --cases 40 --store study.sqlite
//! cargo run --release --example human_eval -- --store study.sqlite --results
//! ```

// Without the shared library, and so without libtorch.
#[macro_use]
#[expect(unreachable_pub, reason = "public in the shared library")]
#[path = "src/stdout.rs"]
mod stdout;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use regen_human::{Design, Server, Store, Study, StudyConfig, Texts, evaluate, export};
use regen_metrics::Bootstrap;
use regen_metrics::rubric::Rubric;

/// Serves a page on which raters judge narratives, without knowing which system wrote what. Each rater enters a name; the
/// same name goes on where it stopped. The study is kept in --store whole: later runs need nothing else.
///
/// Raters judge by what the input shows of a case: `item_text`, `history` (a list) and `context`, where it has them.
#[derive(Debug, Parser)]
#[command(name = "human_eval")]
struct Args {
    /// SQLite file of the study; made with the first run.
    #[arg(long, default_value = "human_eval.sqlite")]
    store: PathBuf,
    /// Narratives of several arms as `quickstart` writes them: JSON lines with `arm`, `hypothesis`, `user`, `item`, `kind`.
    #[arg(long, conflicts_with = "pairs")]
    narratives: Option<PathBuf>,
    /// Texts of one system, as `evaluate` reads them and `write_narratives --data` writes them: JSON lines with `hyp` or
    /// `narrative`; line k of every file belongs to one case. Give it once for each system.
    #[arg(long, value_name = "NAME=FILE", value_parser = named)]
    pairs: Vec<(String, PathBuf)>,
    /// Only these systems, separated by commas.
    #[arg(long, value_delimiter = ',')]
    arms: Vec<String>,
    /// Judge the references too, as a system called `reference`.
    #[arg(long)]
    with_reference: bool,
    /// Two texts side by side, or one at a time with scores from 1 to 5.
    #[arg(long, value_enum, default_value = "pairs")]
    design: DesignName,
    /// So many cases, drawn at random [default: all].
    #[arg(long)]
    cases: Option<NonZeroUsize>,
    /// So many tasks for each rater, spread so that all are judged equally often [default: all].
    #[arg(long)]
    per_rater: Option<NonZeroUsize>,
    /// Attributes to judge by, as JSON: `name` and `attributes`, each with `name`, `definition`, `scale` (five texts) and
    /// `needs_item` [default: the rubric of the automated rater].
    #[arg(long)]
    rubric: Option<PathBuf>,
    /// Seed of the choice of cases, of orders and sides, and of the resampling.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Port of the page at 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 8377)]
    port: u16,
    /// Print the results so far instead of serving.
    #[arg(long)]
    results: bool,
    /// Write every answer to a CSV file instead of serving.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Resamples of each interval.
    #[arg(long, default_value_t = 1000)]
    resamples: usize,
    /// Print one JSON object as the last line of stdout: the results, also after serving.
    #[arg(long)]
    json: bool,
    /// No table and no notes.
    #[arg(short, long)]
    quiet: bool,
}

/// Names of --design.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum DesignName {
    Pairs,
    Single,
}

fn named(argument: &str) -> Result<(String, PathBuf), String> {
    match argument.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), path.into())),
        _ => Err("expected NAME=FILE".to_owned()),
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let (mut store, study) = match texts(&args)? {
        Some(texts) => {
            let study = make(&args, texts)?;
            (Store::create(&args.store, &study)?, study)
        }
        None => Store::open(&args.store)?,
    };
    if let Some(path) = &args.export {
        let answers = export(&study, &mut store, path)?;
        note(&args, &format!("{answers} answers in {}", path.display()));
    }
    if args.results || args.export.is_some() {
        return report(&args, &study, &mut store);
    }
    serve(&args, &study, store)?;
    let (mut store, study) = Store::open(&args.store)?;
    report(&args, &study, &mut store)
}

fn texts(args: &Args) -> Result<Option<Texts>> {
    let texts = match &args.narratives {
        Some(path) => match Texts::from_narratives(path, args.with_reference) {
            Err(error @ regen_human::Error::Malformed { .. }) => {
                return Err(error).context(
                    "--narratives takes the lines of several arms, each with its `arm`; a file of one system, as \
                     write_narratives writes it, is given by --pairs NAME=FILE",
                );
            }
            texts => texts?,
        },
        None if !args.pairs.is_empty() => Texts::from_pairs(&args.pairs, args.with_reference)?,
        None => return Ok(None),
    };
    Ok(Some(if args.arms.is_empty() { texts } else { texts.only(&args.arms)? }))
}

fn make(args: &Args, texts: Texts) -> Result<Study> {
    let design = match args.design {
        DesignName::Pairs => Design::Pairs,
        DesignName::Single => Design::Single,
    };
    let rubric = args.rubric.as_deref().map(read_rubric).transpose()?.unwrap_or_else(Rubric::standard);
    let config =
        StudyConfig { design, rubric, seed: args.seed, cases: args.cases, per_rater: args.per_rater };
    Ok(Study::new(texts.systems, texts.cases, config)?)
}

fn read_rubric(path: &Path) -> Result<Rubric> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no rubric", path.display()))
}

/// Serves until Ctrl-C.
fn serve(args: &Args, study: &Study, store: Store) -> Result<()> {
    let server = Arc::new(Server::bind(args.port, study.clone(), store)?);
    ensure!(server.address().ip().is_loopback(), "the page must not leave this machine");
    let to_stop = Arc::clone(&server);
    ctrlc::set_handler(move || to_stop.stop()).context("cannot catch Ctrl-C")?;
    eprintln!("http://{}/", server.address());
    note(
        args,
        &format!("{} tasks; answers go to {}; Ctrl-C ends", study.tasks().len(), args.store.display()),
    );
    server.serve();
    Ok(())
}

fn report(args: &Args, study: &Study, store: &mut Store) -> Result<()> {
    let bootstrap = Bootstrap { resamples: args.resamples, ..Bootstrap::seeded(args.seed) };
    let results = evaluate(study, store, &bootstrap)?;
    if !args.quiet {
        println!("{}", results.to_string().trim_end());
    }
    if args.json {
        println!("{}", serde_json::to_string(&results)?);
    }
    Ok(())
}

fn note(args: &Args, text: &str) {
    if !args.quiet {
        eprintln!("{text}");
    }
}
