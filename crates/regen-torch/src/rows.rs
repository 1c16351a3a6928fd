//! Tensors that stay on disk and are read by rows.
//!
//! Rows are read, not mapped: the pages around a mapped row are counted as memory of the process, and a file that is cut short
//! under a map ends the process. What is read often stays in the system's page cache either way.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tch::{Kind, Tensor};

use crate::{Error, Result};

/// A tensor of a safetensors file, `[rows, …]`, of which no more than the rows that are asked for is ever read
/// ([`Checkpoint::rows`](crate::Checkpoint::rows)).
#[derive(Debug)]
pub struct TensorRows {
    file: Mutex<File>,
    path: PathBuf,
    name: String,
    kind: Kind,
    /// Bytes from the start of the file.
    start: u64,
    rows: i64,
    row_shape: Vec<i64>,
}

impl TensorRows {
    pub(crate) fn open(
        path: &Path,
        name: &str,
        kind: Kind,
        start: u64,
        rows: i64,
        row_shape: &[i64],
    ) -> Result<Self> {
        let file =
            File::open(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })?;
        let (path, name, row_shape) = (path.to_owned(), name.to_owned(), row_shape.to_vec());
        Ok(Self { file: Mutex::new(file), path, name, kind, start, rows, row_shape })
    }

    /// `[rows, …]`.
    pub fn size(&self) -> Vec<i64> {
        [&[self.rows], &self.row_shape[..]].concat()
    }

    /// The stored number type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Reads the given rows in the order in which they are given: `[rows.len(), …]`, on the CPU, in the stored number type.
    /// Values are not looked at, so they may be NaN or infinite.
    ///
    /// # Errors
    /// [`Error::RowOutOfRange`]; [`Error::Io`], also if the file was cut short since it was opened; [`Error::Torch`].
    pub fn gather(&self, rows: &[i64]) -> Result<Tensor> {
        let width = self.row_shape.iter().product::<i64>() as usize * self.kind.elt_size_in_bytes();
        let mut bytes = vec![0u8; rows.len() * width];
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&place| rows[place]);
        if let Some(&row) = rows.iter().find(|row| !(0..self.rows).contains(row)) {
            let (tensor, path) = (self.name.clone(), self.path.clone());
            return Err(Error::RowOutOfRange { tensor, path, row, rows: self.rows });
        }
        // A reader that panicked left nothing half done: every read sets its own position.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = &order[..];
        let mut before: Option<usize> = None;
        while let Some(&first) = rest.first() {
            // Neighbours in the file that are neighbours in the result are one read.
            let follows = |pair: &[usize]| pair[1] == pair[0] + 1 && rows[pair[1]] == rows[pair[0]] + 1;
            let run = 1 + rest.windows(2).take_while(|pair| follows(pair)).count();
            match before {
                // Batches name the same row often: padding, and what many people buy.
                Some(before) if run == 1 && rows[before] == rows[first] => {
                    bytes.copy_within(before * width..(before + 1) * width, first * width);
                }
                _ => {
                    let place = &mut bytes[first * width..(first + run) * width];
                    file.seek(SeekFrom::Start(self.start + rows[first] as u64 * width as u64))
                        .and_then(|_| file.read_exact(place))
                        .map_err(|source| Error::Io { action: "read", path: self.path.clone(), source })?;
                }
            }
            before = Some(first + run - 1);
            rest = &rest[run..];
        }
        drop(file);
        let shape = [&[rows.len() as i64], &self.row_shape[..]].concat();
        Tensor::f_from_data_size(&bytes, &shape, self.kind)
            .map_err(|source| Error::Torch { action: "build a tensor", source })
    }
}
