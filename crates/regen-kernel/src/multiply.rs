//! The product of rows with a packed matrix.
//!
//! A panel meets some hundred rows at a time, so that it comes from far memory once for them, and their numbers stay in the
//! core's cache for the next panel. Within that, inputs are cut so that what a tile walks through stays there too.

use crate::level::{Level, Work};
use crate::math::Activation;
use crate::matrix::Matrix;
use crate::panels::{BLOCK, PANEL, Panel, pair_of};
use crate::tiles::{self, Sums};

/// Numbers of the rows that a panel meets at a time: with f32 half a megabyte, half of a usual core's cache.
const NUMBERS_AT_ONCE: usize = 131_072;

/// Inputs of a panel that tiles go through before the next ones. A multiple of [`BLOCK`].
const INPUTS_AT_ONCE: usize = 1024;

/// The same where so few tiles meet a panel that it comes from far memory for them: each part of it is asked for while they go
/// through the one before. With whole panels the first tile would wait for memory, and memory for the others. A multiple of
/// [`BLOCK`].
const INPUTS_OF_FEW: usize = 64;

/// How many tiles are few.
const FEW_TILES: usize = 4;

/// Memory that products use again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Rows in bfloat16, in pairs.
    pub(crate) pairs: Vec<u32>,
    pub(crate) sums: Vec<Sums>,
    pub(crate) gates: Vec<Sums>,
}

/// What becomes of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    Set,
    Add,
}

/// Rows as a storage wants them.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    Floats(&'a [f32]),
    /// Each row of whole pairs.
    Pairs(&'a [u32]),
}

impl Matrix {
    /// On this thread: **Shapes** `x: [rows, inputs] → out: [rows, outputs]`.
    ///
    /// # Panics
    /// If `x` is no whole number of rows, or `out` does not have as many.
    pub fn multiply(&self, x: &[f32], out: &mut [f32], scratch: &mut Scratch) {
        self.check(x, out);
        self.rows_into(x, out, Put::Set, scratch);
    }

    /// As [`multiply`](Self::multiply), added to what `out` holds.
    ///
    /// # Panics
    /// As [`multiply`](Self::multiply).
    pub fn multiply_add(&self, x: &[f32], out: &mut [f32], scratch: &mut Scratch) {
        self.check(x, out);
        self.rows_into(x, out, Put::Add, scratch);
    }

    pub(crate) fn check(&self, x: &[f32], out: &[f32]) {
        let rows = x.len() / self.inputs;
        assert_eq!(x.len(), rows * self.inputs, "no whole number of rows of {} inputs", self.inputs);
        assert_eq!(out.len(), rows * self.outputs, "{rows} rows of {} outputs", self.outputs);
    }

    /// All panels for all rows, some rows at a time.
    pub(crate) fn rows_into(&self, x: &[f32], out: &mut [f32], put: Put, scratch: &mut Scratch) {
        let tile = self.level.rows();
        let at_once = (NUMBERS_AT_ONCE / self.inputs).clamp(2 * tile, 16 * tile) / tile * tile;
        self.rows_at_once(x, out, put, at_once, scratch);
    }

    /// The same, so many rows at a time.
    pub(crate) fn rows_at_once(
        &self,
        x: &[f32],
        out: &mut [f32],
        put: Put,
        at_once: usize,
        scratch: &mut Scratch,
    ) {
        let Scratch { pairs, sums, gates } = scratch;
        for (x, out) in x.chunks(at_once * self.inputs).zip(out.chunks_mut(at_once * self.outputs)) {
            let rows = x.len() / self.inputs;
            let prepared = self.prepare(x, pairs);
            sums.resize(rows, [0.0; PANEL]);
            let sums = sums.as_mut_slice();
            for panel in 0..self.panel_count() {
                self.panel_into(panel, prepared, sums, gates);
                let start = panel * PANEL;
                let width = PANEL.min(self.outputs - start);
                let put = Place { sums, out, outputs: self.outputs, columns: start..start + width, put };
                self.level.run(put);
            }
        }
    }

    pub(crate) fn prepare<'a>(&self, x: &'a [f32], pairs: &'a mut Vec<u32>) -> Rows<'a> {
        if !self.takes_pairs() {
            return Rows::Floats(x);
        }
        let steps = self.inputs.div_ceil(2);
        pairs.resize(x.len() / self.inputs * steps, 0);
        self.level.run(Round { x, inputs: self.inputs, pairs });
        Rows::Pairs(pairs)
    }

    /// One panel for all rows: products, bias, nonlinearity, gate.
    pub(crate) fn panel_into(&self, panel: usize, rows: Rows<'_>, sums: &mut [Sums], gates: &mut Vec<Sums>) {
        let bias = |part: usize| {
            self.bias.as_deref().map(|bias| &bias[part * self.padded() + panel * PANEL..][..PANEL])
        };
        let parts = self.parts();
        self.product(self.panel(panel, parts - 1), rows, sums);
        let mut gated = None;
        if parts == 2 {
            gates.resize(sums.len(), [0.0; PANEL]);
            self.product(self.panel(panel, 0), rows, gates);
            gated = Some((gates.as_mut_slice(), bias(0)));
        }
        let activation = self.activation;
        self.level.run(Finish { sums, bias: bias(parts - 1), gated, activation });
    }

