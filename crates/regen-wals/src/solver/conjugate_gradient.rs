//! A few steps of conjugate gradient a row, in the basis where what all rows share is diagonal:
//! that part costs `rank` multiplications a step instead of `rank²`, and is the preconditioner.
//!
//! **Source** Takács, Pilászy, Tikk (2011) for the use of few steps from the last value.

use crate::kernel::product::{AHEAD, Table, dot_blocks};
use crate::simd::{Block, Lanes, flat, flat_mut};
use crate::solver::batch::{Workspace, grow};
use crate::solver::rows::RotatedSweep;

/// Numbers of a row's pairs that are kept side by side from step to step, 4 MiB. Of rows with more,
/// the pairs are gathered again in every step; in tests some rows must.
const KEPT: usize = if cfg!(test) { 4096 } else { 1 << 20 };

/// Improves the rows of a batch by `steps` steps from their start values.
#[inline(always)]
pub(crate) fn solve<L: Lanes>(
    l: L,
    sweep: &RotatedSweep<'_>,
    rows: &[u32],
    start: &[f32],
    out: &mut [f32],
    steps: usize,
    work: &mut Workspace<L>,
) {
    let rank = sweep.rank;
    let panels = rank.div_ceil(L::WIDTH);
    let Workspace { terms, staging, sums, .. } = work;
    grow(sums, 7 * panels);
    for (&row, out) in rows.iter().zip(out.chunks_exact_mut(rank)) {
        let row = row as usize;
        let columns = sweep.rows.row(row).columns;
        sweep.objective.terms(sweep.rows.row(row), terms);
        let ridge = sweep.objective.ridge(columns.len(), sweep.rows.width()) as f32;

        let (diagonal, rest) = sums.split_at_mut(panels);
        let (inverse, rest) = rest.split_at_mut(panels);
        let (x, rest) = rest.split_at_mut(panels);
        let (residual, rest) = rest.split_at_mut(panels);
        let (direction, rest) = rest.split_at_mut(panels);
        let (image, rest) = rest.split_at_mut(panels);
        let scaled = &mut rest[..panels];
        for blocks in [&mut *diagonal, &mut *inverse, &mut *x, &mut *residual] {
            blocks.fill(L::Block::default());
        }
        for (to, from) in flat_mut(diagonal).iter_mut().zip(sweep.spectrum) {
            *to = from + ridge;
        }
        precondition(&flat(diagonal)[..rank], flat_mut(inverse));
        flat_mut(x)[..rank].copy_from_slice(&start[row * rank..][..rank]);
        let mut pairs = Pairs::new(sweep.table, columns, panels, staging);

        // r = Σ (w p − c ŷ·x) ŷ − D x
        let pull = |k: usize, score: f32| terms.pulls[k] - terms.excesses[k] * score;
        pairs.add_weighed(l, x, pull, residual);
        for p in 0..panels {
            let r = l.fnma(l.load(&diagonal[p]), l.load(&x[p]), l.load(&residual[p]));
            l.store(&mut residual[p], r);
            let z = l.mul(r, l.load(&inverse[p]));
            l.store(&mut direction[p], z);
        }
        let mut norm = dot_blocks(l, residual, direction);
        for taken in 0..steps {
            if norm == 0.0 {
                break;
            }
            for p in 0..panels {
                let d = l.mul(l.load(&diagonal[p]), l.load(&direction[p]));
                l.store(&mut image[p], d);
            }
            pairs.add_weighed(l, direction, |k, score| terms.excesses[k] * score, image);
            let curvature = dot_blocks(l, direction, image);
            // Sums that overflow would end the steps below as if the row were solved. The half-sweep refuses NaN.
            if !norm.is_finite() || curvature == f32::INFINITY || (taken == 0 && curvature.is_nan()) {
                flat_mut(x)[..rank].fill(f32::NAN);
                break;
            }
            // At the end of the Krylov space both are rounding error.
            if curvature.is_nan() || curvature <= 0.0 {
                break;
            }
            let step = norm / curvature;
            add_scaled(l, x, step, direction);
            add_scaled(l, residual, -step, image);
            for p in 0..panels {
                let z = l.mul(l.load(&residual[p]), l.load(&inverse[p]));
                l.store(&mut scaled[p], z);
            }
            let next = dot_blocks(l, residual, scaled);
            let ratio = l.splat(next / norm);
            norm = next;
            for p in 0..panels {
                let d = l.fma(ratio, l.load(&direction[p]), l.load(&scaled[p]));
                l.store(&mut direction[p], d);
            }
        }
        out.copy_from_slice(&flat(x)[..rank]);
    }
}

