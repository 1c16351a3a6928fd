//! Embeddings on disk, written as they come: an `.npy` file, and a manifest that says what they were made from and how
//! many rows are there. A run that was killed goes on after the last whole block.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fields::read_text;
use crate::npy::{Layout, SCALES, Stored};
use crate::{Error, Result};

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// Four bytes a number.
    F32,
    /// Two bytes a number; unit vectors lose less than 1e-6 of cosine.
    F16,
    /// One byte a number, and a scale a row in `scales.npy`: the row's largest number over 127. Unit vectors of 384
    /// dimensions lose less than 1e-4 of cosine; see [`EmbeddingStore::least_cosine`].
    Int8,
}

impl Storage {
    /// Whether a number stays one.
    fn keeps(self, value: f32) -> bool {
        match self {
            Self::F16 => half::f16::from_f32(value).is_finite(),
            Self::F32 | Self::Int8 => value.is_finite(),
        }
    }
}

/// What embeddings were made from. Rows are continued only where all of it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Hash of the encoder's files, see [`hash_model`](crate::hash_model).
    pub model: String,
    /// Hash of the input, for example of its texts ([`TextsHash`](crate::TextsHash)).
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
    /// The least cosine of a row with what is stored of it, where storing rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    least_cosine: Option<f64>,
}

impl Manifest {
    fn load(path: &Path) -> Result<Self> {
        serde_json::from_str(&read_text(path)?)
            .map_err(|source| Error::Json { path: path.to_owned(), source })
    }
}

/// A folder with `embeddings.npy` and `manifest.json`, and for [`Storage::Int8`] `scales.npy`; until it is complete, the
/// names of arrays end in `.partial`. [`load_embeddings`](crate::load_embeddings) reads it.
#[derive(Debug)]
pub struct EmbeddingStore {
    folder: PathBuf,
    arrays: Vec<Array>,
    manifest: Manifest,
}

/// An array that grows by rows.
#[derive(Debug)]
struct Array {
    layout: Layout,
    path: PathBuf,
    file: File,
}

