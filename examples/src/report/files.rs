//! What a comparison found, and how it is written down.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use regen_narrator::TrainReport;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::page;
use crate::controls::ControlRecord;
use crate::identity::IdentityRecord;
use crate::run_log::RunLog;
use crate::scores::{ArmScores, Gain, METRICS, ScoreRecord};
use crate::whole_file::write_whole;

/// Everything that a comparison of arms found.
#[derive(Debug)]
pub struct Comparison {
    /// What was run on, in words.
    pub title: String,
    /// Plain sentences that a reader needs to judge the numbers.
    pub remarks: Vec<String>,
    /// Facts of the data: name and value.
    pub data: Vec<(String, String)>,
    /// Arms in the order of tables.
    pub arms: Vec<ArmResult>,
    /// Texts that no arm wrote, scored the same way: name and scores.
    pub baselines: Vec<(String, ArmScores)>,
    /// Whether texts are about their own item: the references, then arms and baselines. Empty where it was not asked.
    pub identity: Vec<IdentityRecord>,
    /// What it costs each arm with soft tokens when they are another user's, or lack a side.
    pub controls: Vec<ControlRecord>,
    /// Fusion against the better single arm.
    pub gains: Vec<Gain>,
    /// Share of the collaborative side in each soft token of the fusion arm, test users.
    pub cf_shares: Vec<f32>,
    /// A few narratives beside their references.
    pub samples: Vec<Sample>,
    /// Every narrative of every arm, one JSON object each.
    pub narratives: Vec<Value>,
    /// Seed of the resampling.
    pub seed: u64,
}

/// One arm's result.
#[derive(Debug)]
pub struct ArmResult {
    /// `cf`, `semantic`, `fusion`.
    pub name: String,
    /// Its scores on the test users.
    pub scores: ArmScores,
    /// Which facts it told, where the truth is known.
    pub facts: Option<FactShare>,
    /// Its loss curve while it only read the catalogue, if it did.
    pub reading: Option<TrainReport>,
    /// Its loss curves.
    pub training: TrainReport,
}

/// Shares, 0 to 1, of the facts in the references that an arm's narratives state, by the signal that alone reveals
/// them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct FactShare {
    /// Facts that only co-purchase reveals.
    pub co_purchase: f64,
    /// Facts that only the item texts reveal.
    pub text: f64,
}

/// One test example with what each arm wrote.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// What was asked for.
    pub kind: String,
    /// Titles of the history, oldest first, and of the target.
    pub context: String,
    /// The reference.
    pub reference: String,
    /// Arm and narrative.
    pub written: Vec<(String, String)>,
}

impl Comparison {
    /// The contents of `metrics.json`: scores only, so that the same seed gives the same bytes.
    ///
    /// # Errors
    /// If the resampling is refused.
    pub fn metrics(&self) -> Result<Value> {
        let record = |scores: &ArmScores| -> Result<Value> {
            let records = scores.records(self.seed)?;
            let mut fields = serde_json::Map::new();
            for (metric, record) in METRICS.iter().zip(&records) {
                fields.insert((*metric).to_owned(), json!(record.score));
            }
            let details: BTreeMap<&str, &ScoreRecord> = METRICS.iter().copied().zip(&records).collect();
            fields.insert("details".to_owned(), serde_json::to_value(details)?);
            Ok(Value::Object(fields))
        };
        let mut arms = serde_json::Map::new();
        for arm in &self.arms {
            let mut value = record(&arm.scores)?;
            if let Some(facts) = &arm.facts {
                value["facts"] = serde_json::to_value(facts)?;
            }
            if let Some(reading) = &arm.reading {
                value["reading_loss"] = json!(reading.training.last().map(|point| point.loss));
            }
            value["kept_step"] = json!(arm.training.kept_step);
            value["validation_loss"] = json!(arm.training.validation.iter().map(|p| p.loss).reduce(f64::min));
            arms.insert(arm.name.clone(), value);
        }
        let mut baselines = serde_json::Map::new();
        for (name, scores) in &self.baselines {
            baselines.insert(name.clone(), record(scores)?);
        }
        let mean = |values: &[f32]| {
            (!values.is_empty())
                .then(|| values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64)
        };
        Ok(json!({
            "arms": arms,
            "baselines": baselines,
            "identity": self.identity,
            "controls": self.controls,
            "fusion_over_best_single": self.gains,
            "cf_share_mean": mean(&self.cf_shares),
        }))
    }
}

/// Writes the report folder and gives back the contents of `metrics.json`. `run` is what `run.json` says beside the stages: seed, versions, device, configuration.
///
/// # Errors
/// If a file cannot be written.
pub fn write(out: &Path, comparison: &Comparison, run: &Value, log: &RunLog) -> Result<Value> {
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let metrics = comparison.metrics()?;
    put(out, "metrics.json", &serde_json::to_string_pretty(&metrics)?)?;
    let mut lines = String::new();
    for narrative in &comparison.narratives {
        lines.push_str(&serde_json::to_string(narrative)?);
        lines.push('\n');
    }
    put(out, "narratives.jsonl", &lines)?;
    let mut run = run.clone();
    run["stages"] = serde_json::to_value(&log.stages)?;
    put(out, "run.json", &serde_json::to_string_pretty(&run)?)?;
    put(out, "report.html", &page::render(comparison, &run, log)?)?;
    Ok(metrics)
}

/// Writes `metrics.json` and `run.json` of a data set without narratives.
///
/// # Errors
/// If a file cannot be written.
pub fn write_exploration(out: &Path, found: &Value, run: &Value, log: &RunLog) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    put(out, "metrics.json", &serde_json::to_string_pretty(found)?)?;
    let mut run = run.clone();
    run["stages"] = serde_json::to_value(&log.stages)?;
    put(out, "run.json", &serde_json::to_string_pretty(&run)?)
}

fn put(out: &Path, name: &str, text: &str) -> Result<()> {
    write_whole(&out.join(name), text)
}
