//! Cholesky factorisation of one small system, a row of it being a few vectors.
//!
//! For systems that cannot wait for others to be factored with, as those of `interleaved` do:
//! the steps of block descent, where a block needs the step before it. A = UᵀU is found row by
//! row from the top; each finished row is taken from all rows below it, updates that do not wait
//! for one another.

use crate::kernel::interleaved::SMALLEST_PIVOT;
use crate::simd::{Lanes, flat, flat_mut};

/// The largest order: beyond it a blocked factorisation wins.
pub(crate) const LARGEST_ORDER: usize = 64;

/// Solves A x = b. False if A is not positive definite by more than rounding.
///
/// `matrix` holds the upper triangle of A by rows of whole blocks (what is left of the diagonal
/// is of no account) and is overwritten, as is `right`; `solution` receives x, zero beyond the
/// order.
///
/// **Shapes** `matrix: [order, panels]`, `right, solution: [panels]`, panels = ⌈order / WIDTH⌉.
#[inline(always)]
pub(crate) fn solve<L: Lanes>(
    l: L,
    order: usize,
    matrix: &mut [L::Block],
    right: &mut [L::Block],
    solution: &mut [L::Block],
) -> bool {
    debug_assert!(order <= LARGEST_ORDER);
    let panels = solution.len();
    let mut inverses = [0f32; LARGEST_ORDER];
    let mut halfway = [0f32; LARGEST_ORDER];
    let mut limits = [0f32; LARGEST_ORDER];
    for (j, (row, limit)) in matrix.chunks_exact(panels).zip(&mut limits).enumerate().take(order) {
        *limit = SMALLEST_PIVOT * flat(row)[j];
    }
    for j in 0..order {
        let (above, below) = matrix.split_at_mut((j + 1) * panels);
        let row = &mut above[j * panels..];
        let pivot = flat(row)[j];
        if pivot.is_nan() || pivot <= limits[j] {
            return false;
        }
        let inverse = 1.0 / pivot.sqrt();
        let (z, scale) = (flat(right)[j] * inverse, l.splat(inverse));
        (inverses[j], halfway[j]) = (inverse, z);
        let z = l.splat(z);
        for p in j / L::WIDTH..panels {
            let u = l.mul(l.load(&row[p]), scale);
            l.store(&mut row[p], u);
            let rest = l.fnma(z, u, l.load(&right[p]));
            l.store(&mut right[p], rest);
        }
        for (i, target) in (j + 1..order).zip(below.chunks_exact_mut(panels)) {
            let factor = l.splat(flat(row)[i]);
            for p in i / L::WIDTH..panels {
                let rest = l.fnma(factor, l.load(&row[p]), l.load(&target[p]));
                l.store(&mut target[p], rest);
            }
        }
    }
    // U x = z from the last row up. Numbers of x that are not known yet are zero, so whole blocks
    // may be summed.
    solution.fill(L::Block::default());
    for j in (0..order).rev() {
        let row = &matrix[j * panels..][..panels];
        let mut sum = l.splat(0.0);
        for p in j / L::WIDTH..panels {
            sum = l.fma(l.load(&row[p]), l.load(&solution[p]), sum);
        }
        flat_mut(solution)[j] = (halfway[j] - l.sum(sum)) * inverses[j];
    }
    flat(solution).iter().map(|x| x * 0.0).sum::<f32>() == 0.0
}
