//! Every answer as a row of a CSV file, for other statistics programs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::answer::Answered;
use crate::error::{Error, Result};
use crate::store::Store;
use crate::study::{Shown, Study};

const COLUMNS: [&str; 13] = [
    "rater",
    "case",
    "user",
    "item",
    "kind",
    "system",
    "other_system",
    "shown_left",
    "attribute",
    "answer",
    "seconds",
    "answered",
    "text",
];

/// Writes all answers to `path`, under a temporary name first, and gives back how many there are.
///
/// Cases count from 1 in the order of the study. For single texts `answer` is 1 to 5, for pairs `first` (for `system`),
/// `second` (for `other_system`) or `tie`; `unsure` for either. `text` is that of `system`.
///
/// # Errors
/// [`Error::Csv`], [`Error::Io`], [`Error::Store`], [`Error::Damaged`].
pub fn export(study: &Study, store: &mut Store, path: &Path) -> Result<usize> {
    let answers = store.answers(study, None)?;
    let raters = store.raters()?;
    let temporary = temporary(path);
    let failed = |source| Error::Csv { path: temporary.clone(), source };
    let mut writer = csv::Writer::from_path(&temporary).map_err(failed)?;
    writer.write_record(COLUMNS).map_err(failed)?;
    for answered in &answers {
        let rater = raters.iter().find(|rater| rater.number == answered.rater);
        let rater = rater.map_or("", |rater| rater.name.as_str());
        writer.write_record(row(study, rater, answered)).map_err(failed)?;
    }
    writer.flush().map_err(|source| Error::Io { path: temporary.clone(), source })?;
    drop(writer);
    fs::rename(&temporary, path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    Ok(answers.len())
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

fn row(study: &Study, rater: &str, answered: &Answered) -> [String; 13] {
    let case = study.cases.get(answered.task.case);
    let name = |system: usize| study.systems.get(system).cloned().unwrap_or_default();
    let (system, other, left) = match answered.task.shown {
        Shown::One { system } => (system, String::new(), name(system)),
        Shown::Two { first, second } => {
            (first, name(second), name(if answered.swapped { second } else { first }))
        }
    };
    let kind = case.and_then(|case| serde_json::to_value(case.kind?).ok());
    [
        rater.to_owned(),
        (answered.task.case + 1).to_string(),
        case.and_then(|case| case.user.clone()).unwrap_or_default(),
        case.and_then(|case| case.item.clone()).unwrap_or_default(),
        kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default().to_owned(),
        name(system),
        other,
        left,
        answered.attribute.clone(),
        answered.answer.as_str().to_owned(),
        format!("{:.1}", answered.seconds),
        answered.at.clone(),
        study.text(answered.task.case, system).to_owned(),
    ]
}
