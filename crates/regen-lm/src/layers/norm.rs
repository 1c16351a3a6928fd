//! The norms: root mean square (Llama), the same with 1 + w (Gemma), layer norm (GPT-2).

use regen_torch::Numbers;
use tch::{Kind, Tensor};

use super::Weights;
use crate::error::Result;
use crate::families::NormKind;

/// A norm over the last dimension.
///
/// **Source** Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", equation 4; Ba et al. 2016,
/// "Layer Normalization".
#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) kind: NormKind,
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
    pub(crate) epsilon: f64,
}

impl Norm {
    pub(crate) fn take(weights: &Weights, module: &str, kind: NormKind, epsilon: f64) -> Self {
        Self { kind, weight: weights.get(module, "weight"), bias: weights.find(module, "bias"), epsilon }
    }

    /// **Shapes** `[.., width] → [.., width]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let width = self.weight.size();
        match self.kind {
            NormKind::Layer => {
                Ok(x.f_layer_norm(&width, Some(&self.weight), self.bias.as_ref(), self.epsilon, true)?)
            }
            NormKind::Rms => {
                let normed = self.normalise(x)?.f_to_kind(x.kind())?;
                Ok(normed.f_mul(&self.weight)?)
            }
            // Gemma multiplies before it returns to the lower precision, Llama after.
            NormKind::RmsPlusOne => {
                let factor = self.weight.f_to_kind(Kind::Float)?.try_add(1.0)?;
                Ok(self.normalise(x)?.f_mul(&factor)?.f_to_kind(x.kind())?)
            }
        }
    }

    /// x / √(mean(x²) + ε) in f32.
    fn normalise(&self, x: &Tensor) -> Result<Tensor> {
        let wide = x.f_to_kind(Kind::Float)?;
        let mean_square = wide.f_square()?.f_mean_dim(-1, true, Kind::Float)?;
        Ok(wide.f_mul(&mean_square.try_add(self.epsilon)?.f_rsqrt()?)?)
    }
}
