//! Vectors as arrays, for processors without a level of their own.

use super::{Block8, Lanes};

/// Arrays that the compiler turns into whatever vectors the target has.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Lanes for Portable {
    type V = [f32; 8];
    type Block = Block8;
    const WIDTH: usize = 8;
    const TILE_ROWS: usize = 4;
    const TILE: usize = 3;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; 8]
    }
    #[inline(always)]
    fn load(self, from: &Block8) -> Self::V {
        from.0
    }
    #[inline(always)]
    fn store(self, to: &mut Block8, value: Self::V) {
        to.0 = value;
    }
    #[inline(always)]
    fn load_slice(self, from: &[f32]) -> Self::V {
        from.as_chunks().0[0]
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        lanewise!(k => a[k] + b[k])
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        lanewise!(k => a[k] - b[k])
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        lanewise!(k => a[k] * b[k])
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        lanewise!(k => a[k] / b[k])
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        // NaN in `a` gives b, as the x86 instruction does.
        lanewise!(k => if a[k] < b[k] { a[k] } else { b[k] })
    }
    #[inline(always)]
    fn sqrt(self, a: Self::V) -> Self::V {
        lanewise!(k => a[k].sqrt())
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Not mul_add: without the instruction that is a slow library call.
        lanewise!(k => a[k] * b[k] + c[k])
    }
    #[inline(always)]
    fn fnma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        lanewise!(k => c[k] - a[k] * b[k])
    }
    #[inline(always)]
    fn sum(self, a: Self::V) -> f32 {
        a.iter().sum()
    }
    #[inline(always)]
    fn sums<const N: usize>(self, a: [Self::V; N]) -> [f32; N] {
        lanewise!(n => self.sum(a[n]))
    }
    #[inline(always)]
    fn prefetch(self, _soon: &[f32]) {}
    #[inline(always)]
    fn transpose(self, row: impl FnMut(usize) -> Self::V, mut put: impl FnMut(usize, Self::V)) {
        let rows: [Self::V; 8] = std::array::from_fn(row);
        (0..8).for_each(|k| put(k, lanewise!(r => rows[r][k])));
    }
}
