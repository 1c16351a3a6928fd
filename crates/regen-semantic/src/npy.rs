//! Rows of numbers as NumPy's arrays hold them, and back.

use std::path::Path;

use half::f16;
use tch::Tensor;

use crate::{EmbeddingFile, Result, Storage};

/// The scales of rows that are stored in one byte a number, beside them.
pub(crate) const SCALES: &str = "scales.npy";

/// An array of a store.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) name: &'static str,
    pub(crate) dtype: &'static str,
    pub(crate) number_bytes: usize,
    pub(crate) rows: usize,
    /// `None` for one number a row.
    pub(crate) columns: Option<usize>,
}

impl Layout {
    pub(crate) fn row_bytes(&self) -> usize {
        self.number_bytes * self.columns.unwrap_or(1)
    }

    /// Bytes of the file when `rows` are written; `None` if no file can have as many.
    pub(crate) fn written(&self, rows: usize) -> Option<u64> {
        let bytes = rows.checked_mul(self.row_bytes())?.checked_add(self.header().len())?;
        u64::try_from(bytes).ok()
    }

    /// **Source** NumPy's format description, version 1.0: the data begins at a multiple of 64.
    pub(crate) fn header(&self) -> Vec<u8> {
        let (dtype, rows) = (self.dtype, self.rows);
        let shape = self.columns.map_or(format!("({rows},)"), |columns| format!("({rows}, {columns})"));
        let mut fields =
            format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}").into_bytes();
        let prefix = 10;
        fields.resize((prefix + fields.len() + 1).next_multiple_of(64) - prefix - 1, b' ');
        fields.push(b'\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        // Two numbers of at most 20 digits: the length always fits.
        bytes.extend((fields.len() as u16).to_le_bytes());
        bytes.extend(fields);
        bytes
    }
}

/// The bytes of whole rows, and how well they keep the rows' directions.
pub(crate) struct Stored {
    pub(crate) numbers: Vec<u8>,
    pub(crate) scales: Vec<u8>,
    pub(crate) least_cosine: Option<f64>,
}

impl Stored {
    /// `values: [rows · dim]`.
    pub(crate) fn of(values: &[f32], dim: usize, storage: Storage) -> Self {
        let mut stored = Self { numbers: Vec::new(), scales: Vec::new(), least_cosine: None };
        for row in values.chunks_exact(dim) {
            let kept: Vec<f32> = match storage {
                Storage::F32 => {
                    stored.numbers.extend(row.iter().flat_map(|value| value.to_le_bytes()));
                    continue;
                }
                Storage::F16 => {
                    let halves: Vec<f16> = row.iter().map(|&value| f16::from_f32(value)).collect();
                    stored.numbers.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
                    halves.iter().map(|half| half.to_f32()).collect()
                }
                Storage::Int8 => {
                    let largest = row.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
                    let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
                    let bytes: Vec<i8> = row.iter().map(|value| (value / scale).round() as i8).collect();
                    stored.scales.extend(scale.to_le_bytes());
                    stored.numbers.extend(bytes.iter().flat_map(|byte| byte.to_le_bytes()));
                    bytes.iter().map(|&byte| f32::from(byte) * scale).collect()
                }
            };
            let cosine = cosine(row, &kept);
            stored.least_cosine = Some(stored.least_cosine.map_or(cosine, |least: f64| least.min(cosine)));
        }
        stored
    }
}

/// A vector of zeros has no direction to lose.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms == 0.0 { 1.0 } else { (dot(a, b) / norms).min(1.0) }
}

/// The embeddings of a `.npy` file, `[rows, dim]` in `f32` on the CPU: what an [`EmbeddingStore`](crate::EmbeddingStore)
/// wrote with any [`Storage`], for one-byte numbers with the `scales.npy` beside it. All of them are in memory;
/// [`EmbeddingFile`] reads rows.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the file is missing, [`Error::Npy`](crate::Error::Npy) if it or its scales are not such an
/// array, or end before their last number, [`Error::RowCount`](crate::Error::RowCount) if there are more or fewer scales than rows.
pub fn load_embeddings(path: &Path) -> Result<Tensor> {
    let file = EmbeddingFile::open(path)?;
    file.read(0..file.rows())
}
