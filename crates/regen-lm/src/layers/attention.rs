//! Grouped-query attention with rotary positions, optional per-head norms, windows and soft-capping.

use regen_torch::Numbers;
use tch::{Kind, Tensor};

use super::projection::Projection;
use super::{DropoutDraw, Norm, RotaryTables, Weights};
use crate::cache::LayerCache;
use crate::config::DecoderConfig;
use crate::error::Result;
use crate::families::QkvNames;
use crate::mask::Visible;

/// softmax(scale·QKᵀ + bias)·V per head, then the output projection.
///
/// **Source** Vaswani et al. 2017, section 3.2; Ainslie et al. 2023, "GQA", for shared key and value heads.
#[derive(Debug)]
pub(crate) struct Attention {
    pub(crate) qkv: Qkv,
    pub(crate) output: Projection,
    pub(crate) head_norms: Option<(Norm, Norm)>,
    heads: i64,
    kv_heads: i64,
    head_dim: i64,
    scale: f64,
    softcap: Option<f64>,
}

/// The projections of attention's three inputs.
#[derive(Debug)]
pub(crate) enum Qkv {
    Separate { query: Projection, key: Projection, value: Projection },
    Fused(Projection),
}

impl Attention {
    pub(crate) fn take(weights: &Weights, config: &DecoderConfig, layer: &str) -> Self {
        let names = config.family.arrangement();
        let take = |name: &str| Projection::take(weights, &format!("{layer}.{name}"), names.transposed);
        let norm =
            |name: &str| Norm::take(weights, &format!("{layer}.{name}"), names.norm, config.norm_epsilon);
        Self {
            qkv: match names.qkv {
                QkvNames::Separate { query, key, value } => {
                    Qkv::Separate { query: take(query), key: take(key), value: take(value) }
                }
                QkvNames::Fused(fused) => Qkv::Fused(take(fused)),
            },
            output: take(names.output),
            head_norms: names.qk_norm.map(|(query, key)| (norm(query), norm(key))),
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            scale: config.query_scale,
            softcap: config.attention_softcap,
        }
    }

    /// What leads to queries, keys and values, in this order.
    pub(crate) fn head_projections(&self) -> Vec<&Projection> {
        match &self.qkv {
            Qkv::Separate { query, key, value } => vec![query, key, value],
            Qkv::Fused(fused) => vec![fused],
        }
    }

    pub(crate) fn projections(&mut self) -> Vec<&mut Projection> {
        let mut all = match &mut self.qkv {
            Qkv::Separate { query, key, value } => vec![query, key, value],
            Qkv::Fused(fused) => vec![fused],
        };
        all.push(&mut self.output);
        all
    }