    fn product(&self, panel: Panel<'_>, rows: Rows<'_>, sums: &mut [Sums]) {
        sums.fill([0.0; PANEL]);
        let blocks = sums.len().div_ceil(self.level.rows()).max(1);
        let tile = sums.len().div_ceil(blocks).max(1);
        let at_once = if blocks <= FEW_TILES { INPUTS_OF_FEW } else { INPUTS_AT_ONCE };
        for start in (0..self.inputs).step_by(at_once) {
            let end = (start + at_once).min(self.inputs);
            for (block, sums) in sums.chunks_mut(tile).enumerate() {
                let first = block * tile;
                tile_into(self.level, panel, rows, self.inputs, first, start..end, sums);
            }
        }
    }
}

/// Inputs `range` of a panel times the rows from `first` on, added to `sums`.
fn tile_into(
    level: Level,
    panel: Panel<'_>,
    rows: Rows<'_>,
    inputs: usize,
    first: usize,
    range: std::ops::Range<usize>,
    sums: &mut [Sums],
) {
    match (panel, rows) {
        (Panel::F32(lines), Rows::Floats(x)) => {
            let x = &x[first * inputs + range.start..];
            tiles::f32(level, &lines[2 * range.start..2 * range.end], x, inputs, sums);
        }
        (Panel::Bf16(lines), Rows::Pairs(x)) => {
            let (stride, start, end) = (inputs.div_ceil(2), range.start / 2, range.end.div_ceil(2));
            tiles::bf16(level, &lines[2 * start..2 * end], &x[first * stride + start..], stride, sums);
        }
        (Panel::Int8(lines, scales), Rows::Floats(x)) => {
            let lines = &lines[range.start / 2..range.end.div_ceil(2)];
            let scales = &scales[range.start / BLOCK * 2..range.end.div_ceil(BLOCK) * 2];
            let x = &x[first * inputs + range.start..];
            tiles::int8(level, (lines, scales), range.len(), x, inputs, sums);
        }
        (Panel::Bf16(_), Rows::Floats(_)) | (Panel::F32(_) | Panel::Int8(..), Rows::Pairs(_)) => {
            unreachable!("rows are prepared for the storage")
        }
    }
}

/// Sums of one panel to their columns of the result.
struct Place<'a> {
    sums: &'a [Sums],
    out: &'a mut [f32],
    outputs: usize,
    columns: std::ops::Range<usize>,
    put: Put,
}

impl Work for Place<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { sums, out, outputs, columns, put } = self;
        for (sums, row) in sums.iter().zip(out.chunks_exact_mut(outputs)) {
            put.into(sums, &mut row[columns.clone()]);
        }
    }
}

impl Put {
    /// The sums of one row, as many as there is room for.
    #[inline(always)]
    pub(crate) fn into(self, sums: &Sums, row: &mut [f32]) {
        // A whole panel has a length that the compiler knows: a few vectors rather than a call.
        if let Ok(row) = <&mut Sums>::try_from(&mut *row) {
            match self {
                Self::Set => *row = *sums,
                Self::Add => row.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum),
            }
        } else {
            match self {
                Self::Set => row.copy_from_slice(&sums[..row.len()]),
                Self::Add => row.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum),
            }
        }
    }
}

/// Rows to bfloat16, round to nearest even.
struct Round<'a> {
    x: &'a [f32],
    inputs: usize,
    pairs: &'a mut [u32],
}

impl Work for Round<'_> {
    #[inline(always)]
    fn run(self) {
        let rows = self.x.chunks_exact(self.inputs).zip(self.pairs.chunks_exact_mut(self.inputs.div_ceil(2)));
        for (row, pairs) in rows {
            let (whole, last) = row.as_chunks::<2>();
            for (pair, [low, high]) in pairs.iter_mut().zip(whole) {
                *pair = rounded(*low) >> 16 | rounded(*high) & 0xffff_0000;
            }
            if let ([last], Some(pair)) = (last, pairs.last_mut()) {
                *pair = pair_of(*last, 0.0);
            }
        }
    }
}

/// The bits of the nearest bfloat16 in the upper half. A NaN stays one.
#[inline(always)]
pub(crate) fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    if x.is_nan() { bits | 0x0040_0000 } else { nearest }
}

/// Bias, nonlinearity and gate of the sums of one panel.
struct Finish<'a> {
    sums: &'a mut [Sums],
    bias: Option<&'a [f32]>,
    gated: Option<(&'a mut [Sums], Option<&'a [f32]>)>,
    activation: Option<Activation>,
}

impl Work for Finish<'_> {
    #[inline(always)]
    fn run(self) {
        add_bias(self.sums, self.bias);
        let Some((gates, bias)) = self.gated else {
            if let Some(activation) = self.activation {
                activation.inlined(self.sums.as_flattened_mut());
            }
            return;
        };
        add_bias(gates, bias);
        if let Some(activation) = self.activation {
            activation.inlined(gates.as_flattened_mut());
        }
        let (sums, gates) = (self.sums.as_flattened_mut(), gates.as_flattened());
        sums.iter_mut().zip(gates).for_each(|(sum, gate)| *sum *= gate);
    }
}

#[inline(always)]
fn add_bias(sums: &mut [Sums], bias: Option<&[f32]>) {
    if let Some(bias) = bias {
        for row in sums {
            row.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias);
        }
    }
}
