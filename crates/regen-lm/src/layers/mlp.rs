//! The feed-forward part: gated (SwiGLU, GeGLU) or plain.

use tch::Tensor;

use super::projection::Projection;
use super::{DropoutDraw, Weights};
use crate::config::{Activation, DecoderConfig};
use crate::error::Result;
use crate::families::MlpNames;

/// down(act(gate(x)) ⊙ up(x)), or down(act(up(x))).
///
/// **Source** Shazeer 2020, "GLU Variants Improve Transformer", equation 6.
#[derive(Debug)]
pub(crate) struct Mlp {
    pub(crate) into: MlpInto,
    pub(crate) down: Projection,
    pub(crate) activation: Activation,
}

/// The projections into the wide part.
#[derive(Debug)]
pub(crate) enum MlpInto {
    Gated { gate: Projection, up: Projection },
    GatedFused(Projection),
    Plain(Projection),
}

impl Mlp {
    pub(crate) fn take(weights: &Weights, config: &DecoderConfig, layer: &str) -> Self {
        let names = config.family.arrangement();
        let take = |name: &str| Projection::take(weights, &format!("{layer}.{name}"), names.transposed);
        Self {
            into: match names.mlp {
                MlpNames::Gated { gate, up } => MlpInto::Gated { gate: take(gate), up: take(up) },
                MlpNames::GatedFused(fused) => MlpInto::GatedFused(take(fused)),
                MlpNames::Plain(plain) => MlpInto::Plain(take(plain)),
            },
            down: take(names.down),
            activation: config.activation,
        }
    }

    /// What leads into the wide part, in its order.
    pub(crate) fn wide_projections(&self) -> Vec<&Projection> {
        match &self.into {
            MlpInto::Gated { gate, up } => vec![gate, up],
            MlpInto::GatedFused(one) | MlpInto::Plain(one) => vec![one],
        }
    }

    pub(crate) fn projections(&mut self) -> Vec<&mut Projection> {
        let mut all = match &mut self.into {
            MlpInto::Gated { gate, up } => vec![gate, up],
            MlpInto::GatedFused(fused) => vec![fused],
            MlpInto::Plain(plain) => vec![plain],
        };
        all.push(&mut self.down);
        all
    }

    /// **Shapes** `[.., hidden] → [.., hidden]`.
    pub(crate) fn forward(&self, x: &Tensor, dropout: Option<DropoutDraw>) -> Result<Tensor> {
        let inner = match &self.into {
            MlpInto::Gated { gate, up } => {
                self.activate(&gate.forward(x, dropout)?)?.f_mul(&up.forward(x, dropout)?)?
            }
            MlpInto::GatedFused(fused) => {
                let both = fused.forward(x, dropout)?;
                let width = both.size()[both.dim() - 1] / 2;
                let gate = both.f_narrow(-1, 0, width)?;
                self.activate(&gate)?.f_mul(&both.f_narrow(-1, width, width)?)?
            }
            MlpInto::Plain(plain) => self.activate(&plain.forward(x, dropout)?)?,
        };
        self.down.forward(&inner, dropout)
    }

    fn activate(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match self.activation {
            Activation::Silu => x.f_silu()?,
            Activation::GeluTanh => x.f_gelu("tanh")?,
            Activation::Gelu => x.f_gelu("none")?,
            Activation::Relu => x.f_relu()?,
        })
    }
}
