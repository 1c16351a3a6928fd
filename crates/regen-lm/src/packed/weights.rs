//! From a decoder's tensors to packed matrices and norms.

use regen_kernel::{Activation as Kernel, Level, Linear, Matrix, NormKind as Kind, RowNorm, Storage};
use regen_torch::tensor_to_vec_f32;
use tch::Tensor;

use crate::config::Activation;
use crate::error::Result;
use crate::families::NormKind;
use crate::layers::Norm;

/// A weight `[out, in]` and its bias `[out]`, low-rank updates added.
pub(super) type Dense = (Tensor, Option<Tensor>);

/// The same on the host.
pub(super) struct Host {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    outputs: usize,
    inputs: usize,
}

impl Host {
    pub(super) fn new((weight, bias): &Dense) -> Result<Self> {
        let (outputs, inputs) = weight.size2()?;
        Ok(Self {
            weight: tensor_to_vec_f32(weight)?,
            bias: bias.as_ref().map(tensor_to_vec_f32).transpose()?,
            outputs: outputs as usize,
            inputs: inputs as usize,
        })
    }

    pub(super) fn linear(&self) -> Linear<'_> {
        let Self { weight, bias, outputs, inputs } = self;
        Linear { weight, bias: bias.as_deref(), outputs: *outputs, inputs: *inputs }
    }
}

/// How a decoder is packed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    pub(super) level: Level,
    pub(super) storage: Storage,
}

impl Packing {
    /// Weights one below the other as one matrix.
    pub(super) fn stacked(self, weights: &[Dense]) -> Result<Matrix> {
        let hosts = weights.iter().map(Host::new).collect::<Result<Vec<_>>>()?;
        let linears: Vec<Linear<'_>> = hosts.iter().map(Host::linear).collect();
        Ok(Matrix::new(self.level, self.storage, &linears))
    }

    /// Two weights of one shape, whose products become act(gate) ⊙ up.
    pub(super) fn gated(self, gate: Linear<'_>, up: Linear<'_>, activation: Activation) -> Matrix {
        Matrix::gated(self.level, self.storage, gate, up, kernel(activation))
    }
}

pub(crate) fn kernel(activation: Activation) -> Kernel {
    match activation {
        Activation::Gelu => Kernel::Gelu,
        Activation::GeluTanh => Kernel::GeluTanh,
        Activation::Silu => Kernel::Silu,
        Activation::Relu => Kernel::Relu,
    }
}

/// See `layers/norm.rs`.
pub(crate) fn row_norm(norm: &Norm) -> Result<RowNorm> {
    let mut factor = tensor_to_vec_f32(&norm.weight)?;
    if norm.kind == NormKind::RmsPlusOne {
        factor.iter_mut().for_each(|factor| *factor += 1.0);
    }
    let kind = match norm.kind {
        NormKind::Layer => Kind::Layer,
        NormKind::Rms | NormKind::RmsPlusOne => Kind::Rms,
    };
    let bias = norm.bias.as_ref().map(tensor_to_vec_f32).transpose()?;
    Ok(RowNorm { kind, factor, bias, epsilon: norm.epsilon as f32 })
}
