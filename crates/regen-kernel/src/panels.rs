//! How weights lie in memory: panels of 32 outputs, in cache lines.

use half::bf16;

/// Outputs of one panel.
pub(crate) const PANEL: usize = 32;

/// Inputs that share a scale in [`Panels::Int8`].
pub(crate) const BLOCK: usize = 32;

/// One cache line, aligned so that no load of a vector touches two.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line<T, const N: usize>(pub(crate) [T; N]);

/// 16 numbers.
pub(crate) type Floats = Line<f32, 16>;
/// 16 outputs, two inputs each: the first in the low half.
pub(crate) type Pairs = Line<u32, 16>;
/// 32 outputs of one input, then of the next.
pub(crate) type Bytes = Line<i8, 64>;

/// The weights of 32 outputs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Panel<'a> {
    /// `[inputs, 32]`.
    F32(&'a [Floats]),
    /// `[⌈inputs / 2⌉, 32]` pairs.
    Bf16(&'a [Pairs]),
    /// `[inputs, 32]`, an odd last one filled up, and `[⌈inputs / 32⌉, 32]` scales.
    Int8(&'a [Bytes], &'a [Floats]),
}

/// The panels of a matrix, one after another.
#[derive(Debug)]
pub(crate) enum Panels {
    F32(Vec<Floats>),
    Bf16(Vec<Pairs>),
    Int8(Vec<Bytes>, Vec<Floats>),
}

impl Panels {
    pub(crate) fn f32(panels: usize, inputs: usize) -> Self {
        Self::F32(vec![Line([0.0; 16]); panels * inputs * 2])
    }

    pub(crate) fn bf16(panels: usize, inputs: usize) -> Self {
        Self::Bf16(vec![Line([0; 16]); panels * inputs.div_ceil(2) * 2])
    }

    pub(crate) fn int8(panels: usize, inputs: usize) -> Self {
        let scales = vec![Line([0.0; 16]); panels * inputs.div_ceil(BLOCK) * 2];
        Self::Int8(vec![Line([0; 64]); panels * inputs.div_ceil(2)], scales)
    }

    /// Panel number `index` of a matrix of so many inputs.
    pub(crate) fn panel(&self, index: usize, inputs: usize) -> Panel<'_> {
        match self {
            Self::F32(lines) => Panel::F32(part(lines, index, inputs * 2)),
            Self::Bf16(lines) => Panel::Bf16(part(lines, index, inputs.div_ceil(2) * 2)),
            Self::Int8(lines, scales) => Panel::Int8(
                part(lines, index, inputs.div_ceil(2)),
                part(scales, index, inputs.div_ceil(BLOCK) * 2),
            ),
        }
    }

    /// Puts the weights of one output, `[inputs]`, into its place in a panel.
    pub(crate) fn set(&mut self, index: usize, lane: usize, weights: &[f32]) {
        let inputs = weights.len();
        match self {
            Self::F32(lines) => {
                let lines = part_mut(lines, index, inputs * 2);
                for (pair, weight) in lines.chunks_exact_mut(2).zip(weights) {
                    pair[lane / 16].0[lane % 16] = *weight;
                }
            }
            Self::Bf16(lines) => {
                let lines = part_mut(lines, index, inputs.div_ceil(2) * 2);
                for (pair, weights) in lines.chunks_exact_mut(2).zip(weights.chunks(2)) {
                    let high = weights.get(1).copied().unwrap_or(0.0);
                    pair[lane / 16].0[lane % 16] = pair_of(weights[0], high);
                }
            }
            Self::Int8(lines, scales) => {
                let lines = part_mut(lines, index, inputs.div_ceil(2));
                let scales = part_mut(scales, index, inputs.div_ceil(BLOCK) * 2);
                for (block, weights) in weights.chunks(BLOCK).enumerate() {
                    let largest = weights.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
                    let scale = largest / 127.0;
                    scales[2 * block + lane / 16].0[lane % 16] = scale;
                    for (at, weight) in weights.iter().enumerate() {
                        let input = block * BLOCK + at;
                        // Saturating, and 0 where the whole block is.
                        let value = if scale > 0.0 { (weight / scale).round() as i8 } else { 0 };
                        lines[input / 2].0[input % 2 * 32 + lane] = value;
                    }
                }
            }
        }
    }

    /// The weights of one output, `[inputs]`, as they are stored.
    pub(crate) fn get(&self, index: usize, lane: usize, weights: &mut [f32]) {
        let (half, lane_of_half) = (lane / 16, lane % 16);
        match self.panel(index, weights.len()) {
            Panel::F32(lines) => {
                for (weight, pair) in weights.iter_mut().zip(lines.chunks_exact(2)) {
                    *weight = pair[half].0[lane_of_half];
                }
            }
            Panel::Bf16(lines) => {
                for (weights, pair) in weights.chunks_mut(2).zip(lines.chunks_exact(2)) {
                    let both = pair[half].0[lane_of_half];
                    let numbers = [f32::from_bits(both << 16), f32::from_bits(both & 0xffff_0000)];
                    weights.copy_from_slice(&numbers[..weights.len()]);
                }
            }
            Panel::Int8(lines, scales) => {
                for (input, weight) in weights.iter_mut().enumerate() {
                    let scale = scales[input / BLOCK * 2 + half].0[lane_of_half];
                    *weight = f32::from(lines[input / 2].0[input % 2 * 32 + lane]) * scale;
                }
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::F32(lines) => lines.len() * 64,
            Self::Bf16(lines) => lines.len() * 64,
            Self::Int8(lines, scales) => (lines.len() + scales.len()) * 64,
        }
    }
}

/// Two numbers in bfloat16, the first in the low half.
pub(crate) fn pair_of(low: f32, high: f32) -> u32 {
    u32::from(bf16::from_f32(low).to_bits()) | u32::from(bf16::from_f32(high).to_bits()) << 16
}

fn part<T>(all: &[T], index: usize, size: usize) -> &[T] {
    &all[index * size..][..size]
}

fn part_mut<T>(all: &mut [T], index: usize, size: usize) -> &mut [T] {
    &mut all[index * size..][..size]
}
