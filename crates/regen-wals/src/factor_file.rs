//! Factors that stay on disk: opened without reading them, read row by row.
//!
//! Reads name their position, so there is no cursor to share and no `unsafe`; what is read often
//! stays in the system's page cache, as the pages of a memory map would. A map saves one copy a
//! row and answers a file that shrinks under it by killing the process; a read answers with an
//! error.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::npy::{self, Layout};
use crate::persist::io_error;
use crate::safetensors;

/// A matrix of factors in a `.npy` or safetensors file, `[rows, rank]`.
#[derive(Debug)]
pub struct FactorFile {
    file: File,
    path: PathBuf,
    layout: Layout,
}

/// Rows that nobody asked for are read along rather than skipped when they are so few.
const GAP: usize = 16;
/// The longest read, in bytes.
const LONGEST_READ: usize = 1 << 20;
/// Rows of a task that gathers.
const GATHERED: usize = 1024;

impl FactorFile {
    /// Opens a two-dimensional f32 `.npy` in C order.
    ///
    /// # Errors
    /// As [`load_npy`](crate::persist::load_npy).
    pub fn open(path: &Path) -> Result<Self> {
        let (file, layout) = npy::open(path)?;
        Ok(Self { file, path: path.to_path_buf(), layout })
    }

    /// Opens a two-dimensional f32 tensor of a safetensors file.
    ///
    /// # Errors
    /// As [`load_safetensors`](crate::persist::load_safetensors).
    pub fn open_tensor(path: &Path, name: &str) -> Result<Self> {
        let (file, layout) = safetensors::open(path, name)?;
        Ok(Self { file, path: path.to_path_buf(), layout })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.layout.rows
    }

    /// Width of the factors.
    pub fn rank(&self) -> usize {
        self.layout.columns
    }

    /// Reads consecutive rows, `[range.len(), rank]`.
    ///
    /// # Errors
    /// [`Error::RowOutOfRange`], [`Error::Io`].
    pub fn read(&self, range: Range<usize>) -> Result<Array2<f32>> {
        if let Some(last) = range.clone().last() {
            self.check(last)?;
        }
        let mut rows = Array2::zeros((range.len(), self.rank()));
        if let Some(numbers) = rows.as_slice_mut() {
            self.read_into(range.start, numbers)?;
        }
        Ok(rows)
    }

    /// Reads the given rows, in any order and as often as they stand there: `[rows.len(), rank]`.
    /// Ascending rows cost the fewest reads.
    ///
    /// # Errors
    /// [`Error::RowOutOfRange`], [`Error::Io`].
    pub fn gather(&self, rows: &[u32]) -> Result<Array2<f32>> {
        if let Some(&row) = rows.iter().max() {
            self.check(row as usize)?;
        }
        let mut gathered = Array2::zeros((rows.len(), self.rank()));
        if let Some(numbers) = gathered.as_slice_mut() {
            self.gather_into(rows, 0, numbers)?;
        }
        Ok(gathered)
    }

    /// Numbers of consecutive rows, as many as fit; they are known to exist.
    pub(crate) fn read_into(&self, first: usize, numbers: &mut [f32]) -> Result<()> {
        let rows = (LONGEST_READ / (4 * self.rank()).max(1)).max(1);
        let mut buffer = Vec::new();
        let mut first = first;
        for part in numbers.chunks_mut((rows * self.rank()).max(1)) {
            self.read_bytes(first, part.len() * 4, &mut buffer)?;
            decode(&buffer, part);
            first += rows;
        }
        Ok(())
    }

    /// The rows `rows[k] - base`, which are known to exist.
    pub(crate) fn gather_into(&self, rows: &[u32], base: u32, numbers: &mut [f32]) -> Result<()> {
        let rank = self.rank();
        if rank == 0 {
            return Ok(());
        }
        numbers
            // A matrix without rows may have any width.
            .par_chunks_mut(GATHERED.saturating_mul(rank))
            .zip(rows.par_chunks(GATHERED))
            .try_for_each_init(Vec::new, |buffer, (numbers, rows)| {
                self.gather_part(rows, base, numbers, buffer)
            })
    }

    fn gather_part(&self, rows: &[u32], base: u32, numbers: &mut [f32], buffer: &mut Vec<u8>) -> Result<()> {
        let rank = self.rank();
        let longest = (LONGEST_READ / (4 * rank)).max(1);
        let mut rest = numbers;
        let mut k = 0;
        while k < rows.len() {
            let (first, mut last) = (rows[k] as usize, rows[k] as usize);
            let mut end = k + 1;
            while let Some(&next) = rows.get(end) {
                let next = next as usize;
                if next < last || next - last > GAP || next - first >= longest {
                    break;
                }
                last = next;
                end += 1;
            }
            self.read_bytes(first - base as usize, (last - first + 1) * rank * 4, buffer)?;
            for &row in &rows[k..end] {
                let (part, later) = rest.split_at_mut(rank);
                decode(&buffer[(row as usize - first) * rank * 4..], part);
                rest = later;
            }
            k = end;
        }
        Ok(())
    }

    fn read_bytes(&self, first: usize, bytes: usize, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.resize(bytes, 0);
        let position = self.layout.offset + (first * self.rank() * 4) as u64;
        read_exact_at(&self.file, buffer, position).map_err(io_error("read", &self.path))
    }

    fn check(&self, row: usize) -> Result<()> {
        if row < self.rows() {
            return Ok(());
        }
        Err(Error::RowOutOfRange { path: self.path.clone(), row, rows: self.rows() })
    }
}

/// Little-endian numbers into as many floats as there is room for.
pub(crate) fn decode(bytes: &[u8], numbers: &mut [f32]) {
    let (whole, _) = bytes.as_chunks::<4>();
    for (number, &bytes) in numbers.iter_mut().zip(whole) {
        *number = f32::from_le_bytes(bytes);
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, position)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut position: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, position)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                buffer = &mut buffer[read..];
                position += read as u64;
            }
        }
    }
    Ok(())
}
