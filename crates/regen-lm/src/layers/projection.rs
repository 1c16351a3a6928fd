//! A linear map in either storage order, with an optional bias.

use regen_torch::Numbers;
use tch::Tensor;

use super::{DropoutDraw, Weights};
use crate::error::Result;

/// y = x·Wᵀ + b, or y = x·W + b where the checkpoint stores `[in, out]`; plus a low-rank update where one
/// is attached.
#[derive(Debug)]
pub(crate) struct Projection {
    module: String,
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
    /// Whether the weight is `[in, out]`.
    pub(crate) transposed: bool,
    /// In a box, as most projections have none.
    pub(crate) lora: Option<Box<LowRank>>,
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
    /// The share of the update's inputs that a training pass drops.
    pub(crate) dropout: f64,
    /// Tells the draws of one update from those of another.
    pub(crate) place: u64,
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

    /// A weight alone, `[out, in]`.
    pub(crate) fn of(module: &str, weight: Tensor) -> Self {
        Self { module: module.to_owned(), weight, bias: None, transposed: false, lora: None }
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
        self.lora = Some(Box::new(lora));
    }

    /// The weight as `[out, in]` with the low-rank update added, and the bias.
    pub(crate) fn dense(&self) -> Result<(Tensor, Option<Tensor>)> {
        tch::no_grad(|| {
            let mut weight = if self.transposed { self.weight.f_tr()? } else { self.weight.shallow_clone() };
            if let Some(LowRank { a, b, scale, .. }) = self.lora.as_deref() {
                weight = weight.f_add(&b.f_matmul(a)?.try_mul(*scale)?)?;
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
            let mut update = lora.b.f_matmul(&lora.a)?.try_mul(lora.scale)?;
            if self.transposed {
                update = update.f_tr()?;
            }
            let _ = self.weight.f_add_(&update.f_to_kind(self.weight.kind())?)?;
            Ok(())
        })
    }

    /// `dropout` is for training. **Shapes** `[.., in] → [.., out]`.
    pub(crate) fn forward(&self, x: &Tensor, dropout: Option<DropoutDraw>) -> Result<Tensor> {
        let bias = self.bias.as_ref();
        let plain = if self.transposed {
            x.f_linear(&self.weight.f_tr()?, bias)?
        } else {
            x.f_linear(&self.weight, bias)?
        };
        match &self.lora {
            None => Ok(plain),
            Some(lora) => Ok(plain.f_add(&lora.forward(x, dropout)?)?),
        }
    }
}

impl LowRank {
    /// **Shapes** `[.., in] → [.., out]`.
    fn forward(&self, x: &Tensor, dropout: Option<DropoutDraw>) -> Result<Tensor> {
        let dropped = match dropout.filter(|_| self.dropout > 0.0) {
            Some(draw) => &draw.apply(x, self.dropout, self.place)?,
            None => x,
        };
        // The scale goes onto the narrow side.
        let narrow = dropped.f_linear(&self.a, None::<&Tensor>)?.try_mul(self.scale)?;
        Ok(narrow.f_linear(&self.b, None::<&Tensor>)?)
    }
}
