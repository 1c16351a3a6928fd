//! What a search has done so far, on disk: one JSON object a line, a head and then the trials.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::run::Trial;
use crate::checkpoint::Checkpoint;
use crate::config::WalsConfig;
use crate::error::{Error, Result};
use crate::interactions::InteractionMatrix;
use crate::persist::io_error;
use crate::replace::replace_file;

const TRIALS: &str = "trials.jsonl";

/// What trials must agree on to be comparable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// Fingerprint of the training matrix and the held-out pairs.
    pub(super) data: String,
    /// Metric, cut-off and patience in words.
    pub(super) judged_by: String,
}

/// A folder with the trials that are done and the factors of those that may go on; or nothing,
/// for a search that is not to be resumed.
pub(super) struct Journal<'a> {
    folder: Option<&'a Path>,
    head: Head,
    trials: Vec<Trial>,
}

impl<'a> Journal<'a> {
    /// Reads what an earlier run of the same search left behind.
    pub(super) fn open(folder: Option<&'a Path>, head: Head) -> Result<Self> {
        let mut journal = Self { folder, head, trials: Vec::new() };
        let Some(folder) = folder else { return Ok(journal) };
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
        let path = folder.join(TRIALS);
        if !path.exists() {
            return Ok(journal);
        }
        let text = fs::read_to_string(&path).map_err(io_error("read", &path))?;
        let mut lines = text.lines();
        let head: Head = parse(&path, lines.next().unwrap_or_default())?;
        let differs = [
            ("data", &journal.head.data, &head.data),
            ("the rule", &journal.head.judged_by, &head.judged_by),
        ];
        if let Some(&(field, expected, got)) = differs.iter().find(|(_, a, b)| a != b) {
            let (expected, got) = (expected.clone(), got.clone());
            return Err(Error::ForeignState { path, field, expected, got });
        }
        for line in lines {
            journal.trials.push(parse(&path, line)?);
        }
        Ok(journal)
    }

    /// The trial of a configuration with a budget, if it is done.
    pub(super) fn find(&self, config: &WalsConfig, budget: usize) -> Option<&Trial> {
        self.trials.iter().find(|trial| trial.budget == budget && trial.config == *config)
    }

    /// Writes a trial down, and its factors if it may go on.
    pub(super) fn add(&mut self, trial: Trial) -> Result<()> {
        self.trials.push(trial);
        let Some(folder) = self.folder else { return Ok(()) };
        replace_file(&folder.join(TRIALS), |file| {
            let mut text = serde_json::to_vec(&self.head)?;
            text.push(b'\n');
            for trial in &self.trials {
                serde_json::to_writer(&mut text, trial)?;
                text.push(b'\n');
            }
            file.write_all(&text)
        })
    }

    /// Where the factors of a cell may be kept between two rounds.
    pub(super) fn checkpoint(&self, cell: usize) -> Option<PathBuf> {
        Some(self.folder?.join("factors").join(format!("cell-{cell:05}")))
    }

    /// The factors of a cell after exactly so many iterations, if they were kept.
    pub(super) fn factors(
        &self,
        cell: usize,
        config: &WalsConfig,
        train: &InteractionMatrix,
        done: usize,
    ) -> Option<Checkpoint> {
        let folder = self.checkpoint(cell)?;
        if done == 0 || !folder.exists() {
            return None;
        }
        // Kept factors only save time: what cannot be read is computed again.
        let kept = Checkpoint::load(&folder, train).ok()?;
        let same = WalsConfig { iterations: config.iterations, ..kept.config.clone() } == *config;
        (same && kept.completed_iterations == done).then_some(kept)
    }

    /// Removes the factors: of one cell, or of all.
    pub(super) fn forget(&self, cell: Option<usize>) {
        let Some(folder) = self.folder else { return };
        let path = cell.and_then(|cell| self.checkpoint(cell)).unwrap_or_else(|| folder.join("factors"));
        // A leftover costs disk space, nothing else: not worth failing the search for.
        let _ = fs::remove_dir_all(path);
    }
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, line: &str) -> Result<T> {
    serde_json::from_str(line).map_err(|error| Error::Format {
        path: path.to_path_buf(),
        field: "content",
        expected: "the trials of a search".to_owned(),
        got: error.to_string(),
    })
}
