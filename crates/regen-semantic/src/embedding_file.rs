//! Embeddings that stay on disk and are read by rows.
//!
//! Rows are read, not mapped: a file that is cut short under a map ends the process, and what is read often stays in the system's
//! page cache either way.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use regen_torch::NpyHeader;
use tch::{Kind, Tensor};

use crate::npy::SCALES;
use crate::transformer::torch;
use crate::{Error, Result};

/// The embeddings of a `.npy` file, `[rows, dim]`, as an [`EmbeddingStore`](crate::EmbeddingStore) writes them with any
/// [`Storage`](crate::Storage), of which no more than the rows that are asked for is in memory.
#[derive(Debug)]
pub struct EmbeddingFile {
    numbers: Array,
    /// One for each row of one-byte numbers.
    scales: Option<Array>,
}

impl EmbeddingFile {
    /// Opens a file, for one-byte numbers with the `scales.npy` beside it.
    ///
    /// # Errors
    /// [`Error::Io`] if a file is missing, [`Error::Npy`] if one is not such an array or ends before its last number,
    /// [`Error::RowCount`] if there are more or fewer scales than rows.
    pub fn open(path: &Path) -> Result<Self> {
        let numbers = Array::open(path, 2)?;
        let scales = match numbers.kind {
            Kind::Int8 => Some(Array::open(&path.with_file_name(SCALES), 1)?),
            _ => None,
        };
        if let Some(scales) = &scales
            && scales.rows != numbers.rows
        {
            return Err(Error::RowCount { got: scales.rows, expected: numbers.rows });
        }
        Ok(Self { numbers, scales })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.numbers.rows
    }

    /// Width of an embedding.
    pub fn dim(&self) -> usize {
        self.numbers.columns
    }

    /// Consecutive rows, `[range.len(), dim]` in `f32` on the CPU.
    ///
    /// # Errors
    /// [`Error::RowCount`] for rows that the file does not have; [`Error::Io`], also if the file was cut short since it was opened;
    /// [`Error::Torch`].
    pub fn read(&self, range: Range<usize>) -> Result<Tensor> {
        if range.start > range.end || range.end > self.rows() {
            return Err(Error::RowCount { got: range.end.max(range.start), expected: self.rows() });
        }
        let numbers = self.numbers.read(&range)?;
        let Some(scales) = &self.scales else { return Ok(numbers) };
        numbers.f_mul(&scales.read(&range)?).map_err(torch("scale embeddings"))
    }
}

/// A checked `.npy` file of numbers.
#[derive(Debug)]
struct Array {
    file: Mutex<File>,
    path: PathBuf,
    kind: Kind,
    offset: u64,
    rows: usize,
    columns: usize,
}

impl Array {
    /// `dimensions`: 2, or 1 for one number a row.
    fn open(path: &Path, dimensions: usize) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let refused = |reason: String| Error::Npy { path: path.to_owned(), reason };
        let mut file = File::open(path).map_err(io)?;
        let got = file.metadata().map_err(io)?.len();
        let header = NpyHeader::read(&mut file, path).map_err(|error| match error {
            regen_torch::Error::Npy { path, reason } => Error::Npy { path, reason },
            other => refused(other.to_string()),
        })?;
        let kind = match header.descr.trim_start_matches(['<', '|', '=']) {
            "f2" => Kind::Half,
            "f4" => Kind::Float,
            "f8" => Kind::Double,
            "i1" if dimensions == 2 => Kind::Int8,
            _ => return Err(refused(format!("its numbers are {}, expected floats", header.descr))),
        };
        if !header.row_major {
            return Err(refused("its rows are not one after the other".to_owned()));
        }
        let shape = || format!("its shape is {:?}", header.shape);
        let sizes: Option<Vec<usize>> = header.shape.iter().map(|&size| size.try_into().ok()).collect();
        let (rows, columns) = match sizes.as_deref() {
            Some(&[rows, columns]) if dimensions == 2 => (rows, columns),
            Some(&[rows]) if dimensions == 1 => (rows, 1),
            _ => return Err(refused(format!("{}, expected {dimensions} dimensions", shape()))),
        };
        // Sizes of 0 count as 1: an array without rows is still asked how wide it is.
        let bytes = rows.max(1).checked_mul(columns.max(1)).and_then(|count| count.checked_mul(8));
        let fits = bytes.is_some_and(|bytes| i64::try_from(bytes).is_ok());
        let expected = header.file_bytes(kind.elt_size_in_bytes() as u64).filter(|_| fits);
        let expected = expected
            .ok_or_else(|| refused(format!("{}, which is none of numbers that fit anywhere", shape())))?;
        if got < expected {
            let reason = format!("it should have {expected} bytes and has {got}: it was cut off");
            return Err(refused(reason));
        }
        Ok(Self { file: Mutex::new(file), path: path.to_owned(), kind, offset: header.offset, rows, columns })
    }

    /// Rows that exist, `[rows, columns]` in `f32`.
    fn read(&self, range: &Range<usize>) -> Result<Tensor> {
        let row_bytes = self.columns * self.kind.elt_size_in_bytes();
        let mut bytes = vec![0u8; range.len() * row_bytes];
        // A reader that panicked left nothing half done: every read sets its own position.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.offset + (range.start * row_bytes) as u64))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|source| Error::Io { path: self.path.clone(), source })?;
        drop(file);
        let shape = [range.len() as i64, self.columns as i64];
        Tensor::f_from_data_size(&bytes, &shape, self.kind)
            .and_then(|numbers| numbers.f_to_kind(Kind::Float))
            .map_err(torch("build a tensor"))
    }
}
