//! A few steps of conjugate gradient a row, in the basis where what all rows share is diagonal:
//! that part costs `rank` multiplications a step instead of `rank²`, and is the preconditioner.
//!
//! **Source** Takács, Pilászy, Tikk (2011) for the use of few steps from the last value.

use crate::kernel::product::dot_blocks;
use crate::simd::{Lanes, flat, flat_mut};
use crate::solver::batch::{Workspace, grow};
use crate::solver::plain::preconditioner;
use crate::solver::rows::RotatedSweep;

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
    let Workspace { terms, staging: pairs, sums, .. } = work;
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
        let wide: Vec<f64> = flat(diagonal)[..rank].iter().map(|&d| d.into()).collect();
        for (to, from) in flat_mut(inverse).iter_mut().zip(preconditioner(&wide)) {
            *to = from as f32;
        }
        flat_mut(x)[..rank].copy_from_slice(&start[row * rank..][..rank]);

        // The pairs' factors side by side, padded: they are read once a step.
        grow(pairs, columns.len() * panels);
        let pairs = &mut pairs[..columns.len() * panels];
        for (to, &column) in pairs.chunks_exact_mut(panels).zip(columns) {
            if let Some(last) = to.last_mut() {
                *last = L::Block::default();
            }
            flat_mut(to)[..rank].copy_from_slice(sweep.table.row(column));
        }

        // r = Σ (w p − c ŷ·x) ŷ − D x
        for (k, y) in pairs.chunks_exact(panels).enumerate() {
            let scale = terms.pulls[k] - terms.excesses[k] * dot_blocks(l, y, x);
            add_scaled(l, residual, scale, y);
        }
        for p in 0..panels {
            let r = l.fnma(l.load(&diagonal[p]), l.load(&x[p]), l.load(&residual[p]));
            l.store(&mut residual[p], r);
            let z = l.mul(r, l.load(&inverse[p]));
            l.store(&mut direction[p], z);
        }
        let mut norm = dot_blocks(l, residual, direction);
        for _ in 0..steps {
            if norm == 0.0 {
                break;
            }
            for p in 0..panels {
                let d = l.mul(l.load(&diagonal[p]), l.load(&direction[p]));
                l.store(&mut image[p], d);
            }
            for (y, excess) in pairs.chunks_exact(panels).zip(&terms.excesses) {
                add_scaled(l, image, excess * dot_blocks(l, y, direction), y);
            }
            let curvature = dot_blocks(l, direction, image);
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

/// to += scale * from
#[inline(always)]
fn add_scaled<L: Lanes>(l: L, to: &mut [L::Block], scale: f32, from: &[L::Block]) {
    let scale = l.splat(scale);
    for (to, from) in to.iter_mut().zip(from) {
        let sum = l.fma(scale, l.load(from), l.load(to));
        l.store(to, sum);
    }
}