/// As [`preconditioner`](crate::solver::plain::preconditioner), in f32.
#[inline(always)]
fn precondition(diagonal: &[f32], inverse: &mut [f32]) {
    let largest = diagonal.iter().fold(0f32, |m, &d| m.max(d));
    let least = if largest == 0.0 { 1.0 } else { 1e-6 * largest };
    for (to, &d) in inverse.iter_mut().zip(diagonal) {
        *to = 1.0 / d.max(least);
    }
}

/// Pairs that are looked at together: their scores share the loads of a vector, their sum its
/// stores.
const TOGETHER: usize = 4;

/// The factors of a row's pairs, padded to whole blocks.
struct Pairs<'a, B> {
    table: Table<'a>,
    columns: &'a [u32],
    panels: usize,
    /// All of them, or those at hand.
    blocks: &'a mut [B],
    kept: bool,
    gathered: bool,
}

impl<'a, B: Block> Pairs<'a, B> {
    fn new(table: Table<'a>, columns: &'a [u32], panels: usize, blocks: &'a mut Vec<B>) -> Self {
        let kept = columns.len() * panels * B::WIDTH <= KEPT;
        let count = if kept { columns.len() } else { TOGETHER };
        grow(blocks, count * panels);
        Self { table, columns, panels, blocks: &mut blocks[..count * panels], kept, gathered: false }
    }

    /// Adds Σ_k weight(k, y_k·v) y_k to `sum`.
    #[inline(always)]
    fn add_weighed<L: Lanes<Block = B>>(
        &mut self,
        l: L,
        v: &[B],
        weight: impl Fn(usize, f32) -> f32,
        sum: &mut [B],
    ) {
        let whole = self.columns.len() / TOGETHER * TOGETHER;
        for first in (0..whole).step_by(TOGETHER) {
            self.add_some::<L, TOGETHER>(l, first, v, &weight, sum);
        }
        for k in whole..self.columns.len() {
            self.add_some::<L, 1>(l, k, v, &weight, sum);
        }
        self.gathered = self.kept;
    }

    /// N pairs from `first` on.
    #[inline(always)]
    fn add_some<L: Lanes<Block = B>, const N: usize>(
        &mut self,
        l: L,
        first: usize,
        v: &[B],
        weight: &impl Fn(usize, f32) -> f32,
        sum: &mut [B],
    ) {
        let panels = self.panels;
        let at = if self.kept { first * panels } else { 0 };
        let rows = &mut self.blocks[at..][..N * panels];
        if !self.gathered {
            for (k, to) in rows.chunks_exact_mut(panels).enumerate() {
                if let Some(&soon) = self.columns.get(first + k + AHEAD) {
                    l.prefetch(self.table.row(soon));
                }
                copy_padded(l, self.table.row(self.columns[first + k]), to);
            }
        }
        let (v, sum) = (&v[..panels], &mut sum[..panels]);
        let mut y: [&[B]; N] = [&[]; N];
        for (y, row) in y.iter_mut().zip(rows.chunks_exact(panels)) {
            *y = &row[..panels];
        }
        // Two sums a pair, or each would wait for the one before.
        let mut scores = [[l.splat(0.0); 2]; N];
        for p in (0..panels).step_by(2) {
            for (half, p) in (p..panels.min(p + 2)).enumerate() {
                let v = l.load(&v[p]);
                for n in 0..N {
                    scores[n][half] = l.fma(l.load(&y[n][p]), v, scores[n][half]);
                }
            }
        }
        let (mut products, mut weights) = ([l.splat(0.0); N], [l.splat(0.0); N]);
        for n in 0..N {
            products[n] = l.add(scores[n][0], scores[n][1]);
        }
        let scores = l.sums(products);
        for n in 0..N {
            weights[n] = l.splat(weight(first + n, scores[n]));
        }
        for p in 0..panels {
            let mut total = l.load(&sum[p]);
            for n in 0..N {
                total = l.fma(weights[n], l.load(&y[n][p]), total);
            }
            l.store(&mut sum[p], total);
        }
    }
}

/// A row of the table as whole blocks, zero beyond its end.
#[inline(always)]
fn copy_padded<L: Lanes>(l: L, row: &[f32], to: &mut [L::Block]) {
    let whole = row.len() / L::WIDTH;
    let (blocks, last) = to.split_at_mut(whole);
    for (to, from) in blocks.iter_mut().zip(row.chunks_exact(L::WIDTH)) {
        l.store(to, l.load_slice(from));
    }
    if let Some(last) = last.first_mut() {
        *last = L::Block::default();
        let rest = &row[whole * L::WIDTH..];
        last.as_mut()[..rest.len()].copy_from_slice(rest);
    }
}

/// to += scale * from
#[inline(always)]
fn add_scaled<L: Lanes>(l: L, to: &mut [L::Block], scale: f32, from: &[L::Block]) {
    let scale = l.splat(scale);
    for (to, from) in to.iter_mut().zip(from) {
        let sum = l.fma(scale, l.load(from), l.load(to));
        l.store(to, sum);
    }
}
