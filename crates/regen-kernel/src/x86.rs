//! The only module with `unsafe`: tiles of a product in vector registers, and plain work compiled for them.
//!
//! Three facts make it sound.
//!
//! 1. A [`Level`] exists only after the processor was asked for its instructions, and code that is compiled for a level is
//!    entered only by [`run`], [`f32`], [`bf16`] and [`int8`], which hold one.
//! 2. What a tile reads and writes is checked by those functions just before: the lines of a panel, as many rows as there are
//!    sums, each with as many inputs as the panel, `stride` apart, and the sums themselves. All bit patterns are numbers.
//! 3. [`Lanes`] is private, and every use of it is inlined into a function that carries the instructions. (If one were not,
//!    it would still be right, only slow.)

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::level::{Level, Set, Work};
use crate::panels::{BLOCK, Bytes, Floats, PANEL, Pairs};

/// Sums of one row and a panel.
pub(crate) type Sums = [f32; PANEL];

/// Most rows that a tile may have.
pub(crate) const MOST_ROWS: usize = 12;

/// Bytes between a weight that is used and one that is asked for. With f32, what few rows go through before they begin anew
/// (`multiply::INPUTS_OF_FEW`), so that memory brings the next weights while rows meet those that are there; and more than a page,
/// at whose end the processor's own guess stops.
const AHEAD: usize = 8192;

impl Level {
    /// Rows of a tile whose sums stay in the registers: two vectors of sums a row, two of weights, a row's number.
    pub(crate) fn rows(self) -> usize {
        match self.0 {
            Set::Avx512Bf16 | Set::Avx512 => MOST_ROWS,
            Set::Avx2 => 6,
        }
    }
}

/// Does `work` with the instructions of `level`.
pub(crate) fn run(level: Level, work: impl Work) {
    #[target_feature(enable = "avx512f,avx512bw,avx2,fma")]
    fn on_avx512(work: impl Work) {
        work.run();
    }
    #[target_feature(enable = "avx2,fma")]
    fn on_avx2(work: impl Work) {
        work.run();
    }
    match level.0 {
        // SAFETY: fact 1.
        Set::Avx512Bf16 | Set::Avx512 => unsafe { on_avx512(work) },
        // SAFETY: fact 1.
        Set::Avx2 => unsafe { on_avx2(work) },
    }
}

/// Calls a tile that is generic over its number of rows.
macro_rules! by_rows {
    ($rows:expr, $tile:ident, $task:expr) => {
        match $rows {
            1 => $tile::<1>($task),
            2 => $tile::<2>($task),
            3 => $tile::<3>($task),
            4 => $tile::<4>($task),
            5 => $tile::<5>($task),
            6 => $tile::<6>($task),
            7 => $tile::<7>($task),
            8 => $tile::<8>($task),
            9 => $tile::<9>($task),
            10 => $tile::<10>($task),
            11 => $tile::<11>($task),
            12 => $tile::<12>($task),
            rows => unreachable!("a tile of {rows} rows"),
        }
    };
}

/// `sums[row] += Σ_k x[row · stride + k] · panel[k]`.
///
/// **Shapes** `panel: [inputs, 32]`, `x`: rows `stride` apart, at least `inputs` long.
pub(crate) fn f32(level: Level, panel: &[Floats], x: &[f32], stride: usize, sums: &mut [Sums]) {
    let inputs = panel.len() / 2;
    check(x.len(), stride, inputs, sums.len());
    let task = Task { panel: panel.as_ptr().cast(), x: x.as_ptr(), stride, steps: inputs, sums };
    match level.0 {
        // SAFETY: facts 1 and 2.
        Set::Avx512Bf16 | Set::Avx512 => unsafe { by_rows!(task.sums.len(), f32_avx512, task) },
        // SAFETY: facts 1 and 2.
        Set::Avx2 => unsafe { by_rows!(task.sums.len(), f32_avx2, task) },
    }
}