impl EmbeddingStore {
    /// Starts anew, replacing what is there.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn create(folder: &Path, origin: Origin) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(write(folder))?;
        let mut arrays = Vec::new();
        for layout in layouts(&origin) {
            let path = folder.join(partial(layout.name));
            let mut file = File::create(&path).map_err(write(&path))?;
            file.write_all(&layout.header()).map_err(write(&path))?;
            arrays.push(Array { layout, path, file });
        }
        let manifest = Manifest { origin, rows_written: 0, complete: false, least_cosine: None };
        let store = Self { folder: folder.to_owned(), arrays, manifest };
        store.save_manifest()?;
        Ok(store)
    }

    /// Goes on where an earlier run of the same origin ended; starts anew if there was none.
    ///
    /// # Errors
    /// [`Error::OtherOrigin`] if model, texts or a setting changed, [`Error::Truncated`] if rows are lacking that the
    /// manifest counts, [`Error::RowCount`] if it counts more than there are to be, [`Error::Npy`] for an array of another shape,
    /// [`Error::Json`], [`Error::Io`], [`Error::Write`].
    pub fn resume(folder: &Path, origin: Origin) -> Result<Self> {
        let manifest_path = folder.join(MANIFEST);
        if !manifest_path.exists() {
            return Self::create(folder, origin);
        }
        let manifest = Manifest::load(&manifest_path)?;
        if let Some((field, stored, given)) = first_change(&manifest.origin, &origin) {
            return Err(Error::OtherOrigin { path: manifest_path, field, stored, given });
        }
        let mut arrays = Vec::new();
        for layout in layouts(&origin) {
            // A run that was killed while it gave the arrays their names left some of them with either.
            let unfinished = folder.join(partial(layout.name));
            let path =
                if !manifest.complete && unfinished.exists() { unfinished } else { folder.join(layout.name) };
            let written = layout.written(manifest.rows_written);
            let Some(expected) = written.filter(|_| counts(&manifest)) else {
                return Err(Error::RowCount { got: manifest.rows_written, expected: origin.texts });
            };
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(&path)
                .map_err(|source| Error::Io { path: path.clone(), source })?;
            let got = file.metadata().map_err(write(&path))?.len();
            if got < expected {
                return Err(Error::Truncated { path, expected, got });
            }
            let mut header = vec![0; layout.header().len()];
            file.read_exact(&mut header).map_err(|source| Error::Io { path: path.clone(), source })?;
            if header != layout.header() {
                let reason = "its header is not that of the rows which the manifest counts".to_owned();
                return Err(Error::Npy { path, reason });
            }
            // Rows of a block that was cut off are written again.
            if !manifest.complete {
                file.set_len(expected).map_err(write(&path))?;
            }
            file.seek(SeekFrom::End(0)).map_err(write(&path))?;
            arrays.push(Array { layout, path, file });
        }
        Ok(Self { folder: folder.to_owned(), arrays, manifest })
    }

    /// Rows in a folder, of how many, if a run there was broken off after it had written some: [`create`](Self::create) would
    /// throw them away, [`resume`](Self::resume) goes on with them.
    ///
    /// # Errors
    /// [`Error::Json`] for a damaged manifest, [`Error::Io`].
    pub fn broken_off(folder: &Path) -> Result<Option<(usize, usize)>> {
        let path = folder.join(MANIFEST);
        if !path.exists() {
            return Ok(None);
        }
        let manifest = Manifest::load(&path)?;
        let rows = (manifest.rows_written, manifest.origin.texts);
        Ok(Some(rows).filter(|_| !manifest.complete && manifest.rows_written > 0))
    }

    /// Rows that are written for good.
    pub fn rows(&self) -> usize {
        self.manifest.rows_written
    }

    /// Whether [`EmbeddingStore::finish`] has been called, in this run or an earlier one.
    pub fn is_complete(&self) -> bool {
        self.manifest.complete
    }

    /// The least cosine of a row that was given with what is stored of it: what storage cost, measured. `None` for
    /// [`Storage::F32`], which stores what it is given, and before there are rows.
    pub fn least_cosine(&self) -> Option<f64> {
        self.manifest.least_cosine
    }

    /// Appends a block of whole rows, `[rows · dim]`.
    ///
    /// # Errors
    /// [`Error::RowCount`] if there is a part of a row or more rows than the origin says, [`Error::NotFinite`] for a number that is
    /// not finite or does not fit the storage, [`Error::Write`].
    pub fn append(&mut self, values: &[f32]) -> Result<()> {
        let Origin { dim, texts, storage, .. } = self.manifest.origin;
        let rows = values.len() / dim.max(1);
        let total = self.manifest.rows_written + rows;
        if rows * dim != values.len() || total > texts {
            return Err(Error::RowCount { got: total, expected: texts });
        }
        let finite = |row: &[f32]| row.iter().all(|value| storage.keeps(*value));
        if let Some(row) = values.chunks(dim.max(1)).position(|row| !finite(row)) {
            return Err(Error::NotFinite { row: self.manifest.rows_written + row });
        }
        let stored = Stored::of(values, dim.max(1), storage);
        for (array, bytes) in self.arrays.iter_mut().zip([&stored.numbers, &stored.scales]) {
            array.file.write_all(bytes).map_err(write(&array.path))?;
            // The manifest must never count rows that are not there.
            array.file.sync_data().map_err(write(&array.path))?;
        }
        self.manifest.least_cosine = match (self.manifest.least_cosine, stored.least_cosine) {
            (Some(before), Some(now)) => Some(before.min(now)),
            (before, now) => before.or(now),
        };
        self.manifest.rows_written = total;
        self.save_manifest()
    }

    /// Gives the files their final names.
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
        // What vectors are read with comes before them.
        for array in self.arrays.iter().rev() {
            let named = self.folder.join(array.layout.name);
            if array.path != named {
                std::fs::rename(&array.path, &named).map_err(write(&named))?;
            }
        }
        self.manifest.complete = true;
        self.save_manifest()?;
        Ok(complete)
    }

    fn save_manifest(&self) -> Result<()> {
        let (path, temporary) = (self.folder.join(MANIFEST), self.folder.join("manifest.json.partial"));
        let text = serde_json::to_vec_pretty(&self.manifest)
            .map_err(|source| Error::Json { path: path.clone(), source })?;
        let mut file = File::create(&temporary).map_err(write(&temporary))?;
        file.write_all(&text).map_err(write(&temporary))?;
        file.sync_data().map_err(write(&temporary))?;
        std::fs::rename(&temporary, &path).map_err(write(&path))
    }
}

const COMPLETE: &str = "embeddings.npy";
const MANIFEST: &str = "manifest.json";

fn write(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Write { path: path.clone(), source }
}

/// Whether a manifest can be true.
fn counts(manifest: &Manifest) -> bool {
    let (written, texts) = (manifest.rows_written, manifest.origin.texts);
    written == texts || (written < texts && !manifest.complete)
}

fn partial(name: &str) -> String {
    format!("{name}.partial")
}

/// The arrays of a store: vectors, and scales where there are some.
fn layouts(origin: &Origin) -> Vec<Layout> {
    let array = |name, dtype, number_bytes, columns| Layout {
        name,
        dtype,
        number_bytes,
        rows: origin.texts,
        columns,
    };
    let vectors = |dtype, number_bytes| array(COMPLETE, dtype, number_bytes, Some(origin.dim));
    match origin.storage {
        Storage::F32 => vec![vectors("<f4", 4)],
        Storage::F16 => vec![vectors("<f2", 2)],
        Storage::Int8 => vec![vectors("|i1", 1), array(SCALES, "<f4", 4, None)],
    }
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
