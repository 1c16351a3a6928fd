//! The transformer in either memory.

use std::sync::Arc;

use tch::{Device, Tensor};

use super::batch::Batch;
use super::encoder::Transformer;
use super::packed::PackedTransformer;
use crate::Result;

/// What computes tokens' vectors.
#[derive(Debug)]
pub(crate) enum Engine {
    /// libtorch, on any device.
    Torch(Box<Transformer>),
    /// Packed weights on the CPU.
    Packed(Arc<PackedTransformer>),
}

impl Engine {
    /// Packs the weights where that is faster.
    pub(crate) fn packed(transformer: Transformer) -> Result<Self> {
        Ok(match PackedTransformer::new(transformer)? {
            Ok(packed) => Self::Packed(Arc::new(packed)),
            Err(transformer) => Self::Torch(Box::new(transformer)),
        })
    }

    pub(crate) fn is_packed(&self) -> bool {
        matches!(self, Self::Packed(_))
    }

    /// Another handle on the same weights, for another thread.
    pub(crate) fn share(&self) -> Self {
        match self {
            Self::Torch(transformer) => Self::Torch(Box::new(transformer.share())),
            Self::Packed(packed) => Self::Packed(Arc::clone(packed)),
        }
    }

    pub(crate) fn device(&self) -> Device {
        match self {
            Self::Torch(transformer) => transformer.device(),
            Self::Packed(_) => Device::Cpu,
        }
    }

    /// `batch → [tokens, hidden]`. Vectors of padding are arbitrary.
    pub(crate) fn forward(&self, batch: &Batch) -> Result<Tensor> {
        match self {
            Self::Torch(transformer) => transformer.forward(batch),
            Self::Packed(packed) => packed.forward_to(batch, packed.layers()),
        }
    }

    /// As [`forward`](Self::forward), with the first `layers` layers only.
    pub(crate) fn forward_to(&self, batch: &Batch, layers: usize) -> Result<Tensor> {
        match self {
            Self::Torch(transformer) => transformer.forward_to(batch, layers),
            Self::Packed(packed) => packed.forward_to(batch, layers),
        }
    }
}