    /// **Shapes** `x: [batch, seq, hidden] → [batch, seq, hidden]`. With a cache, `past` columns stand
    /// before these.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        rotary: Option<&RotaryTables>,
        visible: &Visible,
        cache: Option<(&mut LayerCache, i64)>,
        dropout: Option<DropoutDraw>,
    ) -> Result<Tensor> {
        let (batch, seq, _) = x.size3()?;
        let (mut queries, mut keys, values) = self.project(x, dropout)?;
        if let Some((query_norm, key_norm)) = &self.head_norms {
            queries = query_norm.forward(&queries)?;
            keys = key_norm.forward(&keys)?;
        }
        if let Some(tables) = rotary {
            queries = tables.apply(&queries)?;
            keys = tables.apply(&keys)?;
        }
        let queries = queries.f_transpose(1, 2)?;
        let (mut keys, mut values) = (keys.f_transpose(1, 2)?, values.f_transpose(1, 2)?);
        if let Some((cache, past)) = cache {
            (keys, values) = cache.extend(past, &keys, &values)?;
        }
        let mixed = if self.softcap.is_some() {
            self.attend_capped(&queries, &keys, &values, visible)?
        } else {
            self.attend(&queries, &keys, &values, visible)?
        };
        let mixed = mixed.f_transpose(1, 2)?.f_reshape([batch, seq, self.heads * self.head_dim])?;
        self.output.forward(&mixed, dropout)
    }

    /// Queries, keys and values as `[batch, seq, heads, head_dim]`.
    fn project(&self, x: &Tensor, dropout: Option<DropoutDraw>) -> Result<(Tensor, Tensor, Tensor)> {
        let (batch, seq, _) = x.size3()?;
        let (heads, kv_heads, head_dim) = (self.heads, self.kv_heads, self.head_dim);
        match &self.qkv {
            Qkv::Separate { query, key, value } => Ok((
                query.forward(x, dropout)?.f_view([batch, seq, heads, head_dim])?,
                key.forward(x, dropout)?.f_view([batch, seq, kv_heads, head_dim])?,
                value.forward(x, dropout)?.f_view([batch, seq, kv_heads, head_dim])?,
            )),
            Qkv::Fused(fused) => {
                let all = fused.forward(x, dropout)?.f_view([batch, seq, heads + 2 * kv_heads, head_dim])?;
                Ok((
                    all.f_narrow(2, 0, heads)?,
                    all.f_narrow(2, heads, kv_heads)?,
                    all.f_narrow(2, heads + kv_heads, kv_heads)?,
                ))
            }
        }
    }

    /// libtorch's fused attention. **Shapes** `[batch, heads, seq, head_dim]`.
    fn attend(&self, queries: &Tensor, keys: &Tensor, values: &Tensor, visible: &Visible) -> Result<Tensor> {
        let size = queries.size();
        let (batch, seq) = (size[0], size[2]);
        let (bias, causal) = match visible {
            Visible::Causal => (None, seq > 1),
            Visible::All => (None, false),
            Visible::Bias(bias) => (Some(bias), false),
        };
        let group = self.heads / self.kv_heads;
        if group > 1 && seq == 1 {
            // The heads that share a key become the queries of one head: nothing is repeated.
            let grouped = queries.f_reshape([batch, self.kv_heads, group, self.head_dim])?;
            let mixed = Tensor::f_scaled_dot_product_attention(
                &grouped, keys, values, bias, 0.0, false, self.scale, false,
            )?;
            return Ok(mixed.f_reshape([batch, self.heads, 1, self.head_dim])?);
        }
        let (keys, values) = if group > 1 {
            (self.repeat(keys)?, self.repeat(values)?)
        } else {
            (keys.shallow_clone(), values.shallow_clone())
        };
        Ok(Tensor::f_scaled_dot_product_attention(
            queries, &keys, &values, bias, 0.0, causal, self.scale, false,
        )?)
    }

    /// Key or value heads once per query head.
    fn repeat(&self, x: &Tensor) -> Result<Tensor> {
        let size = x.size();
        let (batch, seq) = (size[0], size[2]);
        let group = self.heads / self.kv_heads;
        Ok(x.f_unsqueeze(2)?
            .f_expand([batch, self.kv_heads, group, seq, self.head_dim], false)?
            .f_reshape([batch, self.heads, seq, self.head_dim])?)
    }

    /// Attention in plain steps, for the soft cap that the fused kernel does not know.
    fn attend_capped(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        visible: &Visible,
    ) -> Result<Tensor> {
        let (keys, values) = (self.repeat(keys)?, self.repeat(values)?);
        let mut scores = queries.f_matmul(&keys.f_transpose(2, 3)?)?.try_mul(self.scale)?;
        if let Some(cap) = self.softcap {
            scores = scores.try_div(cap)?.f_tanh()?.try_mul(cap)?;
        }
        scores = match visible {
            Visible::All => scores,
            Visible::Bias(bias) => scores.f_add(bias)?,
            Visible::Causal => {
                let seq = scores.size()[2];
                let ahead = Tensor::f_ones([seq, seq], (Kind::Bool, scores.device()))?.f_triu(1)?;
                scores.try_masked_fill(&ahead, f64::NEG_INFINITY)?
            }
        };
        let shares = scores.f_softmax(-1, Kind::Float)?.f_to_kind(values.kind())?;
        Ok(shares.f_matmul(&values)?)
    }
}
