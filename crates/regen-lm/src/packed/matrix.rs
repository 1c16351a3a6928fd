//! A weight in panels, and its product with a few rows.

use rayon::prelude::*;
use regen_torch::tensor_to_vec_f32;
use tch::Tensor;

use super::exp::exp;
use super::lanes::{Level, PANEL, Work};
use crate::config::Activation;
use crate::error::Result;

/// Products below which handing work to another core costs more than it saves.
const WORTH_SHARING: usize = 60_000;

/// An f32 weight `[out, in]` in panels of [`PANEL`] outputs, with an optional bias.
#[derive(Debug)]
pub(super) struct Matrix {
    level: Level,
    inputs: usize,
    outputs: usize,
    /// `[panels, 1 or 2, inputs, PANEL]`, the last panel filled up with zeros. With a gate, its panel stands before that of
    /// the same outputs.
    panels: Vec<f32>,
    /// `[out]`, of the gate `[out]` before it.
    bias: Option<Vec<f32>>,
    gate: Option<Activation>,
}

/// A weight `[out, in]` on its way into panels, with its bias `[out]`.
pub(super) type Dense = (Tensor, Option<Tensor>);

impl Matrix {
    /// Weights one below the other as one matrix.
    pub(super) fn stacked(level: Level, weights: &[Dense]) -> Result<Self> {
        let tensors: Vec<&Tensor> = weights.iter().map(|(weight, _)| weight).collect();
        let weight = Tensor::f_cat(&tensors, 0)?;
        let (outputs, inputs) = weight.size2()?;
        let (outputs, inputs) = (outputs as usize, inputs as usize);
        let bias = if weights.iter().any(|(_, bias)| bias.is_some()) {
            let mut all = Vec::with_capacity(outputs);
            for (weight, bias) in weights {
                match bias {
                    Some(bias) => all.extend(tensor_to_vec_f32(bias)?),
                    None => all.extend(std::iter::repeat_n(0.0, weight.size()[0] as usize)),
                }
            }
            Some(all)
        } else {
            None
        };
        let mut panels = vec![0.0; outputs.div_ceil(PANEL) * PANEL * inputs];
        fill(&mut panels, &tensor_to_vec_f32(&weight)?, inputs, 1, 0);
        Ok(Self { level, inputs, outputs, panels, bias, gate: None })
    }

    /// Two weights of one shape, whose products become act(gate) ⊙ up.
    pub(super) fn gated(level: Level, gate: &Dense, up: &Dense, activation: Activation) -> Result<Self> {
        let (outputs, inputs) = gate.0.size2()?;
        let (outputs, inputs) = (outputs as usize, inputs as usize);
        let mut panels = vec![0.0; 2 * outputs.div_ceil(PANEL) * PANEL * inputs];
        let mut bias = Vec::new();
        for (part, (weight, own)) in [gate, up].into_iter().enumerate() {
            fill(&mut panels, &tensor_to_vec_f32(weight)?, inputs, 2, part);
            if let Some(own) = own {
                bias.extend(tensor_to_vec_f32(own)?);
            }
        }
        let bias = (bias.len() == 2 * outputs).then_some(bias);
        Ok(Self { level, inputs, outputs, panels, bias, gate: Some(activation) })
    }

    /// The weights of one output, `[in]`.
    pub(super) fn weights_of(&self, output: usize) -> impl Iterator<Item = f32> {
        let panel = &self.panels[output / PANEL * PANEL * self.inputs..];
        panel.chunks_exact(PANEL).take(self.inputs).map(move |weights| weights[output % PANEL])
    }

