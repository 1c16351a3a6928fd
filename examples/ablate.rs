//! Answers scientific questions in one command: runs every cell of a plan, pools over seeds, tests, and says of each claim
//! whether it holds.
//!
//! ```text
//! cargo run --release --example ablate -- --plan examples/plans/first_experiments.toml --out out/first
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use regen_examples::ablation::{Findings, Plan, finished, run};
use regen_examples::cli::Common;
use regen_examples::features::load_encoder;

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
    /// Folder of real data, for plans that name any.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Folder of the sentence encoder.
    #[arg(long, env = "REGEN_ENCODER")]
    encoder: PathBuf,
    /// Print the cells of the plan, and which of them --out holds, and stop.
    #[arg(long)]
    list: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let plan = Plan::read(&args.plan)?;
    if args.list {
        for cell in plan.cells() {
            println!("{}", cell.name());
        }
        println!("{} of {} cells are finished", finished(&plan, &args.common.out), plan.cells().len());
        return Ok(());
    }
    let text =
        fs::read_to_string(&args.plan).with_context(|| format!("cannot read {}", args.plan.display()))?;
    let session = args.common.start()?;
    let encoder = load_encoder(&args.encoder, &session)?;
    let findings = run(&plan, args.data.as_deref(), &encoder, &args.common.out, &session)?;
    report(&findings, &plan, &text, &args.common.out)?;
    if args.common.json {
        println!("{}", serde_json::to_string(&findings)?);
    }
    Ok(())
}

fn report(findings: &Findings, plan: &Plan, text: &str, out: &Path) -> Result<()> {
    let document = findings.document(plan, text);
    let files = [
        ("report.html", document.html()),
        ("report.md", document.markdown()),
        ("findings.json", serde_json::to_string_pretty(findings)? + "\n"),
    ];
    for (name, contents) in files {
        let (path, temporary) = (out.join(name), out.join(format!("{name}.tmp")));
        fs::write(&temporary, contents)
            .and_then(|()| fs::rename(&temporary, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("\n{}", document.terminal());
    println!("report: {}", out.join("report.html").display());
    Ok(())
}
