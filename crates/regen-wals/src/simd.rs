//! The only module with `unsafe`: vector registers behind a safe trait, chosen at run time.
//!
//! Kernels are written once against [`Lanes`] and compiled for AVX-512, AVX2 with FMA, and
//! portable arrays. Three facts make the trait safe to use:
//!
//! 1. A token (`Avx512`, `Avx2`) exists only after the processor was asked for its features: the
//!    field is private and [`dispatch`] is the only place that makes one. Every intrinsic is
//!    called on a token.
//! 2. Loads and stores go through references to blocks, or through slices whose length is
//!    checked just before, so no address outside them is touched; all bit patterns are floats.
//! 3. [`Kernel::run`] is entered through a function that carries the `target_feature`
//!    attribute, so what is inlined into it is compiled for that processor. (Not a matter of
//!    safety but of speed: a helper that is not inlined calls its intrinsics one by one.)

#![allow(unsafe_code)]

/// A processor level that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Level {
    /// The levels of this processor, best first; never empty.
    pub(crate) fn available() -> Vec<Self> {
        let mut levels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                levels.push(Self::Avx512);
            }
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                levels.push(Self::Avx2);
            }
        }
        levels.push(Self::Portable);
        levels
    }

    /// The best level of this processor.
    pub(crate) fn best() -> Self {
        Self::available()[0]
    }

    /// Floats a vector at this level.
    pub(crate) fn width(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 16,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 8,
            Self::Portable => 8,
        }
    }
}

/// The most floats a vector has at any level.
pub(crate) const MOST_LANES: usize = 16;

/// Work that is generic over the vector width.
pub(crate) trait Kernel {
    type Output;
    /// Implementations are `#[inline(always)]`, as is all they call.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Runs a kernel at a level; a level that this processor lacks becomes the portable one.
pub(crate) fn dispatch<K: Kernel>(level: Level, kernel: K) -> K::Output {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if std::arch::is_x86_feature_detected!("avx512f") => {
            // SAFETY: the feature was detected on the line above.
            unsafe { x86::run_avx512(kernel) }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") =>
        {
            // SAFETY: both features were detected on the lines above.
            unsafe { x86::run_avx2(kernel) }
        }
        _ => kernel.run(portable::Portable),
    }
}

/// Memory for one vector, aligned so that a load touches one cache line.
///
/// # Safety
/// Implementors are `repr(C)` structs whose only field is `[f32; WIDTH]`, with size
/// `4 * WIDTH` (no padding).
pub(crate) unsafe trait Block:
    Copy + Default + AsRef<[f32]> + AsMut<[f32]> + Send + Sync
{
    const WIDTH: usize;
}

macro_rules! block {
    ($name:ident, $width:literal, $align:literal) => {
        #[derive(Clone, Copy, Default)]
        #[repr(C, align($align))]
        pub(crate) struct $name([f32; $width]);

        impl AsRef<[f32]> for $name {
            #[inline(always)]
            fn as_ref(&self) -> &[f32] {
                &self.0
            }
        }

        impl AsMut<[f32]> for $name {
            #[inline(always)]
            fn as_mut(&mut self) -> &mut [f32] {
                &mut self.0
            }
        }

        // SAFETY: repr(C), one array field, and the alignment equals the array's size.
        unsafe impl Block for $name {
            const WIDTH: usize = $width;
        }
    };
}
block!(Block16, 16, 64);
block!(Block8, 8, 32);

/// The numbers of consecutive blocks as one slice.
#[inline(always)]
pub(crate) fn flat<B: Block>(blocks: &[B]) -> &[f32] {
    // SAFETY: by Block's contract the blocks are nothing but WIDTH floats each.
    unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast(), blocks.len() * B::WIDTH) }
}

/// As [`flat`], to write to.
#[inline(always)]
pub(crate) fn flat_mut<B: Block>(blocks: &mut [B]) -> &mut [f32] {
    let length = blocks.len() * B::WIDTH;
    // SAFETY: as in `flat`; the borrow is unique and every bit pattern is a float.
    unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), length) }
}

/// Arithmetic on vectors of [`Lanes::WIDTH`] floats.
pub(crate) trait Lanes: Copy + 'static {
    type V: Copy;
    type Block: Block;
    const WIDTH: usize;
    /// Rows of a tile of the symmetric product, see `kernel::product`.
    const TILE_ROWS: usize;
    /// Rows and columns of a tile of the interleaved factorisation, see `kernel::interleaved`.
    const TILE: usize;

    fn splat(self, value: f32) -> Self::V;
    fn load(self, from: &Self::Block) -> Self::V;
    fn store(self, to: &mut Self::Block, value: Self::V);
    /// Loads the first `WIDTH` numbers; panics if there are fewer.
    fn load_slice(self, from: &[f32]) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    fn sqrt(self, a: Self::V) -> Self::V;
    /// a b + c
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// c − a b
    fn fnma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Sum of all lanes, in a fixed order.
    fn sum(self, a: Self::V) -> f32;
    /// Sums of all lanes of each of a few vectors, in a fixed order.
    fn sums<const N: usize>(self, a: [Self::V; N]) -> [f32; N];
    /// Asks for numbers that will be read soon to be brought into the cache.
    fn prefetch(self, soon: &[f32]);
    /// Reads `WIDTH` vectors from `row` and hands their transpose to `put`.
    fn transpose(self, row: impl FnMut(usize) -> Self::V, put: impl FnMut(usize, Self::V));
}