    /// **Shapes** `x: [rows, in] → [rows, out]`, row by row.
    pub(super) fn multiply(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let blocks = columns(x, self.inputs, self.level.rows());
        let mut parts = vec![0.0; self.outputs.div_ceil(PANEL) * rows * PANEL];
        let size = self.inputs * PANEL * if self.gate.is_some() { 2 } else { 1 };
        let fill = |(index, (part, panel)): (usize, (&mut [f32], &[f32]))| {
            for block in &blocks {
                let part = &mut part[block.first * PANEL..(block.first + block.count) * PANEL];
                match block.count {
                    16 => self.block::<16>(index, panel, &block.columns, part),
                    8 => self.block::<8>(index, panel, &block.columns, part),
                    4 => self.block::<4>(index, panel, &block.columns, part),
                    2 => self.block::<2>(index, panel, &block.columns, part),
                    _ => self.block::<1>(index, panel, &block.columns, part),
                }
            }
        };
        let at_once = WORTH_SHARING / (size * rows).max(1);
        if at_once * rows * PANEL >= parts.len() {
            parts
                .chunks_exact_mut(rows * PANEL)
                .zip(self.panels.chunks_exact(size))
                .enumerate()
                .for_each(fill);
        } else {
            // Threads own disjoint panels, so each fills its own `[panel, rows, PANEL]`.
            let panels = self.panels.par_chunks_exact(size);
            let parts = parts.par_chunks_exact_mut(rows * PANEL);
            parts.zip(panels).enumerate().with_min_len(at_once.max(1)).for_each(fill);
        }
        if rows == 1 {
            parts.truncate(self.outputs);
            return parts;
        }
        let mut out = vec![0.0; rows * self.outputs];
        for (index, part) in parts.chunks_exact(rows * PANEL).enumerate() {
            let start = index * PANEL;
            let width = PANEL.min(self.outputs - start);
            for (row, values) in part.chunks_exact(PANEL).enumerate() {
                let to = row * self.outputs + start;
                out[to..to + width].copy_from_slice(&values[..width]);
            }
        }
        out
    }

    /// One panel, or the pair of gate and up, times `ROWS` rows.
    fn block<const ROWS: usize>(&self, index: usize, panel: &[f32], columns: &[f32], part: &mut [f32]) {
        let mut sums = [[0.0; PANEL]; ROWS];
        let Some(activation) = self.gate else {
            self.level.multiply(panel, columns, &mut sums);
            self.add_bias(index, 0, &mut sums);
            part.copy_from_slice(sums.as_flattened());
            return;
        };
        let (gate, up) = panel.split_at(panel.len() / 2);
        let mut gates = [[0.0; PANEL]; ROWS];
        self.level.multiply(gate, columns, &mut gates);
        self.level.multiply(up, columns, &mut sums);
        self.add_bias(index, 0, &mut gates);
        self.add_bias(index, 1, &mut sums);
        let (gates, ups) = (gates.as_flattened_mut(), sums.as_flattened());
        activate(self.level, activation, gates);
        for ((value, up), gate) in part.iter_mut().zip(ups).zip(gates) {
            *value = *gate * up;
        }
    }

    fn add_bias(&self, index: usize, part: usize, sums: &mut [[f32; PANEL]]) {
        let Some(bias) = &self.bias else { return };
        let start = part * self.outputs + index * PANEL;
        let end = (start + PANEL).min((part + 1) * self.outputs);
        for row in sums {
            row.iter_mut().zip(&bias[start..end]).for_each(|(value, bias)| *value += bias);
        }
    }
}

/// The nonlinearity, in place. The exact GELU is not among those that are packed.
pub(super) fn activate(level: Level, activation: Activation, x: &mut [f32]) {
    level.run(Activate { activation, x });
}

struct Activate<'a> {
    activation: Activation,
    x: &'a mut [f32],
}

impl Work for Activate<'_> {
    #[inline(always)]
    fn run(self) {
        match self.activation {
            Activation::Silu => self.x.iter_mut().for_each(|x| *x /= 1.0 + exp(-*x)),
            // tanh(y) = 1 − 2 / (1 + exp(2y)), so ½x(1 + tanh(y)) = x − x / (1 + exp(2y)).
            Activation::GeluTanh | Activation::Gelu => self.x.iter_mut().for_each(|x| {
                let inner = (2.0 / std::f32::consts::PI).sqrt() * (*x + 0.044_715 * *x * *x * *x);
                *x -= *x / (1.0 + exp(2.0 * inner));
            }),
            Activation::Relu => self.x.iter_mut().for_each(|x| *x = x.max(0.0)),
        }
    }
}

/// Rows `[out, in]` into panels, as part `part` of `parts` of each.
fn fill(panels: &mut [f32], rows: &[f32], inputs: usize, parts: usize, part: usize) {
    for (output, row) in rows.chunks_exact(inputs).enumerate() {
        let panel = &mut panels[(output / PANEL * parts + part) * PANEL * inputs..];
        for (input, value) in row.iter().enumerate() {
            panel[input * PANEL + output % PANEL] = *value;
        }
    }
}

