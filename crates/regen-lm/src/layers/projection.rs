//! A linear map in either storage order, with an optional bias.

use tch::Tensor;

use super::Weights;
use crate::error::Result;
use crate::kernel::Packed;

/// y = x·Wᵀ + b, or y = x·W + b where the checkpoint stores `[in, out]`; plus a low-rank update where one
/// is attached.
#[derive(Debug)]
pub(crate) struct Projection {
    module: String,
    weight: Tensor,
    bias: Option<Tensor>,
    transposed: bool,
    lora: Option<LowRank>,
    /// A packed copy, for products of few rows without gradients.
    packed: Option<Box<Packed>>,
}

/// Above this many rows libtorch's blocked product is at least as fast.
const PACKED_ROWS: usize = 32;

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
            packed: None,
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

    pub(crate) fn low_rank(&self) -> Option<&LowRank> {
        self.lora.as_ref()
    }

    /// Packs the weight as it is now, or forgets the packed copy.
    pub(crate) fn pack(&mut self, packed: bool) -> Result<()> {
        self.packed = None;
        if packed {
            let weight = if self.transposed { self.weight.f_tr()? } else { self.weight.shallow_clone() };
            let bias = self.bias.as_ref().map(Tensor::shallow_clone);
            self.packed = Packed::new(&[(weight, bias)])?.map(Box::new);
        }
        Ok(())
    }

    /// Adds the low-rank update to the weight, in place, and forgets it.
    pub(crate) fn merge(&mut self) -> Result<()> {
        let Some(lora) = self.lora.take() else {
            return Ok(());
        };
        self.packed = None;
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
        let plain = if let Some(packed) =
            self.packed.as_ref().filter(|_| !self.weight.requires_grad() && serves(x))
        {
            packed.forward(x)?
        } else if self.transposed {
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

/// Whether a packed product may stand in: few rows, and nobody asks for gradients.
pub(crate) fn serves(x: &Tensor) -> bool {
    let width = x.size().last().copied().unwrap_or(1).max(1) as usize;
    x.numel() / width <= PACKED_ROWS && !x.requires_grad()
}