/// Applies an operation lane by lane.
macro_rules! lanewise {
    ($k:ident => $e:expr) => {
        std::array::from_fn(
            #[inline(always)]
            |$k| $e,
        )
    };
}

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Block8, Block16, Kernel, Lanes};

    /// Proof that AVX-512F is there.
    #[derive(Clone, Copy)]
    pub(super) struct Avx512(());

    /// Proof that AVX2 and FMA are there.
    #[derive(Clone, Copy)]
    pub(super) struct Avx2(());

    // Calling either needs the features: the caller has detected them.
    #[target_feature(enable = "avx512f,avx2,fma")]
    pub(super) fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(Avx512(()))
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(Avx2(()))
    }

    /// Halves are added to halves.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn sum_of_eight(a: __m256) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }

    /// Vector operations that differ between the widths in name only.
    macro_rules! common {
        ($vector:ty, $block:ty, $width:literal, $load:ident, $store:ident, $splat:ident, $add:ident, $sub:ident,
         $mul:ident, $div:ident, $min:ident, $sqrt:ident, $fma:ident, $fnma:ident) => {
            type V = $vector;
            type Block = $block;
            const WIDTH: usize = $width;

            // SAFETY, for every block below: the token `self` proves the processor has the
            // feature that the intrinsic needs; loads and stores touch exactly the numbers of
            // the referenced block, or of a slice whose length was just checked.
            #[inline(always)]
            fn splat(self, value: f32) -> Self::V {
                unsafe { $splat(value) }
            }
            #[inline(always)]
            fn load(self, from: &$block) -> Self::V {
                unsafe { $load(from.0.as_ptr()) }
            }
            #[inline(always)]
            fn store(self, to: &mut $block, value: Self::V) {
                unsafe { $store(to.0.as_mut_ptr(), value) }
            }
            #[inline(always)]
            fn load_slice(self, from: &[f32]) -> Self::V {
                let from = &from[..$width];
                unsafe { $load(from.as_ptr()) }
            }
            #[inline(always)]
            fn add(self, a: Self::V, b: Self::V) -> Self::V {
                unsafe { $add(a, b) }
            }
            #[inline(always)]
            fn sub(self, a: Self::V, b: Self::V) -> Self::V {
                unsafe { $sub(a, b) }
            }
            #[inline(always)]
            fn mul(self, a: Self::V, b: Self::V) -> Self::V {
                unsafe { $mul(a, b) }
            }
            #[inline(always)]
            fn div(self, a: Self::V, b: Self::V) -> Self::V {
                unsafe { $div(a, b) }
            }
            #[inline(always)]
            fn min(self, a: Self::V, b: Self::V) -> Self::V {
                unsafe { $min(a, b) }
            }
            #[inline(always)]
            fn sqrt(self, a: Self::V) -> Self::V {
                unsafe { $sqrt(a) }
            }
            #[inline(always)]
            fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                unsafe { $fma(a, b, c) }
            }
            #[inline(always)]
            fn fnma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                unsafe { $fnma(a, b, c) }
            }
            #[inline(always)]
            fn prefetch(self, soon: &[f32]) {
                // One touch a cache line.
                for line in soon.chunks(16) {
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
                }
            }
        };
    }

    impl Lanes for Avx512 {
        // 8 × 3 accumulators, three columns and a broadcast fit 32 registers; so do 4 × 4.
        const TILE_ROWS: usize = 8;
        const TILE: usize = 4;
        common!(
            __m512,
            Block16,
            16,
            _mm512_loadu_ps,
            _mm512_storeu_ps,
            _mm512_set1_ps,
            _mm512_add_ps,
            _mm512_sub_ps,
            _mm512_mul_ps,
            _mm512_div_ps,
            _mm512_min_ps,
            _mm512_sqrt_ps,
            _mm512_fmadd_ps,
            _mm512_fnmadd_ps
        );

        #[inline(always)]
        fn sum(self, a: __m512) -> f32 {
            // SAFETY: the token proves AVX-512F.
            unsafe { _mm512_reduce_add_ps(a) }
        }

        #[inline(always)]
        fn sums<const N: usize>(self, a: [__m512; N]) -> [f32; N] {
            lanewise!(n => {
                // SAFETY: the token proves AVX-512F, and with it AVX2.
                unsafe {
                    let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(a[n]));
                    let half = _mm256_add_ps(_mm512_castps512_ps256(a[n]), _mm256_castpd_ps(high));
                    sum_of_eight(half)
                }
            })
        }

        #[inline(always)]
        fn transpose(self, mut row: impl FnMut(usize) -> __m512, mut put: impl FnMut(usize, __m512)) {
            let mut a = [self.splat(0.0); 16];
            for (k, a) in a.iter_mut().enumerate() {
                *a = row(k);
            }
            // SAFETY: the token proves AVX-512F; these are register operations.
            unsafe {
                // Pairs of rows, then quads, within 128-bit quarters.
                let mut b = a;
                for k in (0..16).step_by(2) {
                    b[k] = _mm512_unpacklo_ps(a[k], a[k + 1]);
                    b[k + 1] = _mm512_unpackhi_ps(a[k], a[k + 1]);
                }
                let mut c = b;
                for k in (0..16).step_by(4) {
                    let pair = |x, y| (_mm512_castps_pd(x), _mm512_castps_pd(y));
                    let (x, y) = pair(b[k], b[k + 2]);
                    let (z, w) = pair(b[k + 1], b[k + 3]);
                    c[k] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
                    c[k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
                    c[k + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(z, w));
                    c[k + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(z, w));
                }
                // c[4 g + j] holds column j of rows 4 g.. in each quarter: exchange quarters.
                for j in 0..4 {
                    let low = _mm512_shuffle_f32x4::<0x88>(c[j], c[4 + j]);
                    let high = _mm512_shuffle_f32x4::<0xdd>(c[j], c[4 + j]);
                    let low2 = _mm512_shuffle_f32x4::<0x88>(c[8 + j], c[12 + j]);
                    let high2 = _mm512_shuffle_f32x4::<0xdd>(c[8 + j], c[12 + j]);
                    put(j, _mm512_shuffle_f32x4::<0x88>(low, low2));
                    put(4 + j, _mm512_shuffle_f32x4::<0x88>(high, high2));
                    put(8 + j, _mm512_shuffle_f32x4::<0xdd>(low, low2));
                    put(12 + j, _mm512_shuffle_f32x4::<0xdd>(high, high2));
                }
            }
        }
    }

    impl Lanes for Avx2 {
        // 4 × 3 accumulators and three columns in 16 registers; 3 × 3 and three.
        const TILE_ROWS: usize = 4;
        const TILE: usize = 3;
        common!(
            __m256,
            Block8,
            8,
            _mm256_loadu_ps,
            _mm256_storeu_ps,
            _mm256_set1_ps,
            _mm256_add_ps,
            _mm256_sub_ps,
            _mm256_mul_ps,
            _mm256_div_ps,
            _mm256_min_ps,
            _mm256_sqrt_ps,
            _mm256_fmadd_ps,
            _mm256_fnmadd_ps
        );

        #[inline(always)]
        fn sum(self, a: __m256) -> f32 {
            let mut block = Block8::default();
            self.store(&mut block, a);
            block.0.iter().sum()
        }

        #[inline(always)]
        fn sums<const N: usize>(self, a: [__m256; N]) -> [f32; N] {
            // SAFETY: the token proves AVX2.
            lanewise!(n => unsafe { sum_of_eight(a[n]) })
        }

        #[inline(always)]
        fn transpose(self, mut row: impl FnMut(usize) -> __m256, mut put: impl FnMut(usize, __m256)) {
            let mut a = [self.splat(0.0); 8];
            for (k, a) in a.iter_mut().enumerate() {
                *a = row(k);
            }
            // SAFETY: the token proves AVX2; these are register operations.
            unsafe {
                let mut b = a;
                for k in (0..8).step_by(2) {
                    b[k] = _mm256_unpacklo_ps(a[k], a[k + 1]);
                    b[k + 1] = _mm256_unpackhi_ps(a[k], a[k + 1]);
                }
                let mut c = b;
                for k in (0..8).step_by(4) {
                    c[k] = _mm256_shuffle_ps::<0x44>(b[k], b[k + 2]);
                    c[k + 1] = _mm256_shuffle_ps::<0xee>(b[k], b[k + 2]);
                    c[k + 2] = _mm256_shuffle_ps::<0x44>(b[k + 1], b[k + 3]);
                    c[k + 3] = _mm256_shuffle_ps::<0xee>(b[k + 1], b[k + 3]);
                }
                for j in 0..4 {
                    put(j, _mm256_permute2f128_ps::<0x20>(c[j], c[4 + j]));
                    put(4 + j, _mm256_permute2f128_ps::<0x31>(c[j], c[4 + j]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
