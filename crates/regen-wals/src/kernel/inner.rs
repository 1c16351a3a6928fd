//! Matrices of inner products of as many rows as a vector has lanes, row s of the sweep in lane s.
//!
//! The pairs of a row are few, so a matrix of its own would be mostly padding of vectors. Side by
//! side nothing is padded but to whole tiles and to the longest row, and the products come to lie
//! where `interleaved` factors them.

use crate::kernel::interleaved::Systems;
use crate::kernel::product::{Start, Table};
use crate::simd::Lanes;

/// Columns that are taken at once: two cache lines of each row of the table.
const STEPS: usize = 32;

/// Some columns of the pairs of all lanes: for each tile of pairs and each column, a vector for
/// each pair of the tile.
pub(crate) struct Vectors<L: Lanes> {
    blocks: Vec<L::Block>,
}

/// The pairs of the rows in the lanes.
#[derive(Clone, Copy)]
pub(crate) struct LanePairs<'a, L: Lanes> {
    /// For each lane the rows of the table that it speaks of, longest first.
    pub(crate) columns: &'a [&'a [u32]],
    /// What each pair is scaled by, zero where a lane has fewer pairs.
    pub(crate) scales: &'a [L::Block],
    /// What each column is scaled by.
    pub(crate) weights: &'a [L::Block],
}

impl<L: Lanes> Vectors<L> {
    pub(crate) fn new() -> Self {
        Self { blocks: Vec::new() }
    }

    /// Sets the matrices of the systems to 1 + S Sᵀ, where S are the scaled rows of a lane.
    #[inline(always)]
    pub(crate) fn fill(&mut self, l: L, table: Table<'_>, pairs: LanePairs<'_, L>, systems: &mut Systems<L>) {
        let order = pairs.scales.len();
        let length = order.next_multiple_of(L::TILE) * STEPS;
        if self.blocks.len() < length {
            self.blocks.resize(length, L::Block::default());
        }
        let mut start = Start::Zero;
        for first in (0..table.width).step_by(STEPS) {
            let steps = STEPS.min(table.width - first);
            self.gather(l, table, pairs, first, steps);
            systems.add_products(l, &self.blocks, steps, start);
            start = Start::Add;
        }
        systems.add_to_diagonal(l, 1.0);
    }

    /// Columns `first..first + steps` of the table, scaled.
    #[inline(always)]
    fn gather(&mut self, l: L, table: Table<'_>, pairs: LanePairs<'_, L>, first: usize, steps: usize) {
        let LanePairs { columns, scales, weights } = pairs;
        let tile = steps * L::TILE;
        let last = scales.len() / L::TILE * tile;
        if !scales.len().is_multiple_of(L::TILE) {
            self.blocks[last..][..tile].fill(L::Block::default());
        }
        let mut lanes = columns.len();
        for (i, scale) in scales.iter().enumerate() {
            while lanes > 0 && columns[lanes - 1].len() <= i {
                lanes -= 1;
            }
            let scale = l.load(scale);
            let to = &mut self.blocks[i / L::TILE * tile..][..tile];
            for lane in &columns[..lanes] {
                if first + steps < table.width {
                    let next = STEPS.min(table.width - first - steps);
                    l.prefetch(&table.row(lane[i])[first + steps..][..next]);
                }
                if first == 0
                    && let Some(&soon) = lane.get(i + 2)
                {
                    l.prefetch(&table.row(soon)[..steps]);
                }
            }
            for part in (0..steps).step_by(L::WIDTH) {
                let at = first + part;
                if part + L::WIDTH > steps {
                    for k in part..steps {
                        let mut numbers = L::Block::default();
                        for (number, lane) in numbers.as_mut().iter_mut().zip(&columns[..lanes]) {
                            *number = table.row(lane[i])[first + k];
                        }
                        let v = l.mul(l.mul(l.load(&numbers), scale), l.load(&weights[first + k]));
                        l.store(&mut to[k * L::TILE + i % L::TILE], v);
                    }
                    continue;
                }
                l.transpose(
                    #[inline(always)]
                    |s| if s < lanes { l.load_slice(&table.row(columns[s][i])[at..]) } else { l.splat(0.0) },
                    #[inline(always)]
                    |k, v| {
                        let v = l.mul(l.mul(v, scale), l.load(&weights[at + k]));
                        l.store(&mut to[(part + k) * L::TILE + i % L::TILE], v);
                    },
                );
            }
        }
    }
}
