//! Embeddings that stay on disk and are read by rows.
//!
//! Rows are read, not mapped: a file that is cut short under a map ends the process, and what is read often stays in the system's
//! page cache either way.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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

/// Longest header that is read: ours and NumPy's own are near 100 bytes.
const LONGEST_HEADER: u64 = 1 << 16;

impl Array {
    /// `dimensions`: 2, or 1 for one number a row.
    ///
    /// **Source** NumPy's format description, versions 1.0 to 3.0.
    fn open(path: &Path, dimensions: usize) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let refused = |reason: String| Error::Npy { path: path.to_owned(), reason };
        let mut file = File::open(path).map_err(io)?;
        let got = file.metadata().map_err(io)?.len();
        let short = |_| refused("its header is cut off".to_owned());
        let mut begin = [0u8; 8];
        file.read_exact(&mut begin).map_err(short)?;
        if &begin[..6] != b"\x93NUMPY" {
            return Err(refused("it does not begin as NumPy's arrays do".to_owned()));
        }
        let mut length = [0u8; 4];
        let width = if begin[6] == 1 { 2 } else { 4 };
        file.read_exact(&mut length[..width]).map_err(short)?;
        let length = u64::from(u32::from_le_bytes(length));
        if length > LONGEST_HEADER {
            return Err(refused(format!("its header claims to have {length} bytes")));
        }
        let mut header = vec![0u8; length as usize];
        file.read_exact(&mut header).map_err(short)?;
        let header = String::from_utf8_lossy(&header);
        let field = |key: &str| header.split_once(key).map(|(_, rest)| rest.trim_start());
        let descr = field("'descr':").and_then(|rest| rest.split('\'').nth(1)).unwrap_or("nothing");
        let kind = match descr.trim_start_matches(['<', '|', '=']) {
            "f2" => Kind::Half,
            "f4" => Kind::Float,
            "f8" => Kind::Double,
            "i1" if dimensions == 2 => Kind::Int8,
            _ => return Err(refused(format!("its numbers are {descr}, expected floats"))),
        };
        if !field("'fortran_order':").is_some_and(|rest| rest.starts_with("False")) {
            return Err(refused("its rows are not one after the other".to_owned()));
        }
        let shape = field("'shape':")
            .and_then(|rest| rest.strip_prefix('(')?.split_once(')'))
            .map_or("nothing", |(shape, _)| shape);
        let sizes: Option<Vec<usize>> = shape
            .split(',')
            .map(str::trim)
            .filter(|size| !size.is_empty())
            .map(|size| size.parse().ok())
            .collect();
        let (rows, columns) = match sizes.as_deref() {
            Some(&[rows, columns]) if dimensions == 2 => (rows, columns),
            Some(&[rows]) if dimensions == 1 => (rows, 1),
            _ => return Err(refused(format!("its shape is ({shape}), expected {dimensions} dimensions"))),
        };
        let offset = 8 + width as u64 + length;
        // Sizes of 0 count as 1: an array without rows is still asked how wide it is.
        let bytes = rows.max(1).checked_mul(columns.max(1)).and_then(|count| count.checked_mul(8));
        if bytes.is_none_or(|bytes| i64::try_from(bytes).is_err()) {
            return Err(refused(format!("its shape ({shape}) is no shape of numbers that fit anywhere")));
        }
        let expected = offset + (rows * columns * kind.elt_size_in_bytes()) as u64;
        if got < expected {
            let reason = format!("it should have {expected} bytes and has {got}: it was cut off");
            return Err(refused(reason));
        }
        Ok(Self { file: Mutex::new(file), path: path.to_owned(), kind, offset, rows, columns })
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
