//! Embeddings on disk, written as they come: an `.npy` file, and a manifest that says what they were made from and how
//! many rows are there. A run that was killed goes on after the last whole block.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use half::f16;
use serde::{Deserialize, Serialize};

use crate::config::read_text;
use crate::{Error, Result};

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// Four bytes a number.
    F32,
    /// Two bytes a number; unit vectors lose less than 1e-6 of cosine.
    F16,
}

/// What embeddings were made from. Rows are continued only where all of it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Hash of the encoder's files, see [`hash_model`](crate::hash_model).
    pub model: String,
    /// Hash of the input.
    pub input: String,
    /// How a record becomes a text, if texts are made of records.
    pub template: Option<String>,
    /// What is put before every text, if not the folder's default.
    pub prompt: Option<String>,
    /// The precision of the computation.
    pub precision: String,
    /// How numbers are stored.
    pub storage: Storage,
    /// Rows in the end.
    pub texts: usize,
    /// Columns.
    pub dim: usize,
}

/// `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    origin: Origin,
    rows_written: usize,
    complete: bool,
}

/// A folder with `embeddings.npy` and `manifest.json`; until it is complete, the former is `embeddings.npy.partial`.
#[derive(Debug)]
pub struct EmbeddingStore {
    folder: PathBuf,
    file: File,
    manifest: Manifest,
}

impl EmbeddingStore {
    /// Starts anew, replacing what is there.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn create(folder: &Path, origin: Origin) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(write(folder))?;
        let path = folder.join(PARTIAL);
        let mut file = File::create(&path).map_err(write(&path))?;
        file.write_all(&header(&origin)).map_err(write(&path))?;
        let store = Self {
            folder: folder.to_owned(),
            file,
            manifest: Manifest { origin, rows_written: 0, complete: false },
        };
        store.save_manifest()?;
        Ok(store)
    }

    /// Goes on where an earlier run of the same origin ended; starts anew if there was none.
    ///
    /// # Errors
    /// [`Error::OtherOrigin`] if model, texts or a setting changed, [`Error::Truncated`] if rows are lacking that the
    /// manifest counts, [`Error::Json`], [`Error::Io`], [`Error::Write`].
    pub fn resume(folder: &Path, origin: Origin) -> Result<Self> {
        let manifest_path = folder.join(MANIFEST);
        if !manifest_path.exists() {
            return Self::create(folder, origin);
        }
        let manifest: Manifest = serde_json::from_str(&read_text(&manifest_path)?)
            .map_err(|source| Error::Json { path: manifest_path.clone(), source })?;
        if let Some((field, stored, given)) = first_change(&manifest.origin, &origin) {
            return Err(Error::OtherOrigin { path: manifest_path, field, stored, given });
        }
        let path = folder.join(if manifest.complete { COMPLETE } else { PARTIAL });
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|source| Error::Io { path: path.clone(), source })?;
        let expected = (header(&origin).len() + manifest.rows_written * row_bytes(&origin)) as u64;
        let got = file.metadata().map_err(write(&path))?.len();
        if got < expected {
            return Err(Error::Truncated { path, expected, got });
        }
        // Rows of a block that was cut off are written again.
        file.set_len(expected).map_err(write(&path))?;
        file.seek(SeekFrom::End(0)).map_err(write(&path))?;
        Ok(Self { folder: folder.to_owned(), file, manifest })
    }

    /// Rows that are written for good.
    pub fn rows(&self) -> usize {
        self.manifest.rows_written
    }

    /// Whether [`EmbeddingStore::finish`] has been called, in this run or an earlier one.
    pub fn is_complete(&self) -> bool {
        self.manifest.complete
    }

    /// Appends a block of whole rows, `[rows · dim]`.
    ///
    /// # Errors
    /// [`Error::RowCount`] if there is a part of a row or more rows than the origin says, [`Error::Write`].
    pub fn append(&mut self, values: &[f32]) -> Result<()> {
        let Origin { dim, texts, storage, .. } = self.manifest.origin;
        let rows = values.len() / dim.max(1);
        let total = self.manifest.rows_written + rows;
        if rows * dim != values.len() || total > texts {
            return Err(Error::RowCount { got: total, expected: texts });
        }
        let bytes: Vec<u8> = match storage {
            Storage::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Storage::F16 => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
        };
        let path = self.folder.join(PARTIAL);
        self.file.write_all(&bytes).map_err(write(&path))?;
        // The manifest must never count rows that are not there.
        self.file.sync_data().map_err(write(&path))?;
        self.manifest.rows_written = total;
        self.save_manifest()
    }

    /// Gives the file its final name.
    ///
    /// # Errors
    /// [`Error::RowCount`] if rows are missing, [`Error::Write`].
    pub fn finish(mut self) -> Result<PathBuf> {
        let complete = self.folder.join(COMPLETE);
        if self.manifest.complete {
            return Ok(complete);
        }
        let (got, expected) = (self.manifest.rows_written, self.manifest.origin.texts);
        if got != expected {
            return Err(Error::RowCount { got, expected });
        }
        std::fs::rename(self.folder.join(PARTIAL), &complete).map_err(write(&complete))?;
        self.manifest.complete = true;
        self.save_manifest()?;
        Ok(complete)
    }

    fn save_manifest(&self) -> Result<()> {
        let (path, temporary) = (self.folder.join(MANIFEST), self.folder.join("manifest.json.partial"));
        let text = serde_json::to_vec_pretty(&self.manifest)
            .map_err(|source| Error::Json { path: path.clone(), source })?;
        std::fs::write(&temporary, text).map_err(write(&temporary))?;
        std::fs::rename(&temporary, &path).map_err(write(&path))
    }
}

const COMPLETE: &str = "embeddings.npy";
const PARTIAL: &str = "embeddings.npy.partial";
const MANIFEST: &str = "manifest.json";

fn write(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Write { path: path.clone(), source }
}

fn row_bytes(origin: &Origin) -> usize {
    origin.dim
        * match origin.storage {
            Storage::F32 => 4,
            Storage::F16 => 2,
        }
}

/// **Source** NumPy's format description, version 1.0: the data begins at a multiple of 64.
fn header(origin: &Origin) -> Vec<u8> {
    let dtype = match origin.storage {
        Storage::F32 => "<f4",
        Storage::F16 => "<f2",
    };
    let (texts, dim) = (origin.texts, origin.dim);
    let mut fields =
        format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({texts}, {dim}), }}").into_bytes();
    let prefix = 10;
    fields.resize((prefix + fields.len() + 1).next_multiple_of(64) - prefix - 1, b' ');
    fields.push(b'\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    // Two numbers of at most 20 digits: the length always fits.
    bytes.extend((fields.len() as u16).to_le_bytes());
    bytes.extend(fields);
    bytes
}

/// The first field that differs, with both values.
fn first_change(stored: &Origin, given: &Origin) -> Option<(String, String, String)> {
    let fields = |origin: &Origin| match serde_json::to_value(origin) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let given = fields(given);
    fields(stored)
        .into_iter()
        .map(|(field, stored)| (given[&field].to_string(), field, stored.to_string()))
        .find(|(given, _, stored)| given != stored)
        .map(|(given, field, stored)| (field, stored, given))
}
