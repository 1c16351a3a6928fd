//! What is kept of an experiment: a file for each world and each cell, from which all findings follow.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use regen_data::LeakAudit;
use regen_metrics::{Mean, MeanStats, Measurement, Rouge, measure};
use regen_narrator::{Control, NarrativeLoss, TrainReport};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attribution::Shares;
use super::cells::Cell;
use super::co_training::NextItemRanks;
use crate::report::FactShare;
use crate::scores::ArmScores;

/// Texts for the test examples of a world, and what only an encoder or the generator can tell of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Written {
    /// One text per test example.
    pub texts: Vec<String>,
    /// The cosine of each with its reference.
    pub similarity: Vec<f64>,
    /// Whether they are about their own item; `None` where that was not asked.
    pub identity: Option<Identified>,
    /// Which facts they state, where the truth is known.
    pub facts: Option<FactShare>,
}

/// Shares, 0 to 1, of the texts that are about their own item.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Identified {
    /// Their own item is the nearest of all.
    pub nearest: f64,
    /// Their own item is among the ten nearest.
    pub among_ten: f64,
    /// They state its title.
    pub states_title: f64,
}

/// A world as one seed drew and split it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorldRecord {
    /// Everything that decides what a world comes to.
    pub settings: Value,
    /// Name of the data set.
    pub data: String,
    /// The seed.
    pub seed: u64,
    /// Longest history.
    pub history: usize,
    /// What a reader needs to know of the data.
    pub remarks: Vec<String>,
    /// Users, items, and the interactions that factors were fitted to.
    pub size: [usize; 3],
    /// Narratives in training, validation and test.
    pub narratives: [usize; 3],
    /// Who is held out.
    pub split: String,
    /// Why the split does not leak.
    pub audit: LeakAudit,
    /// The sentence encoder's name.
    pub encoder: String,
    /// The user of each test example.
    pub users: Vec<u32>,
    /// The kind of each test example.
    pub kinds: Vec<String>,
    /// What each test example is about, in words.
    pub contexts: Vec<String>,
    /// Whether the factorisation has not seen the item that each test example is about; empty where it has seen all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cold_targets: Vec<bool>,
    /// The reference of each test example.
    pub references: Vec<String>,
    /// Whether the references are about their own item.
    pub identity: Option<Identified>,
    /// Texts of other users, the floor of every score.
    pub floor: Written,
    /// What a published model wrote, if there is one.
    pub published: Option<Written>,
}

/// One finished training run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CellRecord {
    /// Everything that decides what a cell comes to.
    pub settings: Value,
    /// Which run.
    pub cell: Cell,
    /// Trainable numbers.
    pub parameters: u64,
    /// Wall time of training and of writing.
    pub seconds: [f64; 2],
    /// The loss curve of reading the catalogue.
    pub reading: Option<TrainReport>,
    /// The loss curves of learning to write.
    pub report: TrainReport,
    /// What it wrote.
    pub written: Written,
    /// The loss of each test narrative as it is, and under each control; empty for an arm without soft tokens.
    pub losses: Vec<(Control, Vec<NarrativeLoss>)>,
    /// Whose norm the soft tokens have, where the adapter can be taken apart.
    pub shares: Option<Shares>,
    /// Where the narrated items stand among all, where the next item was learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_item: Option<NextItemRanks>,
}

impl WorldRecord {
    /// Purchases over all pairs of user and item.
    pub fn density(&self) -> f64 {
        let [users, items, interactions] = self.size;
        interactions as f64 / (users as f64 * items as f64).max(1.0)
    }

    /// The scores of texts for this world's test examples; the unit of resampling is the user.
    ///
    /// # Errors
    /// If the texts are not as many as the test examples.
    pub fn scores(&self, written: &Written) -> Result<ArmScores> {
        let (texts, references) = (&written.texts, &self.references);
        let similarity = written.similarity.iter().map(|&cosine| MeanStats::of(cosine)).collect();
        let signature = format!(
            "nrefs:1|sim:cosine|encoder:{}|agg:mean|version:regen.{}",
            self.encoder,
            env!("CARGO_PKG_VERSION")
        );
        let similarity = Measurement::new(Mean::named("semantic similarity"), similarity, signature)?;
        Ok(ArmScores {
            bleu: measure(&regen_metrics::Bleu::default(), texts, references)?.grouped(&self.users)?,
            rouge_l: measure(&Rouge::l(), texts, references)?.grouped(&self.users)?,
            similarity: similarity.grouped(&self.users)?,
        })
    }
}

/// A record that knows what it was made with.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// Everything that decided it.
    fn settings(&self) -> &Value;
}

impl Record for WorldRecord {
    fn settings(&self) -> &Value {
        &self.settings
    }
}

impl Record for CellRecord {
    fn settings(&self) -> &Value {
        &self.settings
    }
}

/// Writes a record in one step.
pub(super) fn keep<R: Record>(path: &Path, record: &R) -> Result<()> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, serde_json::to_string(record)?)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The record at `path`, if it is there.
///
/// # Errors
/// If it is damaged, or was made with other settings.
pub(super) fn find<R: Record>(path: &Path, settings: &Value) -> Result<Option<R>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let kept: R = serde_json::from_str(&text)
        .with_context(|| format!("{} is damaged: delete it to compute it anew", path.display()))?;
    let name = path.display();
    ensure!(
        kept.settings() == settings,
        "{name} was made with other settings ({}): delete it, or give another --out",
        difference(kept.settings(), settings)
    );
    Ok(Some(kept))
}

/// The first place where two settings differ, in words.
fn difference(kept: &Value, asked: &Value) -> String {
    if let (Value::Object(kept), Value::Object(asked)) = (kept, asked) {
        let keys = kept.keys().chain(asked.keys().filter(|key| !kept.contains_key(*key)));
        for key in keys {
            let (old, new) = (kept.get(key).unwrap_or(&Value::Null), asked.get(key).unwrap_or(&Value::Null));
            if old != new {
                let inner = difference(old, new);
                let place = if old.is_object() && new.is_object() { "." } else { ": " };
                return format!("{key}{place}{inner}");
            }
        }
    }
    format!("{kept}, now {asked}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_that_differ_are_told_apart_by_their_first_difference() {
        let old = json!({ "a": 1, "b": { "c": [1, 2], "d": "x" } });
        let new = json!({ "a": 1, "b": { "c": [1, 2], "d": "y" } });
        assert_eq!(difference(&old, &new), "b.d: \"x\", now \"y\"");
        assert_eq!(difference(&json!({ "a": 1 }), &json!({ "a": 1, "z": 2 })), "z: null, now 2");
    }
}
