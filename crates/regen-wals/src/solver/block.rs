//! Block coordinate descent: a pass over exact minima of `size` coordinates at a time, and a step
//! beyond where it ends.
//!
//! **Source** Rendle, Krichene, Zhang, Koren (2021), "iALS++". For the step beyond: Young (1954),
//! "Iterative methods for solving partial difference equations of elliptic type".
//!
//! DIFFERENCE: blocks are of principal directions of the fixed factors, strongest first, not of
//! raw coordinates. There the unobserved pairs couple no two blocks, so each pass goes further.

use std::ops::Range;

use crate::kernel::single;
use crate::simd::{Block, Lanes, flat, flat_mut};
use crate::solver::batch::{Workspace, grow};
use crate::solver::rows::RotatedSweep;

/// Numbers of a row's pairs that are packed at once, 4 MiB: what a core's share of the caches
/// holds. Of rows with more, the blocks take turns in that space; in tests some rows must.
const PACKED: usize = if cfg!(test) { 4096 } else { 1 << 20 };

/// One pass over the blocks of a row, and how far beyond its end to go.
#[derive(Clone, Copy)]
pub(crate) struct Descent<'a> {
    pub(crate) sweep: &'a RotatedSweep<'a>,
    /// Coordinates a block.
    pub(crate) size: usize,
}

impl Descent<'_> {
    /// Passes once over the blocks of every row of a batch. Returns the positions of rows whose
    /// factorisation was unsound.
    #[inline(always)]
    pub(crate) fn solve<L: Lanes>(
        self,
        l: L,
        rows: &[u32],
        start: &[f32],
        out: &mut [f32],
        work: &mut Workspace<L>,
    ) -> Vec<usize> {
        let rank = self.sweep.rank;
        let mut failed = Vec::new();
        for (s, (&row, x)) in rows.iter().zip(out.chunks_exact_mut(rank)).enumerate() {
            let start = &start[row as usize * rank..][..rank];
            if !self.row(l, row, start, x, work) {
                failed.push(s);
            }
        }
        failed
    }

    /// One row, from `start` to `x`. False if a factorisation was unsound.
    #[inline(always)]
    fn row<L: Lanes>(self, l: L, row: u32, start: &[f32], x: &mut [f32], work: &mut Workspace<L>) -> bool {
        let Self { sweep, size, .. } = self;
        let pairs = sweep.rows.row(row as usize);
        let columns = pairs.columns;
        sweep.objective.terms(pairs, &mut work.terms);
        let ridge = sweep.objective.ridge(columns.len(), sweep.rows.width()) as f32;
        x.copy_from_slice(start);
        work.packed.begin(columns.len());
        let groups = self.groups(columns.len());
        for group in groups.clone() {
            let table = sweep.table.columns(group.start, group.len());
            work.packed.pack(l, table, size, columns);
            for (block, first) in group.step_by(size).enumerate() {
                let order = work.packed.order(block);
                let point = padded(&mut work.vectors, &x[first..first + order]);
                work.packed.add_scores(l, block, point);
            }
        }
        work.first_scores.clear();
        work.first_scores.extend_from_slice(work.packed.scores());
        let packed_once = groups.len() == 1;
        for group in groups {
            if !packed_once {
                let table = sweep.table.columns(group.start, group.len());
                work.packed.pack(l, table, size, columns);
            }
            for (block, first) in group.step_by(size).enumerate() {
                if !self.minimise(l, block, first, ridge, x, work) {
                    return false;
                }
            }
        }
        if self.sweep.relaxation != 1.0 {
            self.relax(ridge, start, x, work);
        }
        true
    }

    /// Columns that are packed together, whole blocks.
    fn groups(self, pairs: usize) -> impl ExactSizeIterator<Item = Range<usize>> + Clone {
        let rank = self.sweep.rank;
        let width = (PACKED / (pairs * self.size)).max(1) * self.size;
        (0..rank).step_by(width).map(move |first| first..rank.min(first + width))
    }

    /// Moves the coordinates of a packed block, `first` and following, to their minimum given the
    /// others. False if the factorisation was unsound.
    #[inline(always)]
    fn minimise<L: Lanes>(
        self,
        l: L,
        block: usize,
        first: usize,
        ridge: f32,
        x: &mut [f32],
        work: &mut Workspace<L>,
    ) -> bool {
        let Workspace { packed, terms, staging, sums, vectors, large, .. } = work;
        let order = packed.order(block);
        let panels = order.div_ceil(L::WIDTH);
        grow(staging, panels * L::WIDTH * panels);
        grow(sums, panels);
        let matrix = &mut staging[..panels * L::WIDTH * panels];
        let gradient = &mut sums[..panels];
        packed.normal(l, block, terms, matrix, gradient);
        let x = &mut x[first..first + order];
        for (k, (x, spectrum)) in x.iter().zip(&self.sweep.spectrum[first..]).enumerate() {
            let diagonal = spectrum + ridge;
            flat_mut(&mut matrix[k * panels..][..panels])[k] += diagonal;
            flat_mut(gradient)[k] -= diagonal * x;
        }
        let step = &mut vectors[..panels];
        let sound = if order <= single::LARGEST_ORDER {
            single::solve(l, order, matrix, gradient, step)
        } else {
            step.copy_from_slice(gradient);
            large.solve(flat_mut(matrix), panels * L::WIDTH, &mut flat_mut(step)[..order])
        };
        if sound {
            for (x, step) in x.iter_mut().zip(flat(step)) {
                *x += step;
            }
            packed.add_scores(l, block, step);
        }
        sound
    }

    /// Goes on from the end of the pass, ω times the way from the start. Where the minimum along
    /// that way lies before the end, it takes the place of the end: the loss then never rises.
    fn relax<L: Lanes>(self, ridge: f32, start: &[f32], x: &mut [f32], work: &Workspace<L>) {
        // Along x(t) = start + t way, the loss is its start − 2 t slope + t² curvature.
        let (mut slope, mut curvature) = (0f32, 0f32);
        let Workspace { terms, first_scores, packed, .. } = work;
        for (k, (before, after)) in first_scores.iter().zip(packed.scores()).enumerate() {
            let (way, excess) = (after - before, terms.excesses[k]);
            slope += (terms.pulls[k] - excess * before) * way;
            curvature += excess * way * way;
        }
        for ((start, x), spectrum) in start.iter().zip(&*x).zip(self.sweep.spectrum) {
            let (way, diagonal) = (x - start, spectrum + ridge);
            slope -= diagonal * start * way;
            curvature += diagonal * way * way;
        }
        let end = if slope < curvature { (slope / curvature).max(0.0) } else { 1.0 };
        for (x, start) in x.iter_mut().zip(start) {
            *x = start + self.sweep.relaxation * end * (*x - start);
        }
    }
}

/// A copy of `v`, padded with zeros to whole blocks.
#[inline(always)]
fn padded<'a, B: Block>(blocks: &'a mut Vec<B>, v: &[f32]) -> &'a [B] {
    let count = v.len().div_ceil(B::WIDTH);
    grow(blocks, count);
    let blocks = &mut blocks[..count];
    blocks.fill(B::default());
    flat_mut(blocks)[..v.len()].copy_from_slice(v);
    blocks
}
