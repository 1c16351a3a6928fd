//! The numbers of a training run, one JSON object a line for each update, so that any tool can draw them.
//!
//! ```text
//! {"stage":"train","step":3,"loss":4.81,"validation_loss":5.02,"learning_rate":0.0029,"gradient_norm":1.7,
//!  "positions":9120,"positions_per_second":21033.1,"peak_rss_bytes":411041792}
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use regen_narrator::TrainProgress;
use serde_json::{Value, json};

use crate::run_log::peak_rss_bytes;

/// A file of scalars that goes on where a run that was broken off goes on.
#[derive(Debug)]
pub struct Scalars {
    path: PathBuf,
}

/// One stage of it.
#[derive(Debug)]
pub struct StageScalars {
    file: File,
    stage: String,
    /// When this process began, and at which position; none before its first update.
    began: Option<(Instant, u64)>,
}

impl Scalars {
    /// A file at `path`, whose folder is made with the first line.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Opens the file for a stage whose next update is known with the first line: of a run that was killed after its last
    /// snapshot, lines that will be written again are taken away.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn stage(&self, stage: &str, first: u64) -> Result<StageScalars> {
        let failed = || format!("cannot write {}", self.path.display());
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).with_context(failed)?;
        }
        self.forget(stage, first).with_context(failed)?;
        let file = OpenOptions::new().create(true).append(true).open(&self.path).with_context(failed)?;
        Ok(StageScalars { file, stage: stage.to_owned(), began: None })
    }

    /// Keeps what is before update `first` of `stage`: its lines from there on, a half line, and what came after.
    fn forget(&self, stage: &str, first: u64) -> std::io::Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        let mut kept = String::new();
        for line in BufReader::new(File::open(&self.path)?).lines() {
            let line = line?;
            let Ok(update) = serde_json::from_str::<Value>(&line) else { break };
            if update["stage"] == stage && update["step"].as_u64().is_none_or(|step| step >= first) {
                break;
            }
            kept += &line;
            kept.push('\n');
        }
        let temporary = self.path.with_extension("jsonl.tmp");
        fs::write(&temporary, kept)?;
        fs::rename(temporary, &self.path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl StageScalars {
    /// Writes one update; gives positions a second since this process began.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&mut self, progress: &TrainProgress) -> Result<f64> {
        let (began, before) = *self.began.get_or_insert((Instant::now(), progress.positions));
        let seconds = began.elapsed().as_secs_f64();
        // The first update is where the clock starts.
        let rate = if seconds > 0.0 { (progress.positions - before) as f64 / seconds } else { 0.0 };
        let line = json!({
            "stage": self.stage,
            "step": progress.step,
            "loss": progress.loss,
            "validation_loss": progress.validation_loss,
            "learning_rate": progress.learning_rate,
            "gradient_norm": progress.gradient_norm,
            "positions": progress.positions,
            "positions_per_second": rate,
            "peak_rss_bytes": peak_rss_bytes(),
        });
        writeln!(self.file, "{line}").context("cannot write scalars")?;
        Ok(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(step: u64) -> TrainProgress {
        TrainProgress {
            step,
            steps: 9,
            loss: 1.0 / step as f64,
            validation_loss: None,
            positions: 100 * step,
            learning_rate: 0.1,
            gradient_norm: 2.0,
        }
    }

    #[test]
    fn a_run_that_was_killed_leaves_each_update_once() {
        let dir = tempfile::tempdir().unwrap();
        let scalars = Scalars::new(dir.path().join("progress/scalars.jsonl"));
        let write = |stage: &str, steps: std::ops::RangeInclusive<u64>| {
            let mut stage = scalars.stage(stage, *steps.start()).unwrap();
            for step in steps {
                assert!(stage.write(&progress(step)).unwrap() >= 0.0);
            }
        };
        write("read", 1..=2);
        write("train", 1..=5);
        // Half a line, as a kill leaves it; the snapshot is of update 3.
        let mut text = fs::read_to_string(scalars.path()).unwrap();
        text += "{\"stage\": \"tra";
        fs::write(scalars.path(), text).unwrap();
        write("train", 4..=6);
        let text = fs::read_to_string(scalars.path()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let seen: Vec<(&str, u64)> = lines
            .iter()
            .map(|line| (line["stage"].as_str().unwrap(), line["step"].as_u64().unwrap()))
            .collect();
        let expected = [("read", 1..=2), ("train", 1..=6)];
        let expected: Vec<_> =
            expected.into_iter().flat_map(|(stage, steps)| steps.map(move |step| (stage, step))).collect();
        assert_eq!(seen, expected);
        assert_eq!(lines[2]["gradient_norm"], 2.0);
    }
}