/// A few rows, turned so that each input's values stand together.
struct Block {
    first: usize,
    count: usize,
    /// `[in, count]`.
    columns: Vec<f32>,
}

/// Splits rows into blocks of 16, 8, 4, 2 and 1, none above `most`.
fn columns(x: &[f32], inputs: usize, most: usize) -> Vec<Block> {
    let rows = x.len() / inputs;
    let mut all = Vec::new();
    let mut first = 0;
    while first < rows {
        let left = rows - first;
        let count = [16, 8, 4, 2, 1].into_iter().find(|count| *count <= left.min(most)).unwrap_or(1);
        let mut columns = vec![0.0; inputs * count];
        for row in 0..count {
            let from = &x[(first + row) * inputs..(first + row + 1) * inputs];
            for (column, value) in columns.chunks_exact_mut(count).zip(from) {
                column[row] = *value;
            }
        }
        all.push(Block { first, count, columns });
        first += count;
    }
    all
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use regen_torch::seed;

    use super::*;

    fn dense(rng: &mut ChaCha8Rng, outputs: i64, inputs: i64, bias: bool) -> Dense {
        let weight = seed::normal(rng, &[outputs, inputs], 1.0);
        (weight, bias.then(|| seed::normal(rng, &[outputs], 1.0)))
    }

    fn check(matrix: &Matrix, rows: i64, inputs: i64, expected: impl Fn(&Tensor) -> Tensor) {
        let x = seed::normal(&mut seed::rng(9, 1), &[rows, inputs], 1.0);
        let expected = tensor_to_vec_f32(&expected(&x)).unwrap();
        let got = matrix.multiply(&tensor_to_vec_f32(&x).unwrap());
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(&expected) {
            let allowed = 1e-4 * expected.abs().max(1.0);
            assert!((got - expected).abs() < allowed, "{rows} × {inputs}: {got} {expected}");
        }
    }

    #[test]
    fn every_level_computes_what_libtorch_computes() {
        for level in Level::available() {
            for rows in [1, 2, 3, 7, 8, 16, 21, 31] {
                for (sizes, inputs, bias) in
                    [(&[64][..], 48, false), (&[33, 7], 19, true), (&[5], 1, true), (&[900, 60], 70, true)]
                {
                    let mut rng = seed::rng(9, 0);
                    let weights: Vec<Dense> =
                        sizes.iter().map(|size| dense(&mut rng, *size, inputs, bias)).collect();
                    let matrix = Matrix::stacked(level, &weights).unwrap();
                    check(&matrix, rows, inputs, |x| {
                        let parts: Vec<Tensor> =
                            weights.iter().map(|(w, b)| x.linear(w, b.as_ref())).collect();
                        Tensor::cat(&parts, 1)
                    });
                }
            }
        }
    }

    #[test]
    fn gate_and_up_come_out_multiplied() {
        for level in Level::available() {
            for (rows, outputs, bias) in [(1, 70, false), (5, 33, true), (16, 2000, true)] {
                let mut rng = seed::rng(4, 0);
                let (gate, up) = (dense(&mut rng, outputs, 24, bias), dense(&mut rng, outputs, 24, bias));
                let through = |x: &Tensor, (w, b): &Dense| x.linear(w, b.as_ref());
                let matrix = Matrix::gated(level, &gate, &up, Activation::Silu).unwrap();
                check(&matrix, rows, 24, |x| through(x, &gate).silu() * through(x, &up));
                let matrix = Matrix::gated(level, &gate, &up, Activation::GeluTanh).unwrap();
                check(&matrix, rows, 24, |x| through(x, &gate).gelu("tanh") * through(x, &up));
            }
        }
    }

    #[test]
    fn the_weights_of_an_output_are_found_again() {
        for level in Level::available() {
            let weight = seed::normal(&mut seed::rng(2, 0), &[40, 6], 1.0);
            let matrix = Matrix::stacked(level, &[(weight.shallow_clone(), None)]).unwrap();
            for output in [0, 31, 32, 39] {
                let expected = tensor_to_vec_f32(&weight.get(output)).unwrap();
                assert_eq!(matrix.weights_of(output as usize).collect::<Vec<_>>(), expected);
            }
        }
    }
}
