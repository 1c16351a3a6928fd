//! Products over rows: Aᵀ·B, the gradient of a weight from what entered it and the gradient of what left it.

use rayon::prelude::*;

use crate::attention::Strided;
use crate::level::{Level, Work};
use crate::matrix::Matrix;
use crate::multiply::{Put, Scratch};
use crate::pack::{eight, transposed};
use crate::spare::Spare;

/// Columns of A that a core takes at a time. Whole vectors of them; with a thousand rows a quarter of a megabyte.
const COLUMNS_AT_ONCE: usize = 64;

/// Memory that products over rows use again and again.
#[derive(Debug, Default)]
pub struct ColumnScratch {
    /// `[columns, rows]`.
    columns: Vec<f32>,
    scratch: Scratch,
}

impl Matrix {
    /// Aᵀ·B, where this matrix is B with its inputs as rows (see [`pack_transposed`](Self::pack_transposed)) and A has as many. On all
    /// threads of the current rayon pool; the result does not depend on how many there are.
    ///
    /// **Shapes** `a: [inputs, columns]` in rows `stride` apart, `out: [columns, outputs]`.
    ///
    /// # Panics
    /// If `out` is no whole number of rows or `a` is too short.
    pub fn product_over_rows(&self, a: Strided<'_>, out: &mut [f32], spare: &Spare<ColumnScratch>) {
        self.over_rows(a, out, Put::Set, spare);
    }

    /// As [`product_over_rows`](Self::product_over_rows), added to what `out` holds.
    ///
    /// # Panics
    /// As [`product_over_rows`](Self::product_over_rows).
    pub fn add_product_over_rows(&self, a: Strided<'_>, out: &mut [f32], spare: &Spare<ColumnScratch>) {
        self.over_rows(a, out, Put::Add, spare);
    }

    fn over_rows(&self, a: Strided<'_>, out: &mut [f32], put: Put, spare: &Spare<ColumnScratch>) {
        let (rows, outputs) = (self.inputs, self.outputs);
        let count = out.len() / outputs.max(1);
        assert_eq!(out.len(), count * outputs, "no whole number of rows of {outputs} outputs");
        let pieces = out.par_chunks_mut((COLUMNS_AT_ONCE * outputs).max(1)).enumerate().with_max_len(1);
        pieces.for_each(|(piece, out)| {
            let first = piece * COLUMNS_AT_ONCE;
            let count = out.len() / outputs;
            spare.with(|ColumnScratch { columns, scratch }| {
                columns.resize(count * rows, 0.0);
                self.level.run(Columns { a, first, count, rows, columns });
                self.rows_at_once(columns, out, put, COLUMNS_AT_ONCE, scratch);
            });
        });
    }
}

/// The sum of each column: the gradient of a bias from the gradient of what left it.
///
/// **Shapes** `a: [rows, columns]` in rows `stride` apart, `out: [columns]`.
///
/// # Panics
/// If `a` is too short.
pub fn column_sums(level: Level, a: Strided<'_>, rows: usize, out: &mut [f32]) {
    level.run(ColumnSums { a, rows, out });
}

struct ColumnSums<'a> {
    a: Strided<'a>,
    rows: usize,
    out: &'a mut [f32],
}

impl Work for ColumnSums<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { a, rows, out } = self;
        let width = out.len();
        out.fill(0.0);
        for at in 0..rows {
            out.iter_mut().zip(a.row(at, width)).for_each(|(sum, number)| *sum += number);
        }
    }
}

/// Columns of A as rows.
pub(crate) struct Columns<'a> {
    pub(crate) a: Strided<'a>,
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) rows: usize,
    /// `[count, rows]`.
    pub(crate) columns: &'a mut [f32],
}

impl Work for Columns<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { a: Strided { rows: numbers, stride }, first, count, rows, columns } = self;
        let row = |at: usize| &numbers[at * stride + first..][..count];
        let (row_blocks, column_blocks) = (rows / 8 * 8, count / 8 * 8);
        for start in (0..row_blocks).step_by(8) {
            let eight_rows: [&[f32]; 8] = std::array::from_fn(|at| row(start + at));
            for column in (0..column_blocks).step_by(8) {
                let block: [[f32; 8]; 8] = std::array::from_fn(|at| eight(eight_rows[at], column));
                for (at, turned) in transposed(&block).iter().enumerate() {
                    columns[(column + at) * rows + start..][..8].copy_from_slice(turned);
                }
            }
            for column in column_blocks..count {
                for (at, row) in eight_rows.iter().enumerate() {
                    columns[column * rows + start + at] = row[column];
                }
            }
        }
        for at in row_blocks..rows {
            for (column, number) in row(at).iter().enumerate() {
                columns[column * rows + at] = *number;
            }
        }
    }
}
