//! Arms that a run has finished, kept under its folder, so that a run that was stopped goes on with the next arm.
//!
//! ```text
//! OUT/narrators/fusion/        the trained narrator, a bundle that write_narratives opens
//! OUT/narrators/fusion.json    settings, loss curves, narratives; written last, so where it stands the arm is complete
//! ```

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use regen_narrator::{Narrator, TrainReport};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Device;

use crate::ablation::difference;
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
/// If it was made with other settings or from other content, with what differs; if a file is damaged.
pub fn find(folder: &Path, settings: &Value, given: Given, device: Device) -> Result<Option<ArmRun>> {
    let (bundle, record) = paths(folder, given);
    if !record.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&record).with_context(|| format!("cannot read {}", record.display()))?;
    let kept: Record =
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", record.display()))?;
    if kept.settings != *settings {
        let changed = difference(&kept.settings, settings);
        // By the first word of its place among the settings.
        let made = match changed.split([':', '.']).next() {
            Some("encoder") => "from another sentence encoder",
            Some("data" | "data_sha256") => "from other data",
            Some("language_model_sha256") => "from another language model of that name",
            _ => "with other settings",
        };
        bail!(
            "{} was made {made} ({changed}): give another --out, or leave --resume out to begin anew",
            record.display()
        );
    }
    let narrator = Narrator::open(&bundle, device)?;
    let Record { reading, report, hypotheses, .. } = kept;
    Ok(Some(ArmRun { given, reading, report, hypotheses, narrator }))
}

fn paths(folder: &Path, given: Given) -> (std::path::PathBuf, std::path::PathBuf) {
    (folder.join(given.to_string()), folder.join(format!("{given}.json")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_arm_of_other_content_or_settings_is_refused_with_what_changed() {
        let dir = tempfile::tempdir().unwrap();
        let given: Given = "cf".parse().unwrap();
        let settings = |seed: u64, encoder: &str, data: &str, lm: Option<&str>| {
            let mut settings =
                json!({ "seed": seed, "encoder": { "name": "e", "sha256": encoder }, "data_sha256": data });
            if let Some(lm) = lm {
                settings["language_model_sha256"] = lm.into();
            }
            settings
        };
        let kept = Record {
            settings: settings(7, "aa", "bb", Some("cc")),
            reading: None,
            report: TrainReport::default(),
            hypotheses: Vec::new(),
        };
        fs::write(dir.path().join("cf.json"), serde_json::to_string(&kept).unwrap()).unwrap();
        for (asked, told) in [
            (settings(8, "aa", "bb", Some("cc")), "with other settings (seed: 7, now 8)"),
            (
                settings(7, "dd", "bb", Some("cc")),
                "from another sentence encoder (encoder.sha256: \"aa\", now",
            ),
            (settings(7, "aa", "dd", Some("cc")), "from other data (data_sha256: \"bb\", now \"dd\")"),
            (
                settings(7, "aa", "bb", Some("dd")),
                "from another language model of that name (language_model_sha256",
            ),
            (settings(7, "aa", "bb", None), "now null"),
        ] {
            let refused = find(dir.path(), &asked, given, Device::Cpu).unwrap_err().to_string();
            assert!(refused.contains(told) && refused.contains("--resume"), "{told}: {refused}");
        }
        let other: Given = "semantic".parse().unwrap();
        assert!(find(dir.path(), &kept.settings, other, Device::Cpu).unwrap().is_none());
    }
}
