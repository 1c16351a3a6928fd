//! A weight, or several, packed into panels.

use crate::level::Level;
use crate::math::Activation;
use crate::panels::{PANEL, Panel, Panels};

/// What a weight takes in memory, and how its products are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Four bytes a number, all arithmetic in f32.
    F32,
    /// Two bytes a number. Rows are rounded to bfloat16 before a product; sums are f32.
    Bf16,
    /// One byte a number, and a scale for each 32 inputs of an output. Rows and sums are f32.
    Int8,
}

/// A weight and its bias, as a checkpoint has them.
#[derive(Debug, Clone, Copy)]
pub struct Linear<'a> {
    /// `[outputs, inputs]`, row by row.
    pub weight: &'a [f32],
    /// `[outputs]`.
    pub bias: Option<&'a [f32]>,
    /// Rows of the weight.
    pub outputs: usize,
    /// Columns of the weight.
    pub inputs: usize,
}

impl Linear<'_> {
    /// So many outputs from `first` on, as where a checkpoint stores several weights as one.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn rows(self, first: usize, outputs: usize) -> Self {
        Linear {
            weight: &self.weight[first * self.inputs..][..outputs * self.inputs],
            bias: self.bias.map(|bias| &bias[first..][..outputs]),
            outputs,
            inputs: self.inputs,
        }
    }
}

/// Weights in panels, with bias and what follows the product: `y = f(x Wᵀ + b)`, or `f(x Gᵀ + c) ⊙ (x Wᵀ + b)` with a gate.
#[derive(Debug)]
pub struct Matrix {
    pub(crate) level: Level,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Panel by panel; with a gate, its panel stands before that of the same outputs.
    pub(crate) panels: Panels,
    /// `[parts, outputs filled up to whole panels]`.
    pub(crate) bias: Option<Vec<f32>>,
    gated: bool,
    pub(crate) activation: Option<Activation>,
}

impl Matrix {
    /// Weights one below the other as one matrix.
    ///
    /// # Panics
    /// If there is none, if their inputs differ or are 0, or if a weight or bias has another size than it says.
    pub fn new(level: Level, storage: Storage, linears: &[Linear<'_>]) -> Self {
        let inputs = linears[0].inputs;
        let outputs: usize = linears.iter().map(|linear| linear.outputs).sum();
        let mut matrix = Self::empty(level, storage, inputs, outputs, 1);
        let mut first = 0;
        for linear in linears {
            matrix.fill(linear, 0, first);
            first += linear.outputs;
        }
        matrix
    }

    /// Two weights of one shape, whose products become `activation(gate) ⊙ up`.
    ///
    /// # Panics
    /// As [`new`](Self::new), and if the shapes differ.
    pub fn gated(
        level: Level,
        storage: Storage,
        gate: Linear<'_>,
        up: Linear<'_>,
        activation: Activation,
    ) -> Self {
        assert_eq!(gate.outputs, up.outputs, "a gate of another width");
        let mut matrix = Self::empty(level, storage, gate.inputs, gate.outputs, 2);
        matrix.fill(&gate, 0, 0);
        matrix.fill(&up, 1, 0);
        matrix.with_activation(activation)
    }

    /// The same, with a nonlinearity after the bias.
    #[must_use]
    pub fn with_activation(self, activation: Activation) -> Self {
        Self { activation: Some(activation), ..self }
    }

    pub(crate) fn empty(level: Level, storage: Storage, inputs: usize, outputs: usize, parts: usize) -> Self {
        assert!(inputs > 0, "a weight without inputs");
        let count = outputs.div_ceil(PANEL) * parts;
        let panels = match storage {
            Storage::F32 => Panels::f32(count, inputs),
            Storage::Bf16 => Panels::bf16(count, inputs),
            Storage::Int8 => Panels::int8(count, inputs),
        };
        Self { level, inputs, outputs, panels, bias: None, gated: parts == 2, activation: None }
    }

    /// Puts a weight in as part `part`, its first output as number `first`.
    fn fill(&mut self, linear: &Linear<'_>, part: usize, first: usize) {
        let Linear { weight, bias, outputs, inputs } = *linear;
        assert_eq!(inputs, self.inputs, "weights of different inputs");
        assert_eq!(weight.len(), outputs * inputs, "a weight [{outputs}, {inputs}]");
        let parts = self.parts();
        for (output, row) in weight.chunks_exact(inputs).enumerate() {
            let output = first + output;
            self.panels.set(output / PANEL * parts + part, output % PANEL, row);
        }
        if let Some(bias) = bias {
            assert_eq!(bias.len(), outputs, "a bias [{outputs}]");
            let padded = self.padded();
            let all = self.bias.get_or_insert_with(|| vec![0.0; parts * padded]);
            all[part * padded + first..][..outputs].copy_from_slice(bias);
        }
    }

    /// The instructions that it is made for.
    pub fn level(&self) -> Level {
        self.level
    }

    /// What it multiplies rows of.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// What it makes of them.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        self.panels.bytes()
    }

    /// The weights of one output as they are stored, into `out`, `[inputs]`; with a gate, those of what it gates.
    ///
    /// # Panics
    /// If there is no such output, or `out` has another length.
    pub fn weights_of(&self, output: usize, out: &mut [f32]) {
        assert!(output < self.outputs, "output {output} of {}", self.outputs);
        assert_eq!(out.len(), self.inputs, "weights of one output");
        let panel = output / PANEL * self.parts() + self.parts() - 1;
        self.panels.get(panel, output % PANEL, out);
    }

    pub(crate) fn parts(&self) -> usize {
        if self.gated { 2 } else { 1 }
    }

    pub(crate) fn panel_count(&self) -> usize {
        self.outputs.div_ceil(PANEL)
    }

    /// Outputs filled up to whole panels.
    pub(crate) fn padded(&self) -> usize {
        self.panel_count() * PANEL
    }

    pub(crate) fn takes_pairs(&self) -> bool {
        matches!(self.panels, Panels::Bf16(_))
    }

    /// Panel number `index` of a part: with a gate, 0 is the gate.
    pub(crate) fn panel(&self, index: usize, part: usize) -> Panel<'_> {
        self.panels.panel(index * self.parts() + part, self.inputs)
    }
}
