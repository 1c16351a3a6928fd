//! What is kept of an experiment: a file for each world and each cell, from which all findings follow.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use regen_data::LeakAudit;
use regen_metrics::{Mean, MeanStats, Measurement, Rouge, measure};
use regen_narrator::{Control, NarrativeLoss, NearToken, TrainReport};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attribution::Shares;
use super::cells::Cell;
use super::co_training::NextItemRanks;
use super::content::EncoderFacts;
use crate::report::FactShare;
use crate::scores::ArmScores;

/// The layout of records. It stands among the settings, and a record of another layout is refused.
pub(super) const FORMAT: u32 = 2;

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
    /// SHA-256 of the data, in blocks (`content.rs`).
    pub data_sha256: String,
    /// Who is held out: the hash of the split.
    pub split: String,
    /// Why the split does not leak.
    pub audit: LeakAudit,
    /// The sentence encoder.
    pub encoder: EncoderFacts,
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
    /// The highest memory of the process so far, in bytes, where the system tells.
    pub peak_rss_bytes: Option<u64>,
    /// SHA-256 of the language model's folder, where it is one.
    pub language_model_sha256: Option<String>,
    /// The loss curve of reading the catalogue.
    pub reading: Option<TrainReport>,
    /// The loss curves of learning to write.
    pub report: TrainReport,
    /// What it wrote.
    pub written: Written,
    /// The loss of each test narrative as it is, and under each control; empty for an arm without soft tokens.
    pub losses: Vec<(Control, Vec<NarrativeLoss>)>,
    /// The test examples, by place, for which texts were also written under controls; whole users, the same for all cells of a world.
    pub controlled_examples: Vec<usize>,
    /// What was written for these under each control; empty for an arm without soft tokens.
    pub controlled: Vec<(Control, Written)>,
    /// Whose norm the soft tokens have, where the adapter can be taken apart.
    pub shares: Option<Shares>,
    /// Why that is not known although it was asked for.
    pub shares_missing: Option<String>,
    /// Of the first test example, the vocabulary's entries nearest to its last soft tokens, token by token.
    pub nearest: Vec<Vec<NearToken>>,
    /// Where the narrated items stand among all, where the next item was learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_item: Option<NextItemRanks>,
}

impl Written {
    /// What was written for some of the test examples, by place, and how near it is to the references.
    pub(super) fn only(&self, places: &[usize]) -> Self {
        Self {
            texts: places.iter().map(|&place| self.texts[place].clone()).collect(),
            similarity: places.iter().map(|&place| self.similarity[place]).collect(),
            identity: None,
            facts: None,
        }
    }
}

impl WorldRecord {
    /// The world with some of its test examples, by place: users and references, to score what was written for them.
    pub(super) fn only(&self, places: &[usize]) -> Self {
        Self {
            users: places.iter().map(|&place| self.users[place]).collect(),
            references: places.iter().map(|&place| self.references[place].clone()).collect(),
            ..self.clone()
        }
    }

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
            self.encoder.signature(),
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

/// Writes a record in one step.
pub(super) fn keep<R: Serialize>(path: &Path, record: &R) -> Result<()> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, serde_json::to_string(record)?)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// What every record begins with, whatever its layout.
#[derive(Deserialize)]
struct Head {
    settings: Value,
}

impl Head {
    /// The layout that it was written in; what wrote none did not say what its data were.
    fn format(&self) -> Option<u64> {
        let world = self.settings.get("world").unwrap_or(&self.settings);
        world.pointer("/common/format").and_then(Value::as_u64)
    }
}

/// The record at `path`, if it is there.
///
/// # Errors
/// If it is damaged, has the layout of another version, or was made with other settings or from other content.
pub(super) fn find<R: DeserializeOwned>(path: &Path, settings: &Value) -> Result<Option<R>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let damaged = || format!("{} is damaged: delete it to compute it anew", path.display());
    let head: Head = serde_json::from_str(&text).with_context(damaged)?;
    ensure!(
        head.format() == Some(u64::from(FORMAT)),
        "{} was written by another version of this program, which did not keep what this one needs: delete the folders \
         `worlds` and `cells` of this --out to compute all anew, or give another --out",
        path.display()
    );
    same(path, &head.settings, settings)?;
    Ok(Some(serde_json::from_str(&text).with_context(damaged)?))
}

/// Refuses what is kept at `path` unless it was made with the settings that are asked for, and from the same content.
///
/// # Errors
/// With what differs, and what to do.
pub(super) fn same(path: &Path, kept: &Value, asked: &Value) -> Result<()> {
    if kept == asked {
        return Ok(());
    }
    let (name, difference) = (path.display(), difference(kept, asked));
    for (hash, what) in [
        ("encoder_sha256", "another sentence encoder"),
        ("data_sha256", "other data"),
        ("reviews_sha256", "other reviews"),
        ("language_model_sha256", "another language model of that name"),
    ] {
        if difference.starts_with(hash) || difference.contains(&format!(".{hash}")) {
            bail!("{name} was made from {what} ({difference}): delete it, or give another --out");
        }
    }
    bail!("{name} was made with other settings ({difference}): delete it, or give another --out")
}

/// The first place where two settings differ, in words.
pub(crate) fn difference(kept: &Value, asked: &Value) -> String {
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

    #[test]
    fn records_of_other_content_or_of_an_older_version_are_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cell.json");
        let refused = |kept: &Value, asked: &Value| {
            fs::write(&path, json!({ "settings": kept }).to_string()).unwrap();
            format!("{:#}", find::<CellRecord>(&path, asked).unwrap_err())
        };
        let common = json!({ "format": FORMAT });
        let world = |data: &str| json!({ "world": { "common": common, "data_sha256": data } });
        let said = refused(&world("a"), &world("b"));
        assert!(said.contains("made from other data") && said.contains("--out"), "{said}");
        let world = |encoder: &str| json!({ "common": common, "encoder_sha256": encoder });
        assert!(refused(&world("a"), &world("b")).contains("another sentence encoder"));
        let cell = |lm: &str| json!({ "world": world("a"), "language_model_sha256": lm });
        assert!(refused(&cell("a"), &cell("b")).contains("another language model"));
        assert!(refused(&json!({ "common": common, "rank": 1 }), &world("a")).contains("made "));
        for old in [json!({ "common": {} }), json!({ "world": { "common": { "format": 1 } } })] {
            let said = refused(&old, &world("a"));
            assert!(said.contains("another version") && said.contains("delete"), "{said}");
        }
        fs::write(&path, "{").unwrap();
        assert!(format!("{:#}", find::<CellRecord>(&path, &common).unwrap_err()).contains("damaged"));
    }
}
