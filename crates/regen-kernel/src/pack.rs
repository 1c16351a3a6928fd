//! Packing again and again into the same memory, from rows or from columns, as training does whose weights move.

use rayon::prelude::*;

use crate::level::{Level, Work};
use crate::matrix::{Matrix, Storage};
use crate::multiply::rounded;
use crate::panels::{Floats, Line, PANEL, Pairs, Panels};

/// Numbers below which packing on one core takes less time than handing it out.
const WORTH_SHARING: usize = 20_000;

impl Matrix {
    /// Room for weights, all 0 until they are packed. [`Storage::Int8`] is not for weights that move.
    ///
    /// # Panics
    /// If there are no inputs, or for [`Storage::Int8`].
    pub fn with_room(level: Level, storage: Storage, inputs: usize, outputs: usize) -> Self {
        assert!(storage != Storage::Int8, "bytes cannot be packed again");
        Self::empty(level, storage, inputs, outputs, 1)
    }

    /// Takes other weights without a bias, in the memory of those that it holds: a row for each output. On all threads of the current rayon
    /// pool. **Shapes** `rows: outputs × [inputs]`.
    ///
    /// # Panics
    /// If rows differ in length or have none; if there is a gate.
    pub fn pack(&mut self, rows: &[&[f32]]) {
        let inputs = rows.first().map_or(self.inputs, |row| row.len());
        self.take(inputs, rows.len());
        check(rows, inputs);
        let level = self.level;
        let own = |panel: usize| &rows[panel * PANEL..rows.len().min((panel + 1) * PANEL)];
        match &mut self.panels {
            Panels::F32(lines) => each(lines, inputs * 2, |panel, lines| {
                level.run(Outputs { rows: own(panel), lines });
            }),
            Panels::Bf16(lines) => each(lines, inputs.div_ceil(2) * 2, |panel, lines| {
                level.run(OutputPairs { rows: own(panel), lines });
            }),
            Panels::Int8(..) => unreachable!("bytes cannot be packed again"),
        }
    }

    /// As [`pack`](Self::pack), with a row for each input. **Shapes** `rows: inputs × [outputs]`.
    ///
    /// # Panics
    /// If rows differ in length, or there is none; if there is a gate.
    pub fn pack_transposed(&mut self, rows: &[&[f32]]) {
        let outputs = rows.first().map_or(0, |row| row.len());
        self.take(rows.len(), outputs);
        check(rows, outputs);
        let level = self.level;
        match &mut self.panels {
            Panels::F32(lines) => each(lines, rows.len() * 2, |panel, lines| {
                level.run(Inputs { rows, first: panel * PANEL, lines });
            }),
            Panels::Bf16(lines) => each(lines, rows.len().div_ceil(2) * 2, |panel, lines| {
                level.run(InputPairs { rows, first: panel * PANEL, lines });
            }),
            Panels::Int8(..) => unreachable!("bytes cannot be packed again"),
        }
    }

    /// Takes another bias, or none; after weights were packed, which takes it away.
    ///
    /// # Panics
    /// If it has not as many numbers as there are outputs, or there is a gate.
    pub fn set_bias(&mut self, bias: Option<&[f32]>) {
        assert_eq!(self.parts(), 1, "a gate has two");
        let (outputs, padded) = (self.outputs, self.padded());
        self.bias = bias.map(|bias| {
            assert_eq!(bias.len(), outputs, "a bias of {outputs} outputs");
            let mut bias = bias.to_vec();
            bias.resize(padded, 0.0);
            bias
        });
    }

    /// Another size in the same memory.
    fn take(&mut self, inputs: usize, outputs: usize) {
        assert!(inputs > 0, "a weight without inputs");
        assert_eq!(self.parts(), 1, "a gate cannot be packed again");
        self.bias = None;
        (self.inputs, self.outputs) = (inputs, outputs);
        let count = self.panel_count();
        match &mut self.panels {
            Panels::F32(lines) => lines.resize(count * inputs * 2, Line([0.0; 16])),
            Panels::Bf16(lines) => lines.resize(count * inputs.div_ceil(2) * 2, Line([0; 16])),
            Panels::Int8(..) => unreachable!("bytes cannot be packed again"),
        }
    }
}

fn check(rows: &[&[f32]], length: usize) {
    assert!(rows.iter().all(|row| row.len() == length), "rows of different lengths");
}

/// Panels by number, on several threads where that pays.
fn each<T: Send>(lines: &mut [T], size: usize, pack: impl Fn(usize, &mut [T]) + Sync) {
    let least = (WORTH_SHARING / (size * 16)).max(1);
    lines
        .par_chunks_exact_mut(size)
        .enumerate()
        .with_min_len(least)
        .for_each(|(panel, lines)| pack(panel, lines));
}

/// Up to 32 rows become the lanes of one panel.
struct Outputs<'a> {
    rows: &'a [&'a [f32]],
    lines: &'a mut [Floats],
}

