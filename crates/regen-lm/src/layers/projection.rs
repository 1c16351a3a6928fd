//! A linear map in either storage order, with an optional bias.

use tch::Tensor;

use super::Weights;
use crate::error::Result;

/// y = x·Wᵀ + b, or y = x·W + b where the checkpoint stores `[in, out]`.
#[derive(Debug)]
pub(crate) struct Projection {
    weight: Tensor,
    bias: Option<Tensor>,
    transposed: bool,
}

impl Projection {
    pub(crate) fn take(weights: &Weights, module: &str, transposed: bool) -> Self {
        Self { weight: weights.get(module, "weight"), bias: weights.find(module, "bias"), transposed }
    }

    /// **Shapes** `[.., in] → [.., out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref();
        if self.transposed {
            Ok(x.f_linear(&self.weight.f_tr()?, bias)?)
        } else {
            Ok(x.f_linear(&self.weight, bias)?)
        }
    }
}
