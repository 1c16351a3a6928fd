//! The only module with `unsafe`: one panel times a few rows in vector registers.
//!
//! A [`Level`] other than what the processor has cannot be made outside this module, and every load goes through a
//! slice whose length was checked just before; those two facts are all that the blocks below rely on.

#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256, __m512, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
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
    /// The levels of this processor, best first; empty where libtorch's path is to be kept.
    pub(super) fn available() -> Vec<Self> {
        let mut levels = Vec::new();
        if std::arch::is_x86_feature_detected!("avx512f") {
            levels.push(Self(Width::Avx512));
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
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
}

#[target_feature(enable = "avx512f")]
fn avx512<const ROWS: usize>(panel: &[f32], x: &[f32], out: &mut [[f32; PANEL]; ROWS]) {
    let mut sums: [[__m512; 2]; ROWS] = [[_mm512_setzero_ps(); 2]; ROWS];
    for (weights, row) in panel.chunks_exact(PANEL).zip(x.chunks_exact(ROWS)) {
        // SAFETY: `weights` holds PANEL = 2 · 16 floats.
        let (low, high) =
            unsafe { (_mm512_loadu_ps(weights.as_ptr()), _mm512_loadu_ps(weights.as_ptr().add(16))) };
        for (sum, value) in sums.iter_mut().zip(row) {
            let value = _mm512_set1_ps(*value);
            sum[0] = _mm512_fmadd_ps(low, value, sum[0]);
            sum[1] = _mm512_fmadd_ps(high, value, sum[1]);
        }
    }
    for (out, sum) in out.iter_mut().zip(&sums) {
        // SAFETY: `out` holds PANEL = 2 · 16 floats.
        unsafe {
            _mm512_storeu_ps(out.as_mut_ptr(), sum[0]);
            _mm512_storeu_ps(out.as_mut_ptr().add(16), sum[1]);
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn avx2<const ROWS: usize>(panel: &[f32], x: &[f32], out: &mut [[f32; PANEL]; ROWS]) {
    // Two passes of 16 outputs: 4 vectors a row would not leave registers for more than 3 rows.
    for half in 0..2 {
        let mut sums: [[__m256; 2]; ROWS] = [[_mm256_setzero_ps(); 2]; ROWS];
        for (weights, row) in panel.chunks_exact(PANEL).zip(x.chunks_exact(ROWS)) {
            let weights = &weights[half * 16..half * 16 + 16];
            // SAFETY: `weights` holds 2 · 8 floats.
            let (low, high) =
                unsafe { (_mm256_loadu_ps(weights.as_ptr()), _mm256_loadu_ps(weights.as_ptr().add(8))) };
            for (sum, value) in sums.iter_mut().zip(row) {
                let value = _mm256_set1_ps(*value);
                sum[0] = _mm256_fmadd_ps(low, value, sum[0]);
                sum[1] = _mm256_fmadd_ps(high, value, sum[1]);
            }
        }
        for (out, sum) in out.iter_mut().zip(&sums) {
            let out = &mut out[half * 16..half * 16 + 16];
            // SAFETY: `out` holds 2 · 8 floats.
            unsafe {
                _mm256_storeu_ps(out.as_mut_ptr(), sum[0]);
                _mm256_storeu_ps(out.as_mut_ptr().add(8), sum[1]);
            }
        }
    }
}