impl Work for Outputs<'_> {
    #[inline(always)]
    fn run(self) {
        for half in 0..2 {
            let from = (half * 16).min(self.rows.len());
            let own = &self.rows[from..self.rows.len().min(from + 16)];
            // Fewer than sixteen: the last once more, and 0 in its place after.
            let Some(last) = own.last() else {
                self.lines.iter_mut().skip(half).step_by(2).for_each(|line| line.0.fill(0.0));
                continue;
            };
            let rows: [&[f32]; 16] = std::array::from_fn(|lane| *own.get(lane).unwrap_or(last));
            let mut lines = self.lines.chunks_exact_mut(16);
            let mut start = 0;
            for block in &mut lines {
                let rows: [[f32; 8]; 16] = std::array::from_fn(|lane| eight(rows[lane], start));
                for (group, rows) in rows.as_chunks::<8>().0.iter().enumerate() {
                    for (pair, column) in block.chunks_exact_mut(2).zip(transposed(rows)) {
                        pair[half].0[8 * group..][..8].copy_from_slice(&column);
                    }
                }
                block.iter_mut().skip(half).step_by(2).for_each(|line| line.0[own.len()..].fill(0.0));
                start += 8;
            }
            for (at, pair) in lines.into_remainder().chunks_exact_mut(2).enumerate() {
                pair[half].0 = std::array::from_fn(|lane| rows[lane][start + at]);
                pair[half].0[own.len()..].fill(0.0);
            }
        }
    }
}

/// A column of panels: 32 numbers of each row, row after row.
struct Inputs<'a> {
    rows: &'a [&'a [f32]],
    first: usize,
    lines: &'a mut [Floats],
}

impl Work for Inputs<'_> {
    #[inline(always)]
    fn run(self) {
        for (row, pair) in self.rows.iter().zip(self.lines.chunks_exact_mut(2)) {
            let own = &row[self.first..row.len().min(self.first + PANEL)];
            if let Ok(own) = <&[f32; PANEL]>::try_from(own) {
                let (halves, _) = own.as_chunks::<16>();
                pair.iter_mut().zip(halves).for_each(|(line, half)| line.0 = *half);
                continue;
            }
            pair.iter_mut().for_each(|line| line.0.fill(0.0));
            for (line, part) in pair.iter_mut().zip(own.chunks(16)) {
                line.0[..part.len()].copy_from_slice(part);
            }
        }
    }
}

/// As [`Outputs`], in pairs of inputs.
struct OutputPairs<'a> {
    rows: &'a [&'a [f32]],
    lines: &'a mut [Pairs],
}

impl Work for OutputPairs<'_> {
    #[inline(always)]
    fn run(self) {
        for (step, pair) in self.lines.chunks_exact_mut(2).enumerate() {
            for (line, rows) in pair.iter_mut().zip([0, 16]) {
                line.0 = std::array::from_fn(|lane| {
                    let row = self.rows.get(rows + lane).copied().unwrap_or_default();
                    both(row.get(2 * step), row.get(2 * step + 1))
                });
            }
        }
    }
}

/// As [`Inputs`], in pairs of rows.
struct InputPairs<'a> {
    rows: &'a [&'a [f32]],
    first: usize,
    lines: &'a mut [Pairs],
}

impl Work for InputPairs<'_> {
    #[inline(always)]
    fn run(self) {
        for (rows, pair) in self.rows.chunks(2).zip(self.lines.chunks_exact_mut(2)) {
            let high = rows.get(1).copied().unwrap_or_default();
            for (line, from) in pair.iter_mut().zip([self.first, self.first + 16]) {
                line.0 = std::array::from_fn(|lane| both(rows[0].get(from + lane), high.get(from + lane)));
            }
        }
    }
}

/// Two numbers in bfloat16, 0 where there is none.
#[inline(always)]
fn both(low: Option<&f32>, high: Option<&f32>) -> u32 {
    let bits = |x: Option<&f32>| x.map_or(0, |x| rounded(*x));
    bits(low) >> 16 | bits(high) & 0xffff_0000
}

/// Eight numbers of a row.
#[inline(always)]
pub(crate) fn eight(row: &[f32], start: usize) -> [f32; 8] {
    let own = &row[start..start + 8];
    std::array::from_fn(|at| own[at])
}

/// Rows as columns, in three rounds of exchanges that are shuffles of vectors.
#[inline(always)]
pub(crate) fn transposed(rows: &[[f32; 8]; 8]) -> [[f32; 8]; 8] {
    let low = |a: [f32; 8], b: [f32; 8]| [a[0], b[0], a[1], b[1], a[4], b[4], a[5], b[5]];
    let high = |a: [f32; 8], b: [f32; 8]| [a[2], b[2], a[3], b[3], a[6], b[6], a[7], b[7]];
    let pairs = |a: [f32; 8], b: [f32; 8]| [a[0], a[1], b[0], b[1], a[4], a[5], b[4], b[5]];
    let rest = |a: [f32; 8], b: [f32; 8]| [a[2], a[3], b[2], b[3], a[6], a[7], b[6], b[7]];
    let [r0, r1, r2, r3, r4, r5, r6, r7] = *rows;
    let (a0, a1, a2, a3) = (low(r0, r1), high(r0, r1), low(r2, r3), high(r2, r3));
    let (a4, a5, a6, a7) = (low(r4, r5), high(r4, r5), low(r6, r7), high(r6, r7));
    let (b0, b1, b2, b3) = (pairs(a0, a2), rest(a0, a2), pairs(a1, a3), rest(a1, a3));
    let (b4, b5, b6, b7) = (pairs(a4, a6), rest(a4, a6), pairs(a5, a7), rest(a5, a7));
    let front = |a: [f32; 8], b: [f32; 8]| [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]];
    let back = |a: [f32; 8], b: [f32; 8]| [a[4], a[5], a[6], a[7], b[4], b[5], b[6], b[7]];
    [
        front(b0, b4),
        front(b1, b5),
        front(b2, b6),
        front(b3, b7),
        back(b0, b4),
        back(b1, b5),
        back(b2, b6),
        back(b3, b7),
    ]
}
