//! Answers scientific questions in one command: runs every cell of a plan, pools over seeds, tests, and says of each claim
//! whether it holds.
//!
//! ```text
//! cargo run --release --example ablate -- --plan examples/plans/first_experiments.toml --out out/first
//! ```

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use regen_examples::ablation::{
    Document, Encoder, Findings, Jobs, Plan, Published, Worker, finished, run, work,
};
use regen_examples::cli::Common;
use regen_examples::println;
use regen_examples::whole_file::write_whole;

/// Runs the cells of a plan (arms × adapters × seeds × histories × language models × data sets) that --out does not hold
/// yet, and writes one report of all: report.html, report.md and findings.json. Seeds are the plan's. A run that was
/// stopped goes on when it is started again with the same --out.
#[derive(Debug, Parser)]
#[command(name = "ablate")]
struct Args {
    #[command(flatten)]
    common: Common,
    /// The plan, a TOML file; examples/plans has some.
    #[arg(long)]
    plan: PathBuf,
    /// Folder of the XRec release, for plans that name a vertical of it.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Folder of the sentence encoder.
    #[arg(long, env = "REGEN_ENCODER")]
    encoder: PathBuf,
    /// Published numbers to stand in the report, a TOML file: their `source`, and `[[values]]` with `data`, `arm`, `metric` and
    /// `value`. None are printed without it.
    #[arg(long, value_name = "FILE")]
    published: Option<PathBuf>,
    /// Processes that train cells at the same time [default: 1], or fewer while there is not enough memory: what a cell takes is seen
    /// from the first one. --threads is then the number of threads of each [default: its share of the cores]. On a GPU they share
    /// the device, whose memory is not looked at.
    #[arg(long, default_value_t = NonZeroUsize::MIN)]
    jobs: NonZeroUsize,
    /// Train what no other process holds, and write no report: what --jobs starts. May be started by hand, on several
    /// machines that see the same --out.
    #[arg(long, value_name = "K/N", conflicts_with_all = ["jobs", "list", "json"])]
    worker: Option<Worker>,
    /// Print the cells of the plan, and which of them --out holds, and stop.
    #[arg(long)]
    list: bool,
}

fn main() -> Result<()> {
    let mut args = Args::parse();
    let plan = Plan::read(&args.plan)?;
    if args.list {
        for cell in plan.cells() {
            println!("{}", cell.name());
        }
        println!("{} of {} cells are finished", finished(&plan, &args.common.out), plan.cells().len());
        return Ok(());
    }
    let notes = plan
        .check_data(args.data.as_deref())
        .with_context(|| format!("{} cannot be run", args.plan.display()))?;
    let text =
        fs::read_to_string(&args.plan).with_context(|| format!("cannot read {}", args.plan.display()))?;
    let published = args.published.as_deref().map(Published::read).transpose()?;
    let jobs = args.jobs.get();
    if jobs > 1 && args.common.threads.is_none() {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        args.common.threads = Some((cores / jobs).max(1));
    }
    let session = args.common.start()?;
    // Workers leave it to who started them.
    notes.iter().filter(|_| args.worker.is_none()).for_each(|note| session.note(note));
    if jobs > 1 {
        let jobs = Jobs { jobs, threads: session.threads };
        jobs.run(&args.for_workers()?, &plan, &args.common.out, &session)?;
    }
    let encoder = Encoder::load(&args.encoder, &session)?;
    if let Some(worker) = args.worker {
        return work(worker, &plan, args.data.as_deref(), &encoder, &args.common.out, &session);
    }
    let findings = run(&plan, args.data.as_deref(), &encoder, &args.common.out, &session)?;
    report(&findings, &findings.document(&plan, &text, published.as_ref()), &args.common.out)?;
    if args.common.json {
        println!("{}", serde_json::to_string(&findings)?);
    }
    Ok(())
}

impl Args {
    /// The arguments of a worker on the same plan, without its threads and its number.
    fn for_workers(&self) -> Result<Vec<String>> {
        let mut paths =
            vec![("--plan", &self.plan), ("--out", &self.common.out), ("--encoder", &self.encoder)];
        paths.extend(self.data.as_ref().map(|data| ("--data", data)));
        let mut arguments = vec!["--device".to_owned(), self.common.device.to_string()];
        for (flag, path) in paths {
            let path = path.to_str().with_context(|| format!("{flag} must be valid Unicode for --jobs"))?;
            arguments.extend([flag.to_owned(), path.to_owned()]);
        }
        Ok(arguments)
    }
}

fn report(findings: &Findings, document: &Document, out: &Path) -> Result<()> {
    let files = [
        ("report.html", document.html()),
        ("report.md", document.markdown()),
        ("findings.json", serde_json::to_string_pretty(findings)? + "\n"),
    ];
    for (name, contents) in files {
        write_whole(&out.join(name), contents)?;
    }
    println!("\n{}", document.terminal());
    println!("report: {}", out.join("report.html").display());
    Ok(())
}