/// As [`f32`], of numbers in bfloat16, two inputs a step. Sums are f32.
///
/// **Shapes** `panel: [steps, 32]` pairs, `x`: rows `stride` apart, at least `steps` pairs long.
pub(crate) fn bf16(level: Level, panel: &[Pairs], x: &[u32], stride: usize, sums: &mut [Sums]) {
    let steps = panel.len() / 2;
    check(x.len(), stride, steps, sums.len());
    let task = Task { panel: panel.as_ptr().cast(), x: x.as_ptr(), stride, steps, sums };
    match level.0 {
        // SAFETY: facts 1 and 2.
        Set::Avx512Bf16 => unsafe { by_rows!(task.sums.len(), pairs_avx512, task) },
        // SAFETY: facts 1 and 2.
        Set::Avx512 => unsafe { by_rows!(task.sums.len(), bf16_avx512, task) },
        // SAFETY: facts 1 and 2.
        Set::Avx2 => unsafe { by_rows!(task.sums.len(), bf16_avx2, task) },
    }
}

/// As [`f32`], of weights in bytes with a scale for each 32 inputs of an output.
///
/// **Shapes** `panel: [⌈inputs / 2⌉, 2, 32]`, `scales: [⌈inputs / 32⌉, 32]`.
pub(crate) fn int8(
    level: Level,
    (panel, scales): (&[Bytes], &[Floats]),
    inputs: usize,
    x: &[f32],
    stride: usize,
    sums: &mut [Sums],
) {
    check(x.len(), stride, inputs, sums.len());
    assert!(panel.len() * 2 >= inputs && scales.len() / 2 * BLOCK >= inputs, "a panel that is too short");
    let panel = Scaled { weights: panel.as_ptr().cast(), scales: scales.as_ptr().cast() };
    let task = Task { panel, x: x.as_ptr(), stride, steps: inputs, sums };
    match level.0 {
        // SAFETY: facts 1 and 2.
        Set::Avx512Bf16 | Set::Avx512 => unsafe { by_rows!(task.sums.len(), int8_avx512, task) },
        // SAFETY: facts 1 and 2.
        Set::Avx2 => unsafe { by_rows!(task.sums.len(), int8_avx2, task) },
    }
}

/// Fact 2, for rows.
fn check(numbers: usize, stride: usize, steps: usize, rows: usize) {
    assert!((1..=MOST_ROWS).contains(&rows), "a tile of {rows} rows");
    assert!(numbers >= (rows - 1) * stride + steps, "rows that are too short for the panel");
}

/// A tile: everything that its loops read and write.
struct Task<'a, P, X> {
    panel: P,
    x: *const X,
    stride: usize,
    steps: usize,
    sums: &'a mut [Sums],
}

/// Weights in bytes.
#[derive(Clone, Copy)]
struct Scaled {
    weights: *const i8,
    scales: *const f32,
}

#[target_feature(enable = "avx512f")]
unsafe fn f32_avx512<const ROWS: usize>(task: Task<'_, *const f32, f32>) {
    // SAFETY: as promised by the caller.
    unsafe { task.f32::<Avx512, ROWS>() };
}

#[target_feature(enable = "avx2,fma")]
unsafe fn f32_avx2<const ROWS: usize>(task: Task<'_, *const f32, f32>) {
    // SAFETY: as promised by the caller.
    unsafe { task.f32::<Avx2, ROWS>() };
}

#[target_feature(enable = "avx512f")]
unsafe fn bf16_avx512<const ROWS: usize>(task: Task<'_, *const u32, u32>) {
    // SAFETY: as promised by the caller.
    unsafe { task.bf16::<Avx512, ROWS>() };
}

#[target_feature(enable = "avx2,fma")]
unsafe fn bf16_avx2<const ROWS: usize>(task: Task<'_, *const u32, u32>) {
    // SAFETY: as promised by the caller.
    unsafe { task.bf16::<Avx2, ROWS>() };
}

#[target_feature(enable = "avx512f")]
unsafe fn int8_avx512<const ROWS: usize>(task: Task<'_, Scaled, f32>) {
    // SAFETY: as promised by the caller.
    unsafe { task.int8::<Avx512, ROWS>() };
}

#[target_feature(enable = "avx2,fma")]
unsafe fn int8_avx2<const ROWS: usize>(task: Task<'_, Scaled, f32>) {
    // SAFETY: as promised by the caller.
    unsafe { task.int8::<Avx2, ROWS>() };
}

