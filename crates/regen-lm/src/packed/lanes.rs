//! The only module with `unsafe`: one panel times a few rows in vector registers, and other work compiled for them.
//!
//! A [`Level`] other than what the processor has cannot be made outside this module, and every load goes through a
//! slice whose length was checked just before; those two facts are all that the blocks below rely on.

#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256, __m512, _MM_HINT_T0, _mm_prefetch, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_storeu_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_storeu_ps,
};

/// Outputs of one panel.
pub(super) const PANEL: usize = 32;

/// A set of instructions that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level(Width);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Avx512,
    Avx2,
}

impl Level {
    /// Rows that one pass over a panel serves best.
    pub(super) fn rows(self) -> usize {
        match self.0 {
            Width::Avx512 => 8,
            Width::Avx2 => 8,
        }
    }

    /// The levels of this processor, best first; empty where libtorch's path is to be kept.
    pub(super) fn available() -> Vec<Self> {
        let mut levels = Vec::new();
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            if std::arch::is_x86_feature_detected!("avx512f") {
                levels.push(Self(Width::Avx512));
            }
            levels.push(Self(Width::Avx2));
        }
        levels
    }

    /// `out[row][o] = Σ_k panel[k][o] · x[k][row]` for `ROWS` rows.
    ///
    /// **Shapes** `panel: [inputs, PANEL]`, `x: [inputs, ROWS]`.
    pub(super) fn multiply<const ROWS: usize>(
        self,
        panel: &[f32],
        x: &[f32],
        out: &mut [[f32; PANEL]; ROWS],
    ) {
        assert_eq!(panel.len() * ROWS, x.len() * PANEL, "panel and rows must have the same inputs");
        match self.0 {
            // SAFETY: this level exists only after the processor was asked for its instructions.
            Width::Avx512 => unsafe { avx512(panel, x, out) },
            // SAFETY: as above.
            Width::Avx2 => unsafe { avx2(panel, x, out) },
        }
    }

    /// Does `work` with the instructions of this level.
    pub(super) fn run(self, work: impl Work) {
        match self.0 {
            // SAFETY: this level exists only after the processor was asked for its instructions.
            Width::Avx512 => unsafe { on_avx512(work) },
            // SAFETY: as above.
            Width::Avx2 => unsafe { on_avx2(work) },
        }
    }
}

/// Inputs between a weight that is used and one that is asked for: a page, at whose end the processor's own guess stops.
const AHEAD: usize = 32;

/// Asks memory for the weights that will be needed soon.
#[inline(always)]
fn ahead(weights: &[f32]) {
    for line in (0..weights.len()).step_by(16) {
        let address = weights.as_ptr().wrapping_add(AHEAD * PANEL + line);
        // SAFETY: a prefetch reads nothing; an address past the end is ignored.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
}

/// Work in plain loops that is compiled once for each level. `run` must be inlined, or it is compiled for none.
pub(super) trait Work {
    /// Does it.
    fn run(self);
}

#[target_feature(enable = "avx512f,avx2,fma")]
fn on_avx512(work: impl Work) {
    work.run();
}

#[target_feature(enable = "avx2,fma")]
fn on_avx2(work: impl Work) {
    work.run();
}

#[target_feature(enable = "avx512f")]
fn avx512<const ROWS: usize>(panel: &[f32], x: &[f32], out: &mut [[f32; PANEL]; ROWS]) {
    if ROWS > 8 {
        avx512_parts::<ROWS, 1>(panel, x, out);
    } else {
        avx512_parts::<ROWS, 2>(panel, x, out);
    }
}

/// `VECTORS` of 16 outputs at a time, so that all sums stay in the 32 registers.
#[target_feature(enable = "avx512f")]
fn avx512_parts<const ROWS: usize, const VECTORS: usize>(
    panel: &[f32],
    x: &[f32],
    out: &mut [[f32; PANEL]; ROWS],
) {
    for start in (0..PANEL).step_by(16 * VECTORS) {
        let mut sums: [[__m512; VECTORS]; ROWS] = [[_mm512_setzero_ps(); VECTORS]; ROWS];
        for (weights, row) in panel.chunks_exact(PANEL).zip(x.chunks_exact(ROWS)) {
            let weights = &weights[start..start + 16 * VECTORS];
            ahead(weights);
            // SAFETY: `weights` holds 16 · VECTORS floats.
            let weights: [__m512; VECTORS] =
                std::array::from_fn(|at| unsafe { _mm512_loadu_ps(weights.as_ptr().add(16 * at)) });
            for (sums, value) in sums.iter_mut().zip(row) {
                let value = _mm512_set1_ps(*value);
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_fmadd_ps(weights, value, *sum);
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(&sums) {
            let out = &mut out[start..start + 16 * VECTORS];
            for (at, sum) in sums.iter().enumerate() {
                // SAFETY: `out` holds 16 · VECTORS floats.
                unsafe { _mm512_storeu_ps(out.as_mut_ptr().add(16 * at), *sum) };
            }
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn avx2<const ROWS: usize>(panel: &[f32], x: &[f32], out: &mut [[f32; PANEL]; ROWS]) {
    if ROWS > 4 {
        avx2_parts::<ROWS, 1>(panel, x, out);
    } else {
        avx2_parts::<ROWS, 2>(panel, x, out);
    }
}

/// `VECTORS` of 8 outputs at a time, so that the sums of up to 8 rows stay in the 16 registers.
#[target_feature(enable = "avx2,fma")]
fn avx2_parts<const ROWS: usize, const VECTORS: usize>(
    panel: &[f32],
    x: &[f32],
    out: &mut [[f32; PANEL]; ROWS],
) {
    for start in (0..PANEL).step_by(8 * VECTORS) {
        let mut sums: [[__m256; VECTORS]; ROWS] = [[_mm256_setzero_ps(); VECTORS]; ROWS];
        for (weights, row) in panel.chunks_exact(PANEL).zip(x.chunks_exact(ROWS)) {
            let weights = &weights[start..start + 8 * VECTORS];
            ahead(weights);
            // SAFETY: `weights` holds 8 · VECTORS floats.
            let weights: [__m256; VECTORS] =
                std::array::from_fn(|at| unsafe { _mm256_loadu_ps(weights.as_ptr().add(8 * at)) });
            for (sums, value) in sums.iter_mut().zip(row) {
                let value = _mm256_set1_ps(*value);
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm256_fmadd_ps(weights, value, *sum);
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(&sums) {
            let out = &mut out[start..start + 8 * VECTORS];
            for (at, sum) in sums.iter().enumerate() {
                // SAFETY: `out` holds 8 · VECTORS floats.
                unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(8 * at), *sum) };
            }
        }
    }
}
