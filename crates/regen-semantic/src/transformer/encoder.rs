//! From tokens to their vectors.

use regen_torch::Numbers;
use tch::{Device, Kind, Tensor};

use super::attention::{Heads, visible};
use super::batch::{Batch, Group};
use super::layer::{Layer, Shared};
use super::parts::{Norm, Rotary, normed};
use crate::{Activation, Error, Result};

/// What libtorch gave or said.
pub(crate) type Torch<T> = std::result::Result<T, tch::TchError>;

/// The transformer of a sentence encoder.
#[derive(Debug)]
pub(crate) struct Transformer {
    pub(super) heads: Heads,
    pub(super) activation: Activation,
    pub(super) causal: bool,
    /// How far local layers see.
    pub(super) reach: Option<i64>,
    /// Word embeddings, with what every token gets.
    pub(super) word: Tensor,
    /// Position embeddings, with what every token gets.
    pub(super) position: Option<Tensor>,
    /// What distance adds to attention scores, `[1, heads, longest, longest]`.
    pub(super) relative: Option<Tensor>,
    pub(super) rotary: Option<Rotary>,
    pub(super) local_rotary: Option<Rotary>,
    pub(super) norm: Option<Norm>,
    pub(super) layers: Vec<Layer>,
    pub(super) final_norm: Option<Norm>,
    pub(super) device: Device,
}

impl Transformer {
    /// Another handle on the same weights, for another thread.
    pub(crate) fn share(&self) -> Self {
        Self {
            heads: self.heads,
            activation: self.activation,
            causal: self.causal,
            reach: self.reach,
            word: self.word.shallow_clone(),
            position: self.position.as_ref().map(Tensor::shallow_clone),
            relative: self.relative.as_ref().map(Tensor::shallow_clone),
            rotary: self.rotary.as_ref().map(Rotary::share),
            local_rotary: self.local_rotary.as_ref().map(Rotary::share),
            norm: self.norm.as_ref().map(Norm::share),
            layers: self.layers.iter().map(Layer::share).collect(),
            final_norm: self.final_norm.as_ref().map(Norm::share),
            device: self.device,
        }
    }

    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// `batch → [tokens, hidden]`. Vectors of padding are arbitrary.
    pub(crate) fn forward(&self, batch: &Batch) -> Result<Tensor> {
        self.forward_to(batch, self.layers.len())
    }

    /// As [`forward`](Self::forward), with the first `layers` layers only; the last norm follows the last of them.
    pub(crate) fn forward_to(&self, batch: &Batch, layers: usize) -> Result<Tensor> {
        let run = || -> Torch<Tensor> {
            let mut state = self.word.f_index_select(0, &batch.ids)?;
            if let Some(position) = &self.position {
                state = state.f_add(&position.f_index_select(0, &batch.positions)?)?;
            }
            state = normed(self.norm.as_ref(), state)?;
            let kind = state.kind();
            let everywhere = self.shared(batch, self.rotary.as_ref(), None, kind)?;
            let nearby = match self.reach {
                Some(reach) => Some(self.shared(batch, self.local_rotary.as_ref(), Some(reach), kind)?),
                None => None,
            };
            for layer in self.layers.iter().take(layers) {
                let shared = nearby.as_ref().filter(|_| layer.local).unwrap_or(&everywhere);
                state = layer.forward(&state, self.heads, self.activation, &batch.groups, shared)?;
            }
            normed(self.final_norm.as_ref().filter(|_| layers >= self.layers.len()), state)
        };
        run().map_err(torch("encode a batch"))
    }

    fn shared(
        &self,
        batch: &Batch,
        rotary: Option<&Rotary>,
        reach: Option<i64>,
        kind: Kind,
    ) -> Torch<Shared> {
        Ok(Shared {
            masks: batch.groups.iter().map(|group| self.mask(group, reach)).collect::<Torch<_>>()?,
            angles: rotary.map(|rotary| rotary.angles(&batch.positions, kind)).transpose()?,
        })
    }

    /// What is added to a group's attention scores, or true where attention may look.
    fn mask(&self, group: &Group, reach: Option<i64>) -> Torch<Option<Tensor>> {
        let real = group.real()?;
        let visible = visible(group.seq, self.causal, reach, self.device)?;
        let may = match (visible, real) {
            // Every token sees itself: a row of padding that saw nothing would be NaN, and spread.
            (Some(visible), Some(real)) => {
                let own = Tensor::f_eye(group.seq, (Kind::Bool, self.device))?;
                Some(visible.f_logical_and(&real)?.f_logical_or(&own)?)
            }
            (visible, real) => visible.or(real),
        };
        let bias = match &self.relative {
            Some(relative) => Some(relative.f_narrow(2, 0, group.seq)?.f_narrow(3, 0, group.seq)?),
            None => None,
        };
        Ok(match (bias, may) {
            (Some(bias), Some(may)) => Some(bias.try_masked_fill(&may.f_logical_not()?, f64::NEG_INFINITY)?),
            (bias, may) => bias.or(may),
        })
    }
}

pub(crate) fn torch(action: &'static str) -> impl Fn(tch::TchError) -> Error {
    move |source| Error::Torch { action, source }
}
