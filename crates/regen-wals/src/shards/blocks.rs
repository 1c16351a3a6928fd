//! Factors of one side on disk, in blocks of rows: one `.npy` a shard of the matrix.

use std::ops::Range;
use std::path::PathBuf;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::factor_file::FactorFile;
use crate::persist::save_npy;
use crate::simd::Level;
use crate::solver::{CHUNK, GramParts};

/// Where the blocks of a side lie; what they hold is read when it is needed.
#[derive(Debug, Clone)]
pub(super) struct Blocks {
    pub(super) folder: PathBuf,
    pub(super) rows: usize,
    pub(super) rows_per_block: usize,
    pub(super) rank: usize,
}

/// Rows that a task reads at a time where a whole block is not needed at once.
const READ: usize = 8 * CHUNK;

impl Blocks {
    pub(super) fn count(&self) -> usize {
        self.rows.div_ceil(self.rows_per_block)
    }

    pub(super) fn range(&self, block: usize) -> Range<usize> {
        let first = block * self.rows_per_block;
        first..self.rows.min(first + self.rows_per_block)
    }

    fn path(&self, block: usize) -> PathBuf {
        self.folder.join(format!("{block:05}.npy"))
    }

    /// Whether a block was written: it has its name only once it is whole.
    pub(super) fn exists(&self, block: usize) -> bool {
        self.path(block).exists()
    }

    pub(super) fn write(&self, block: usize, numbers: &[f32]) -> Result<()> {
        match ArrayView2::from_shape((self.range(block).len(), self.rank), numbers) {
            Ok(factors) => save_npy(&self.path(block), factors),
            Err(_) => unreachable!("as many numbers as the block has"),
        }
    }

    /// All numbers of a block.
    pub(super) fn read(&self, block: usize) -> Result<Vec<f32>> {
        let mut numbers = vec![0f32; self.range(block).len() * self.rank];
        self.open(block)?.read_into(0, &mut numbers)?;
        Ok(numbers)
    }

    /// The given rows, which ascend: `[rows.len(), rank]`.
    pub(super) fn gather(&self, rows: &[u32]) -> Result<Vec<f32>> {
        let mut numbers = vec![0f32; rows.len() * self.rank];
        let (mut rest, mut out) = (rows, &mut numbers[..]);
        while let Some(&first) = rest.first() {
            let block = first as usize / self.rows_per_block;
            let range = self.range(block);
            let (own, later) = rest.split_at(rest.partition_point(|&row| (row as usize) < range.end));
            let (part, left) = std::mem::take(&mut out).split_at_mut(own.len() * self.rank);
            // Rows fit into u32, and the first of a block is a row.
            self.open(block)?.gather_into(own, range.start as u32, part)?;
            (rest, out) = (later, left);
        }
        Ok(numbers)
    }

    /// FᵀF, cut and summed as `fast_gram` does it in memory.
    pub(super) fn gram(&self, level: Level) -> Result<Array2<f64>> {
        let parts = GramParts::of(self.rows, self.rank);
        let pieces: Vec<Vec<f64>> = (0..parts.count)
            .into_par_iter()
            .map(|piece| {
                let mut sum = parts.zero();
                let mut buffer = Vec::new();
                let mut row = piece * parts.rows;
                let end = self.rows.min(row + parts.rows);
                while row < end {
                    let block = row / self.rows_per_block;
                    let range = self.range(block);
                    let count = READ.min(end - row).min(range.end - row);
                    buffer.resize(count * self.rank, 0.0);
                    self.open(block)?.read_into(row - range.start, &mut buffer)?;
                    parts.add(level, &buffer, &mut sum);
                    row += count;
                }
                Ok(sum)
            })
            .collect::<Result<_>>()?;
        Ok(parts.reduce(&pieces))
    }

    fn open(&self, block: usize) -> Result<FactorFile> {
        let path = self.path(block);
        let file = FactorFile::open(&path)?;
        let expected = [self.range(block).len(), self.rank];
        if [file.rows(), file.rank()] != expected {
            return Err(Error::Format {
                path,
                field: "shape",
                expected: format!("{expected:?}"),
                got: format!("[{}, {}]", file.rows(), file.rank()),
            });
        }
        Ok(file)
    }
}
