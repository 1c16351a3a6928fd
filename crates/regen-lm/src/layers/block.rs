//! One block: attention and feed-forward part, each added to the residual stream.

use tch::Tensor;

use super::attention::Attention;
use super::mlp::Mlp;
use super::projection::Projection;
use super::{DropoutDraw, Norm, RotaryTables, Weights};
use crate::cache::LayerCache;
use crate::config::DecoderConfig;
use crate::error::Result;
use crate::mask::{Visibility, Visible};

/// x + attention(norm(x)), then x + mlp(norm(x)); Gemma norms both branches again before adding.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) attention_norm: Norm,
    pub(crate) attention: Attention,
    pub(crate) after_attention: Option<Norm>,
    pub(crate) mlp_norm: Norm,
    pub(crate) mlp: Mlp,
    pub(crate) after_mlp: Option<Norm>,
    pub(crate) windowed: bool,
    /// Uses the rope of windowed layers.
    pub(crate) local_rope: bool,
}

/// What every block of one forward pass shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) global_rope: Option<RotaryTables>,
    pub(crate) local_rope: Option<RotaryTables>,
    pub(crate) visibility: Visibility,
    /// Columns in the cache before these.
    pub(crate) past: i64,
    /// What a training pass drops.
    pub(crate) dropout: Option<DropoutDraw>,
}

impl Block {
    pub(crate) fn take(weights: &Weights, config: &DecoderConfig, index: usize) -> Self {
        let names = config.family.arrangement();
        let layer = format!("{}.{index}", names.layers);
        let norm =
            |name: &str| Norm::take(weights, &format!("{layer}.{name}"), names.norm, config.norm_epsilon);
        let windowed = config.windowed(index);
        Self {
            attention_norm: norm(names.attention_norm),
            attention: Attention::take(weights, config, &layer),
            after_attention: names.after_attention.map(norm),
            mlp_norm: norm(names.mlp_norm),
            mlp: Mlp::take(weights, config, &layer),
            after_mlp: names.after_mlp.map(norm),
            windowed,
            local_rope: windowed && config.local_rope.is_some(),
        }
    }

    /// Every projection, in the order of the checkpoint.
    pub(crate) fn projections(&mut self) -> Vec<&mut Projection> {
        let mut all = self.attention.projections();
        all.extend(self.mlp.projections());
        all
    }

    /// **Shapes** `[batch, seq, hidden]`, unchanged.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        shared: &Shared,
        cache: Option<&mut LayerCache>,
    ) -> Result<Tensor> {
        let rotary = if self.local_rope { shared.local_rope.as_ref() } else { shared.global_rope.as_ref() };
        let visible: &Visible = match (&shared.visibility.windowed, self.windowed) {
            (Some(windowed), true) => windowed,
            _ => &shared.visibility.global,
        };
        let normed = self.attention_norm.forward(x)?;
        let cache = cache.map(|cache| (cache, shared.past));
        let mut branch = self.attention.forward(&normed, rotary, visible, cache, shared.dropout)?;
        if let Some(norm) = &self.after_attention {
            branch = norm.forward(&branch)?;
        }
        let x = x.f_add(&branch)?;
        let mut branch = self.mlp.forward(&self.mlp_norm.forward(&x)?, shared.dropout)?;
        if let Some(norm) = &self.after_mlp {
            branch = norm.forward(&branch)?;
        }
        Ok(x.f_add(&branch)?)
    }
}
