//! Arms that a run has finished, kept under its folder, so that a run that was stopped goes on with the next arm.
//!
//! ```text
//! OUT/narrators/fusion/        the trained narrator, a bundle that write_narratives opens
//! OUT/narrators/fusion.json    settings, loss curves, narratives; written last, so where it stands the arm is complete
//! ```

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use regen_narrator::{Narrator, TrainReport};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Device;

use crate::arms::ArmRun;
use crate::given::Given;

#[derive(Serialize, Deserialize)]
struct Record {
    /// Everything that decides what an arm comes to.
    settings: Value,
    reading: Option<TrainReport>,
    report: TrainReport,
    hypotheses: Vec<String>,
}

/// Keeps a finished arm in `folder`, in the place of an earlier one of the same name.
///
/// # Errors
/// If a file cannot be written.
pub fn keep(folder: &Path, settings: &Value, arm: &ArmRun) -> Result<()> {
    let (bundle, record) = paths(folder, arm.given);
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    if record.exists() {
        fs::remove_file(&record).with_context(|| format!("cannot replace {}", record.display()))?;
    }
    // Only what is a narrator is taken away; saving refuses a folder that holds anything else.
    if bundle.join("narrator.json").exists() {
        fs::remove_dir_all(&bundle).with_context(|| format!("cannot replace {}", bundle.display()))?;
    }
    arm.narrator.save(&bundle)?;
    let kept = Record {
        settings: settings.clone(),
        reading: arm.reading.clone(),
        report: arm.report.clone(),
        hypotheses: arm.hypotheses.clone(),
    };
    let temporary = record.with_extension("tmp");
    fs::write(&temporary, serde_json::to_string(&kept)?)
        .and_then(|()| fs::rename(&temporary, &record))
        .with_context(|| format!("cannot write {}", record.display()))
}

/// The arm that an earlier run kept in `folder`, if it finished it.
///
/// # Errors
/// If it was made with other settings, or a file is damaged.
pub fn find(folder: &Path, settings: &Value, given: Given, device: Device) -> Result<Option<ArmRun>> {
    let (bundle, record) = paths(folder, given);
    if !record.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&record).with_context(|| format!("cannot read {}", record.display()))?;
    let kept: Record =
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", record.display()))?;
    ensure!(
        kept.settings == *settings,
        "{} was made with other settings, or from another encoder or other data: give another --out, or leave --resume out to begin anew",
        record.display()
    );
    let narrator = Narrator::open(&bundle, device)?;
    let Record { reading, report, hypotheses, .. } = kept;
    Ok(Some(ArmRun { given, reading, report, hypotheses, narrator }))
}

fn paths(folder: &Path, given: Given) -> (std::path::PathBuf, std::path::PathBuf) {
    (folder.join(given.to_string()), folder.join(format!("{given}.json")))
}
