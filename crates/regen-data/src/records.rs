//! What every reader of records shares: what happens to a line that is not a record, and the account of it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::lines::{self, Lines};
use crate::{Error, Result};

/// What a reader does with a line that is not a record.
///
/// Damage to the file itself (a compressed stream that is cut short or corrupt, an unreadable disk) is an error under
/// either: what follows is lost, and how much is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The first bad line is an error with file, line and column.
    #[default]
    Fail,
    /// Bad lines are left out, counted, and the first of them kept as samples ([`Skipped`]).
    Skip,
}

/// The account of the lines that were left out under [`OnError::Skip`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// How many lines were left out.
    pub lines: u64,
    /// The reasons for the first [`Skipped::SAMPLES`] of them, each with file, line and column.
    pub samples: Vec<String>,
}

impl Skipped {
    /// How many reasons are kept.
    pub const SAMPLES: usize = 10;

    pub(crate) fn add(&mut self, error: &Error) {
        self.lines += 1;
        if self.samples.len() < Self::SAMPLES {
            self.samples.push(error.to_string());
        }
    }

    /// Adds the account of another file.
    pub fn merge(&mut self, other: &Self) {
        self.lines += other.lines;
        let room = Self::SAMPLES.saturating_sub(self.samples.len());
        self.samples.extend(other.samples.iter().take(room).cloned());
    }
}

/// Where a record stands.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) path: &'a Path,
    pub(crate) line: u64,
}

impl Place<'_> {
    /// Reads `text` as JSON.
    pub(crate) fn json<'t, T: Deserialize<'t>>(&self, text: &'t str) -> Result<T> {
        serde_json::from_str(text).map_err(|error| lines::json_error(&error, self.path, self.line - 1))
    }

    /// The complaint that `field` is missing.
    pub(crate) fn missing(&self, field: &str) -> Error {
        Error::MissingField { path: self.path.to_owned(), line: self.line, field: field.to_owned() }
    }
}

/// The lines of a file, one record each, with the policy for bad ones. Blank lines are no records.
pub(crate) struct RecordLines {
    path: PathBuf,
    lines: Lines,
    on_error: OnError,
    skipped: Skipped,
    failed: bool,
}

impl RecordLines {
    pub(crate) fn open(path: &Path, on_error: OnError) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            lines: Lines::open(path)?,
            on_error,
            skipped: Skipped::default(),
            failed: false,
        })
    }

    pub(crate) fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// Whether the file is at its end, or a bad line ended the reading.
    pub(crate) fn next_with<T>(
        &mut self,
        mut read: impl FnMut(&str, Place<'_>) -> Result<T>,
    ) -> Option<Result<T>> {
        if self.failed {
            return None;
        }
        // Borrowed apart from the lines: a copy for each record shows in profiles.
        let path = &self.path;
        loop {
            let number = self.lines.number() + 1;
            let line = match self.lines.next_line() {
                Ok(None) => return None,
                Ok(Some(line)) => line,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let place = Place { path, line: number };
            match lines::utf8(line, path, number).and_then(|text| read(text, place)) {
                Ok(record) => return Some(Ok(record)),
                Err(error) if self.on_error == OnError::Skip => self.skipped.add(&error),
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }
}