/// Two products of bfloat16 numbers and their sum are one instruction here.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn pairs_avx512<const ROWS: usize>(task: Task<'_, *const u32, u32>) {
    let rows: [*const u32; ROWS] = std::array::from_fn(|row| task.x.wrapping_add(row * task.stride));
    let sums = task.sums.as_mut_ptr().cast::<f32>();
    // SAFETY: fact 2, for all reads and writes; registers of one size may be read as one another.
    unsafe {
        let at = |row: usize, vector: usize| sums.add(row * PANEL + 16 * vector);
        let mut held: [[__m512; 2]; ROWS] = std::array::from_fn(|row| {
            std::array::from_fn(
                #[inline(always)]
                |vector| _mm512_loadu_ps(at(row, vector)),
            )
        });
        for step in 0..task.steps {
            let line = task.panel.add(step * PANEL);
            _mm_prefetch::<_MM_HINT_T0>(line.wrapping_byte_add(AHEAD).cast());
            _mm_prefetch::<_MM_HINT_T0>(line.wrapping_byte_add(AHEAD + 64).cast());
            let weights = [_mm512_loadu_si512(line.cast()), _mm512_loadu_si512(line.add(16).cast())];
            for (row, held) in rows.iter().zip(&mut held) {
                let value = _mm512_set1_epi32(row.add(step).read() as i32);
                for (sum, weights) in held.iter_mut().zip(weights) {
                    *sum = _mm512_dpbf16_ps(
                        *sum,
                        std::mem::transmute::<__m512i, __m512bh>(value),
                        std::mem::transmute::<__m512i, __m512bh>(weights),
                    );
                }
            }
        }
        for (row, held) in held.iter().enumerate() {
            for (vector, sum) in held.iter().enumerate() {
                _mm512_storeu_ps(at(row, vector), *sum);
            }
        }
    }
}

/// The loops of a tile, written once for both widths. Each walks the panel front to back with two vectors of outputs.
impl<P: Copy, X> Task<'_, P, X> {
    /// `step(k, outputs)` gives the weights of 2 vectors of outputs and what each row multiplies them with.
    #[inline(always)]
    unsafe fn tile<L: Lanes, const ROWS: usize>(
        self,
        mut step: impl FnMut(usize, usize, &mut [[L::V; 2]; ROWS], &[*const X; ROWS]),
    ) {
        let rows: [*const X; ROWS] = std::array::from_fn(|row| self.x.wrapping_add(row * self.stride));
        let sums = self.sums.as_mut_ptr().cast::<f32>();
        for outputs in (0..PANEL).step_by(2 * L::WIDTH) {
            // SAFETY: fact 2.
            unsafe {
                let mut held = [[L::load(sums); 2]; ROWS];
                for (row, held) in held.iter_mut().enumerate() {
                    for (vector, sum) in held.iter_mut().enumerate() {
                        *sum = L::load(sums.add(row * PANEL + outputs + L::WIDTH * vector));
                    }
                }
                for k in 0..self.steps {
                    step(k, outputs, &mut held, &rows);
                }
                for (row, held) in held.iter().enumerate() {
                    for (vector, sum) in held.iter().enumerate() {
                        L::store(sums.add(row * PANEL + outputs + L::WIDTH * vector), *sum);
                    }
                }
            }
        }
    }
}

impl Task<'_, *const f32, f32> {
    #[inline(always)]
    unsafe fn f32<L: Lanes, const ROWS: usize>(self) {
        let panel = self.panel;
        // SAFETY: fact 2.
        unsafe {
            self.tile::<L, ROWS>(
                #[inline(always)]
                |k, outputs, held, rows| {
                    let line = panel.add(k * PANEL + outputs);
                    ahead::<L>(line.cast());
                    let weights = [L::load(line), L::load(line.add(L::WIDTH))];
                    for (row, held) in rows.iter().zip(held) {
                        let value = L::splat(row.add(k).read());
                        held[0] = L::fma(weights[0], value, held[0]);
                        held[1] = L::fma(weights[1], value, held[1]);
                    }
                },
            );
        }
    }
}

