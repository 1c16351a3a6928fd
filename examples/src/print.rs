//! Results on stdout, for a person at a terminal.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use regen_data::Dataset;

use crate::controls::in_words;
use crate::explore::{Exploration, TOP};
use crate::report::Comparison;
use crate::run_log::RunLog;

/// Whether what was written goes nowhere any more because its reader has gone, as `| head` does.
///
/// # Errors
/// If it could not be written for another reason.
pub fn reader_gone(written: std::io::Result<()>) -> Result<bool> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(true),
        written => written.map(|()| false).context("cannot write the narratives"),
    }
}

/// The table of arms with differences, the examples, where the time went, and where the report is.
///
/// # Errors
/// If the resampling is refused.
pub fn comparison(comparison: &Comparison, log: &RunLog, out: &Path) -> Result<()> {
    println!("\n{}\n", comparison.title);
    for remark in &comparison.remarks {
        println!("{}\n", wrap(remark));
    }
    println!("{:<22} {:>18} {:>18} {:>22}", "arm", "BLEU", "ROUGE-L", "semantic similarity");
    let arms = comparison.arms.iter().map(|arm| (arm.name.as_str(), &arm.scores));
    let baselines = comparison.baselines.iter().map(|(name, scores)| (name.as_str(), scores));
    for (name, scores) in arms.chain(baselines) {
        let records = scores.records(comparison.seed)?;
        let cell = |index: usize, digits: usize| {
            let half = (records[index].interval.high - records[index].interval.low) / 2.0;
            format!("{:.digits$} ± {half:.digits$}", records[index].score)
        };
        println!("{name:<22} {:>18} {:>18} {:>22}", cell(0, 2), cell(1, 4), cell(2, 4));
    }
    println!("{:<22} (± half of the 95 % bootstrap interval over users)", "");
    for gain in &comparison.gains {
        println!(
            "fusion over {}: {} {}, p = {:.3} (Holm {:.3})",
            gain.best_single,
            gain.metric,
            gain.shown(),
            gain.p_value,
            gain.p_holm
        );
    }
    if !comparison.identity.is_empty() {
        let (nearest, ten, title) = ("own item nearest", "among the ten nearest", "state its title");
        println!("\n{:<22} {nearest:>18} {ten:>22} {title:>18}", "about the right item?");
        for row in &comparison.identity {
            let percent = |share: f64| format!("{:.1}%", 100.0 * share);
            let (nearest, ten) = (percent(row.nearest.score), percent(row.among_ten.score));
            println!("{:<22} {nearest:>18} {ten:>22} {:>18}", row.name, percent(row.states_title));
        }
    }
    if comparison.arms.iter().any(|arm| arm.facts.is_some()) {
        println!("\n{:<22} {:>24} {:>24}", "facts told correctly", "known by co-purchase", "known by text");
        for arm in &comparison.arms {
            if let Some(facts) = &arm.facts {
                println!(
                    "{:<22} {:>23.1}% {:>23.1}%",
                    arm.name,
                    100.0 * facts.co_purchase,
                    100.0 * facts.text
                );
            }
        }
    }
    controls(comparison);
    if !comparison.cf_shares.is_empty() {
        let mean = comparison.cf_shares.iter().sum::<f32>() / comparison.cf_shares.len() as f32;
        println!("\nshare of the collaborative side in the soft tokens' norms: {mean:.3}");
    }
    println!("\nExamples");
    for sample in &comparison.samples {
        println!("\n[{}] {}", sample.kind, sample.context);
        println!("  {:<10} {}", "reference", sample.reference);
        for (arm, text) in &sample.written {
            println!("  {arm:<10} {text}");
        }
    }
    stages(log);
    println!("report: {}", out.join("report.html").display());
    Ok(())
}

/// What the language model loses without its soft tokens.
fn controls(comparison: &Comparison) {
    if comparison.controls.is_empty() {
        return;
    }
    println!(
        "\nare the soft tokens read? (loss on the test narratives in nats a token, and what a change adds to it; p is not \
         corrected for how many are asked)"
    );
    for record in &comparison.controls {
        println!("{:<22} {:.3}", record.arm, record.loss);
        for cost in &record.costs {
            let (control, p) = (in_words(cost.control), cost.p_value);
            println!("  {control:<26} {:+.3}   p = {p:.3}", cost.cost);
        }
    }
}

/// Ranking quality, neighbours, where the time went.
pub fn exploration(dataset: &Dataset, found: &Exploration, log: &RunLog, out: &Path) {
    println!(
        "\n{}: {} users, {} items, {} interactions; no narratives, so nothing is written\n",
        dataset.name,
        dataset.users.len(),
        dataset.items.len(),
        dataset.interactions.len()
    );
    println!(
        "{:<16} {:>12} {:>12}   (a fifth of each user's purchases held out)",
        "",
        format!("Recall@{TOP}"),
        format!("NDCG@{TOP}")
    );
    for (name, report) in [("WALS", &found.wals), ("most popular", &found.most_popular)] {
        println!("{name:<16} {:>12.4} {:>12.4}", report.recall, report.ndcg);
    }
    for neighbours in &found.neighbours {
        println!("\n{}", neighbours.item);
        for (side, titles) in [("text", &neighbours.by_text), ("purchases", &neighbours.by_purchases)] {
            for title in titles {
                println!("  by {side:<10} {title}");
            }
        }
    }
    stages(log);
    println!("results: {}", out.join("metrics.json").display());
}

fn stages(log: &RunLog) {
    println!("\n{:<28} {:>9} {:>14}", "stage", "seconds", "peak memory");
    for stage in &log.stages {
        let memory = stage.peak_rss_bytes.map_or("unknown".to_owned(), |b| format!("{} MiB", b >> 20));
        println!("{:<28} {:>9.1} {:>14}", stage.name, stage.seconds, memory);
    }
    println!("{:<28} {:>9.1}\n", "all", log.total_seconds());
}

/// Breaks a paragraph at 100 columns.
fn wrap(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if let Some(line) = lines.last_mut().filter(|line| line.is_empty() || line.len() + word.len() < 100) {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}
