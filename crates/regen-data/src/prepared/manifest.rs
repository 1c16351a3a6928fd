//! What a prepared folder says of itself.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::{replace, sha256_of};
use crate::{Chronology, Dataset, Error, Result, lines};

/// The newest version of the format that this release writes and reads.
pub const VERSION: u32 = 2;

const FORMAT: &str = "regen-data";
/// The file whose presence makes a folder a prepared one.
pub(crate) const MANIFEST: &str = "dataset.json";

/// The tables in Parquet. Named here because a build that cannot read them still replaces them.
pub(super) const PARQUET_FILES: [&str; 4] =
    ["users.parquet", "items.parquet", "interactions.parquet", "narratives.parquet"];

/// How the tables of a prepared folder are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableFormat {
    /// Lines, JSON lines and CSV (version 1).
    #[default]
    Text,
    /// Parquet (version 2). Needs the feature `parquet`.
    Parquet,
}

impl TableFormat {
    fn version(self) -> u32 {
        match self {
            Self::Text => 1,
            Self::Parquet => 2,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Manifest {
    format: String,
    version: u32,
    pub(super) name: String,
    pub(super) chronology: Chronology,
    users: usize,
    items: usize,
    interactions: usize,
    narratives: usize,
    sha256: Vec<(String, String)>,
}

/// The tables that were written, by name, and their SHA-256.
#[derive(Default)]
pub(super) struct Sums(Vec<(String, String)>);

impl Sums {
    /// Writes a table and notes its sum.
    pub(super) fn write(
        &mut self,
        folder: &Path,
        name: &str,
        fill: &mut dyn FnMut(&mut (dyn Write + Send)) -> std::io::Result<()>,
    ) -> Result<()> {
        let sum = replace(&folder.join(name), fill)?;
        self.0.push((name.to_owned(), sum));
        Ok(())
    }
}

impl Manifest {
    pub(super) fn new(dataset: &Dataset, format: TableFormat, sums: Sums) -> Self {
        Self {
            format: FORMAT.into(),
            version: format.version(),
            name: dataset.name.clone(),
            chronology: dataset.chronology,
            users: dataset.users.len(),
            items: dataset.items.len(),
            interactions: dataset.interactions.len(),
            narratives: dataset.narratives.len(),
            sha256: sums.0,
        }
    }

    /// Reads the manifest of `folder` and says how its tables are written.
    pub(super) fn load(folder: &Path) -> Result<(Self, TableFormat)> {
        let path = folder.join(MANIFEST);
        if folder.is_dir() && !path.exists() {
            return Err(Error::NotPrepared { folder: folder.to_owned() });
        }
        // The version first: the rest of another one may look otherwise.
        let value: serde_json::Value = lines::json_document(&path)?;
        let format = value["format"].as_str().unwrap_or_default();
        let version = value["version"].as_u64().unwrap_or_default();
        let tables = [TableFormat::Text, TableFormat::Parquet];
        let tables = tables.into_iter().find(|tables| u64::from(tables.version()) == version);
        match tables {
            Some(tables) if format == FORMAT => Ok((lines::json_document(&path)?, tables)),
            _ => Err(Error::UnsupportedVersion {
                path,
                expected: format!("{FORMAT} 1 to {VERSION}"),
                got: format!("{format} {version}"),
            }),
        }
    }

    /// Compares every table with its sum.
    pub(super) fn verify(&self, folder: &Path) -> Result<()> {
        for (name, expected) in &self.sha256 {
            let path = folder.join(name);
            let got = sha256_of(&path)?;
            if got != *expected {
                return Err(Error::Checksum { path, expected: expected.clone(), got });
            }
        }
        Ok(())
    }
}