impl Task<'_, *const u32, u32> {
    /// By widening: a bfloat16 number is the upper half of an f32.
    #[inline(always)]
    unsafe fn bf16<L: Lanes, const ROWS: usize>(self) {
        let panel = self.panel;
        // SAFETY: fact 2.
        unsafe {
            self.tile::<L, ROWS>(
                #[inline(always)]
                |k, outputs, held, rows| {
                    let line = panel.add(k * PANEL + outputs);
                    ahead::<L>(line.cast());
                    let weights = [L::halves(line), L::halves(line.add(L::WIDTH))];
                    for (row, held) in rows.iter().zip(held) {
                        let pair = row.add(k).read();
                        let (low, high) = (f32::from_bits(pair << 16), f32::from_bits(pair & 0xffff_0000));
                        for (sum, weights) in held.iter_mut().zip(weights) {
                            *sum = L::fma(weights[0], L::splat(low), *sum);
                            *sum = L::fma(weights[1], L::splat(high), *sum);
                        }
                    }
                },
            );
        }
    }
}

impl Task<'_, Scaled, f32> {
    #[inline(always)]
    unsafe fn int8<L: Lanes, const ROWS: usize>(self) {
        let Scaled { weights, scales } = self.panel;
        // SAFETY: fact 2. Zero is replaced before it is used: 0 begins a block.
        unsafe {
            let mut scale = [L::splat(0.0); 2];
            self.tile::<L, ROWS>(
                #[inline(always)]
                |k, outputs, held, rows| {
                    if k.is_multiple_of(BLOCK) {
                        let line = scales.add(k / BLOCK * PANEL + outputs);
                        scale = [L::load(line), L::load(line.add(L::WIDTH))];
                    }
                    let line = weights.add(k * PANEL + outputs);
                    ahead::<L>(line);
                    let weights =
                        [L::mul(L::bytes(line), scale[0]), L::mul(L::bytes(line.add(L::WIDTH)), scale[1])];
                    for (row, held) in rows.iter().zip(held) {
                        let value = L::splat(row.add(k).read());
                        held[0] = L::fma(weights[0], value, held[0]);
                        held[1] = L::fma(weights[1], value, held[1]);
                    }
                },
            );
        }
    }
}

/// Asks for weights that will be read soon. An address past the end is ignored.
#[inline(always)]
fn ahead<L: Lanes>(line: *const i8) {
    for part in 0..(2 * L::WIDTH * 4).div_ceil(64) {
        // SAFETY: a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.wrapping_byte_add(AHEAD + 64 * part)) };
    }
}

/// Vector registers of one width. Called by code that is compiled for them alone.
trait Lanes {
    type V: Copy;
    const WIDTH: usize;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, value: Self::V);
    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// a b + c
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The low and the high halves of `WIDTH` pairs.
    unsafe fn halves(from: *const u32) -> [Self::V; 2];
    /// `WIDTH` bytes as numbers.
    unsafe fn bytes(from: *const i8) -> Self::V;
}

struct Avx512;

impl Lanes for Avx512 {
    type V = __m512;
    const WIDTH: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: __m512) {
        unsafe { _mm512_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn halves(from: *const u32) -> [__m512; 2] {
        unsafe {
            let pairs = _mm512_loadu_si512(from.cast());
            let high = _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff_0000_u32 as i32));
            [_mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs)), _mm512_castsi512_ps(high)]
        }
    }
    #[inline(always)]
    unsafe fn bytes(from: *const i8) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
    }
}

struct Avx2;

impl Lanes for Avx2 {
    type V = __m256;
    const WIDTH: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: __m256) {
        unsafe { _mm256_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn halves(from: *const u32) -> [__m256; 2] {
        unsafe {
            let pairs = _mm256_loadu_si256(from.cast());
            let high = _mm256_and_si256(pairs, _mm256_set1_epi32(0xffff_0000_u32 as i32));
            [_mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs)), _mm256_castsi256_ps(high)]
        }
    }
    #[inline(always)]
    unsafe fn bytes(from: *const i8) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast()))) }
    }
}
