//! Where the time and the memory of a run went.

use std::time::Instant;

use serde::Serialize;

/// The stages of a run in order.
#[derive(Debug, Default, Serialize)]
pub struct RunLog {
    /// Finished stages.
    pub stages: Vec<StageRecord>,
}

/// One finished stage.
#[derive(Debug, Clone, Serialize)]
pub struct StageRecord {
    /// What was done.
    pub name: String,
    /// Wall time.
    pub seconds: f64,
    /// Highest resident memory of the process so far; `None` where the system does not tell.
    pub peak_rss_bytes: Option<u64>,
}

impl RunLog {
    /// Runs a stage and writes down what it took.
    ///
    /// # Errors
    /// Those of the stage.
    pub fn stage<T>(&mut self, name: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let start = Instant::now();
        let result = work()?;
        self.stages.push(StageRecord {
            name: name.to_owned(),
            seconds: start.elapsed().as_secs_f64(),
            peak_rss_bytes: peak_rss_bytes(),
        });
        Ok(result)
    }

    /// Seconds of all stages.
    pub fn total_seconds(&self) -> f64 {
        self.stages.iter().map(|stage| stage.seconds).sum()
    }
}

/// The highest resident memory of this process so far, where Linux's `/proc` tells it.
pub fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}
