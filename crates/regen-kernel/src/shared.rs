//! Products that all cores of a pool share.

use rayon::prelude::*;

use crate::level::Work;
use crate::matrix::Matrix;
use crate::multiply::{Put, Rows, Scratch};
use crate::panels::PANEL;
use crate::spare::Spare;
use crate::tiles::Sums;

/// Multiplications below which handing work to another core costs more than it saves.
const WORTH_SHARING: usize = 60_000;

/// Rows from which cores get rows of their own rather than panels.
const ROWS_A_CORE: usize = 24;

/// Equal shares for each core, so that none waits long for another that was kept busy.
const SHARES: usize = 4;

impl Matrix {
    /// On all threads of the current rayon pool: **Shapes** `x: [rows, inputs] → out: [rows, outputs]`. The result does not depend
    /// on how many there are.
    ///
    /// # Panics
    /// If `x` is no whole number of rows, or `out` does not have as many.
    pub fn multiply_shared(&self, x: &[f32], out: &mut [f32], memory: &Spare<Scratch>) {
        self.shared(x, out, Put::Set, memory);
    }

    /// As [`multiply_shared`](Self::multiply_shared), added to what `out` holds.
    ///
    /// # Panics
    /// As [`multiply_shared`](Self::multiply_shared).
    pub fn multiply_add_shared(&self, x: &[f32], out: &mut [f32], memory: &Spare<Scratch>) {
        self.shared(x, out, Put::Add, memory);
    }

    fn shared(&self, x: &[f32], out: &mut [f32], put: Put, memory: &Spare<Scratch>) {
        self.check(x, out);
        let (inputs, outputs) = (self.inputs, self.outputs);
        let rows = x.len() / inputs;
        let threads = rayon::current_num_threads();
        let work = rows * inputs * outputs * self.parts();
        if threads == 1 || work <= WORTH_SHARING {
            memory.with(|scratch| self.rows_into(x, out, put, scratch));
        } else if rows >= threads * ROWS_A_CORE {
            // They need not be whole tiles: smaller ones take less time.
            let share = rows.div_ceil(SHARES * threads).max(ROWS_A_CORE);
            let pieces = x.par_chunks(share * inputs).zip(out.par_chunks_mut(share * outputs));
            pieces.for_each(|(x, out)| memory.with(|scratch| self.rows_into(x, out, put, scratch)));
        } else {
            memory.with(|scratch| {
                let prepared = self.prepare(x, &mut scratch.pairs);
                self.panels_into(prepared, rows, out, put, memory);
            });
        }
    }

    /// Cores own panels, and with them the columns of the result.
    fn panels_into(&self, x: Rows<'_>, rows: usize, out: &mut [f32], put: Put, memory: &Spare<Scratch>) {
        let (panels, shares) = (self.panel_count(), SHARES * rayon::current_num_threads());
        let least = WORTH_SHARING / (rows * self.inputs * self.parts() * PANEL);
        let share = panels.div_ceil(shares).max(least).max(1);
        let mut pieces: Vec<Vec<&mut [f32]>> =
            (0..panels.div_ceil(share)).map(|_| Vec::with_capacity(rows)).collect();
        for row in out.chunks_exact_mut(self.outputs) {
            for (piece, columns) in pieces.iter_mut().zip(row.chunks_mut(share * PANEL)) {
                piece.push(columns);
            }
        }
        pieces.into_par_iter().enumerate().for_each(|(piece, mut rows)| {
            memory.with(|Scratch { sums, gates, .. }| {
                let first = piece * share;
                for panel in first..(first + share).min(panels) {
                    sums.resize(rows.len(), [0.0; PANEL]);
                    self.panel_into(panel, x, sums, gates);
                    let start = (panel - first) * PANEL;
                    self.level.run(PlaceColumns { sums, rows: &mut rows, start, put });
                }
            });
        });
    }
}

/// Sums of one panel to their place in the columns of a core.
struct PlaceColumns<'a, 'b> {
    sums: &'a [Sums],
    rows: &'a mut [&'b mut [f32]],
    start: usize,
    put: Put,
}

impl Work for PlaceColumns<'_, '_> {
    #[inline(always)]
    fn run(self) {
        for (sums, row) in self.sums.iter().zip(self.rows) {
            let end = row.len().min(self.start + PANEL);
            self.put.into(sums, &mut row[self.start..end]);
        }
    }
}
