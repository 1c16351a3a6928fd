//! A linear map in either storage order, with an optional bias.

use tch::Tensor;

use super::Weights;
use crate::error::Result;

/// y = x·Wᵀ + b, or y = x·W + b where the checkpoint stores `[in, out]`; plus a low-rank update where one
/// is attached.
#[derive(Debug)]
pub(crate) struct Projection {
    module: String,
    weight: Tensor,
    bias: Option<Tensor>,
    transposed: bool,
    lora: Option<LowRank>,
}

/// scale·B·A beside a weight.
///
/// **Source** Hu et al. 2021, "LoRA", section 4.1.
#[derive(Debug)]
pub(crate) struct LowRank {
    /// `[rank, in]`.
    pub(crate) a: Tensor,
    /// `[out, rank]`.
    pub(crate) b: Tensor,
    pub(crate) scale: f64,
}

impl Projection {
    pub(crate) fn take(weights: &Weights, module: &str, transposed: bool) -> Self {
        Self {
            module: module.to_owned(),
            weight: weights.get(module, "weight"),
            bias: weights.find(module, "bias"),
            transposed,
            lora: None,
        }
    }

    /// The checkpoint's name for this projection.
    pub(crate) fn module(&self) -> &str {
        &self.module
    }

    /// `(in, out)`.
    pub(crate) fn widths(&self) -> (i64, i64) {
        let size = self.weight.size();
        if self.transposed { (size[0], size[1]) } else { (size[1], size[0]) }
    }

    pub(crate) fn attach(&mut self, lora: LowRank) {
        self.lora = Some(lora);
    }

    /// The weight as `[out, in]` with the low-rank update added, and the bias.
    pub(crate) fn dense(&self) -> Result<(Tensor, Option<Tensor>)> {
        tch::no_grad(|| {
            let mut weight = if self.transposed { self.weight.f_tr()? } else { self.weight.shallow_clone() };
            if let Some(LowRank { a, b, scale }) = &self.lora {
                weight = weight.f_add(&b.f_matmul(a)?.f_mul_scalar(*scale)?)?;
            }
            Ok((weight, self.bias.as_ref().map(Tensor::shallow_clone)))
        })
    }

    /// Adds the low-rank update to the weight, in place, and forgets it.
    pub(crate) fn merge(&mut self) -> Result<()> {
        let Some(lora) = self.lora.take() else {
            return Ok(());
        };
        tch::no_grad(|| {
            let mut update = lora.b.f_matmul(&lora.a)?.f_mul_scalar(lora.scale)?;
            if self.transposed {
                update = update.f_tr()?;
            }
            let _ = self.weight.f_add_(&update.f_to_kind(self.weight.kind())?)?;
            Ok(())
        })
    }

    /// **Shapes** `[.., in] → [.., out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref();
        let plain = if self.transposed {
            x.f_linear(&self.weight.f_tr()?, bias)?
        } else {
            x.f_linear(&self.weight, bias)?
        };
        match &self.lora {
            None => Ok(plain),
            Some(LowRank { a, b, scale }) => {
                // The scale goes onto the narrow side.
                let narrow = x.f_linear(a, None::<&Tensor>)?.f_mul_scalar(*scale)?;
                Ok(plain.f_add(&narrow.f_linear(b, None::<&Tensor>)?)?)
            }
        }
    }
}
