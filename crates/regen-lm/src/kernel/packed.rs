//! A weight in panels, and its product with a batch of rows.

use rayon::prelude::*;
use regen_torch::{tensor_from_f32, tensor_to_vec_f32};
use tch::{Device, Kind, Tensor};

use super::lanes::{Level, PANEL};
use crate::error::Result;

/// Rows that one pass over a panel serves.
const BLOCK: usize = 8;

/// An f32 weight `[out, in]` (several stacked by rows), packed for products with few rows.
#[derive(Debug)]
pub(crate) struct Packed {
    level: Level,
    inputs: usize,
    outputs: usize,
    /// `[panels, inputs, PANEL]`, the last panel filled up with zeros.
    panels: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Packed {
    /// Packs `weights[0]`, `weights[1]`, … one below the other; `None` where this processor or device keeps
    /// libtorch's path.
    ///
    /// **Shapes** `weight: [out, in]`, `bias: [out]`.
    pub(crate) fn new(weights: &[(Tensor, Option<Tensor>)]) -> Result<Option<Self>> {
        match Level::available().first() {
            Some(level) => Self::with_level(weights, *level),
            None => Ok(None),
        }
    }

    fn with_level(weights: &[(Tensor, Option<Tensor>)], level: Level) -> Result<Option<Self>> {
        if weights.iter().any(|(w, _)| w.device() != Device::Cpu || w.kind() != Kind::Float) {
            return Ok(None);
        }
        let tensors: Vec<&Tensor> = weights.iter().map(|(weight, _)| weight).collect();
        let weight = Tensor::f_cat(&tensors, 0)?;
        let (outputs, inputs) = weight.size2()?;
        let (outputs, inputs) = (outputs as usize, inputs as usize);
        let rows = tensor_to_vec_f32(&weight)?;
        let mut panels = vec![0.0; outputs.div_ceil(PANEL) * PANEL * inputs];
        for (output, row) in rows.chunks_exact(inputs).enumerate() {
            let panel = &mut panels[output / PANEL * PANEL * inputs..];
            for (input, value) in row.iter().enumerate() {
                panel[input * PANEL + output % PANEL] = *value;
            }
        }
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
        Ok(Some(Self { level, inputs, outputs, panels, bias }))
    }

    /// **Shapes** `x: [.., in] → [.., out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut shape = x.size();
        if let Some(last) = shape.last_mut() {
            *last = self.outputs as i64;
        }
        let product = self.multiply(&tensor_to_vec_f32(x)?);
        Ok(tensor_from_f32(&product, &shape)?)
    }

    /// Row-major `[rows, in] → [rows, out]`.
    fn multiply(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let blocks: Vec<(usize, usize, Vec<f32>)> = blocks(rows)
            .into_iter()
            .map(|(first, count)| {
                let mut columns = vec![0.0; self.inputs * count];
                for row in 0..count {
                    let from = &x[(first + row) * self.inputs..(first + row + 1) * self.inputs];
                    for (input, value) in from.iter().enumerate() {
                        columns[input * count + row] = *value;
                    }
                }
                (first, count, columns)
            })
            .collect();
        // Threads own disjoint panels, so each fills its own `[panel, rows, PANEL]`.
        let mut parts = vec![0.0; self.outputs.div_ceil(PANEL) * rows * PANEL];
        let panels = self.panels.par_chunks_exact(self.inputs * PANEL);
        let per_task = self.panels_per_task(rows);
        parts.par_chunks_exact_mut(rows * PANEL).zip(panels).with_min_len(per_task).for_each(
            |(part, panel)| {
                for (first, count, columns) in &blocks {
                    let part = &mut part[first * PANEL..(first + count) * PANEL];
                    match count {
                        8 => self.block::<8>(panel, columns, part),
                        4 => self.block::<4>(panel, columns, part),
                        2 => self.block::<2>(panel, columns, part),
                        _ => self.block::<1>(panel, columns, part),
                    }
                }
            },
        );
        let mut out = vec![0.0; rows * self.outputs];
        for (index, part) in parts.chunks_exact(rows * PANEL).enumerate() {
            let start = index * PANEL;
            let width = PANEL.min(self.outputs - start);
            for (row, values) in part.chunks_exact(PANEL).enumerate() {
                let to = row * self.outputs + start;
                out[to..to + width].copy_from_slice(&values[..width]);
            }
        }
        if let Some(bias) = &self.bias {
            for row in out.chunks_exact_mut(self.outputs) {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        }
        out
    }

    fn block<const ROWS: usize>(&self, panel: &[f32], columns: &[f32], part: &mut [f32]) {
        let mut sums = [[0.0; PANEL]; ROWS];
        self.level.multiply(panel, columns, &mut sums);
        part.copy_from_slice(sums.as_flattened());
    }

    /// A task should last longer than it takes to hand it to another core.
    fn panels_per_task(&self, rows: usize) -> usize {
        let panels = self.outputs.div_ceil(PANEL);
        let products = self.inputs * PANEL * rows;
        (60_000 / products.max(1)).clamp(1, panels.max(1)).max(panels / 8)
    }
}

/// Splits rows into blocks of 8, 4, 2 and 1: `(first, count)`.
fn blocks(rows: usize) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    let mut first = 0;
    while first < rows {
        let left = rows - first;
        let count = [BLOCK, 4, 2, 1].into_iter().find(|count| *count <= left).unwrap_or(1);
        all.push((first, count));
        first += count;
    }
    all
}

#[cfg(test)]
mod tests {
    use regen_torch::seed;

    use super::*;

    fn check(level: Level, rows: i64, sizes: &[i64], inputs: i64, bias: bool) {
        let mut rng = seed::rng(9, 0);
        let weights: Vec<(Tensor, Option<Tensor>)> = sizes
            .iter()
            .map(|size| {
                let weight = seed::normal(&mut rng, &[*size, inputs], 1.0);
                (weight, bias.then(|| seed::normal(&mut rng, &[*size], 1.0)))
            })
            .collect();
        let x = seed::normal(&mut rng, &[rows, 1, inputs], 1.0);
        let expected: Vec<Tensor> = weights.iter().map(|(w, b)| x.linear(w, b.as_ref())).collect();
        let expected = Tensor::cat(&expected, 2);
        let got = Packed::with_level(&weights, level).unwrap().unwrap().forward(&x).unwrap();
        let difference = (&got - &expected).abs().max().double_value(&[]);
        assert_eq!(got.size(), expected.size());
        assert!(difference < 1e-4, "{level:?} {rows} × {inputs} → {sizes:?}: {difference:e}");
    }

    #[test]
    fn every_level_computes_what_libtorch_computes() {
        for level in Level::available() {
            for rows in [1, 2, 3, 7, 8, 16, 21] {
                check(level, rows, &[64], 48, false);
                check(level, rows, &[33, 7], 19, true);
                check(level, rows, &[5], 1, true);
            }
        }
    }

    #[test]
    fn other_kinds_keep_the_plain_path() {
        let weight = Tensor::zeros([4, 4], (Kind::BFloat16, Device::Cpu));
        assert!(Packed::new(&[(weight, None)]).unwrap().is_none());
    }
}
