//! What every adapter shares: missing sides, normalisation, and the shape of what comes out.

use regen_torch::seed::{self, ChaCha8Rng};
use tch::{Kind, Tensor, nn};

use super::maps::Map;
use super::resampler::Resampler;
use crate::inputs::SideName;
use crate::normalise::{component_rms, normalise};
use crate::{AdapterConfig, AdapterKind, ItemVectors, Result, Side};

/// Turns item vectors into soft tokens. Its parameters live in the `VarStore` it was built in.
#[derive(Debug)]
pub struct Adapter {
    config: AdapterConfig,
    absent: Vec<(SideName, Tensor)>,
    map: Map,
    resampler: Option<Resampler>,
}

/// Embeddings that stand where a prompt's token embeddings would.
#[derive(Debug)]
pub struct SoftTokens {
    /// `[batch, seq · tokens_per_item, hidden]` f32; the tokens of an item are adjacent.
    pub embeddings: Tensor,
    /// `[batch, seq · tokens_per_item]` bool: false where the history was padded.
    pub mask: Tensor,
}

impl Adapter {
    /// Builds an adapter whose parameters are drawn from `rng` and registered under `vs`.
    ///
    /// Weights are normal, scaled so that a soft token's components have root mean square
    /// `config.initial_rms` at the start; biases are zero.
    ///
    /// # Errors
    /// [`crate::Error::InvalidConfig`].
    pub fn new(vs: &nn::Path<'_>, config: &AdapterConfig, rng: &mut ChaCha8Rng) -> Result<Self> {
        config.validate()?;
        let mut dims = Vec::with_capacity(2);
        if config.sources.cf() {
            dims.push((SideName::Cf, config.cf_dim));
        }
        if config.sources.semantic() {
            dims.push((SideName::Semantic, config.semantic_dim));
        }
        let absent = dims
            .iter()
            .map(|&(name, dim)| {
                let start = seed::normal(rng, &[dim], component_rms(config.normalisation, dim));
                (name, (vs / "absent").var_copy(name.as_str(), &start))
            })
            .collect();
        let map = Map::new(vs, config, &dims, rng);
        let resampler = match config.kind {
            AdapterKind::CrossAttention { tokens, heads, layers } => {
                Some(Resampler::new(vs, config, &dims, rng, (tokens, heads, layers)))
            }
            _ => None,
        };
        Ok(Self { config: *config, absent, map, resampler })
    }

    /// What it was built from.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// Maps a batch of histories to soft tokens, those of each item beside each other.
    ///
    /// **Shapes** `vectors: [batch, seq, dim]` per side `→ [batch, seq · tokens_per_item, hidden]`.
    ///
    /// # Errors
    /// [`crate::Error::MissingSide`], [`crate::Error::ShapeMismatch`], [`crate::Error::WrongKind`].
    pub fn forward(&self, items: &ItemVectors) -> Result<SoftTokens> {
        let sides = self.prepared(items)?;
        let tokens = self.map.forward(&sides);
        let (batch, seq) = items.mask.size2().unwrap_or((0, 0));
        let per_item = self.config.tokens_per_item;
        Ok(SoftTokens {
            embeddings: tokens.reshape([batch, seq * per_item, self.config.hidden]),
            mask: items.mask.repeat_interleave_self_int(per_item, 1, None),
        })
    }

    /// Maps a batch of histories to a fixed number of soft tokens each; `None` unless the adapter is
    /// [`AdapterKind::CrossAttention`].
    ///
    /// `history` says which positions of `items` are of the history; others, and padding, are not read. The order of the
    /// positions is that of time.
    ///
    /// **Shapes** `history: [batch, seq]` bool `→ [batch, tokens, hidden]` f32.
    ///
    /// # Errors
    /// Those of [`Adapter::forward`].
    pub fn resample(&self, items: &ItemVectors, history: &Tensor) -> Result<Option<Tensor>> {
        let Some(resampler) = &self.resampler else { return Ok(None) };
        let sides = self.prepared(items)?;
        items.check_history(history)?;
        Ok(Some(resampler.forward(&sides, &history.logical_and(&items.mask))))
    }

    /// The side contributions of a projection, `[batch, seq, tokens_per_item · hidden]` each; `None` for other maps.
    pub(crate) fn contributions(&self, items: &ItemVectors) -> Result<Option<Vec<Tensor>>> {
        let sides = self.prepared(items)?;
        Ok(self.map.contributions(&sides))
    }

    /// The sides in f32, normalised, with the learned vector where an item has none.
    fn prepared(&self, items: &ItemVectors) -> Result<Vec<Tensor>> {
        let sides = items.sides(&self.config)?;
        Ok(sides
            .into_iter()
            .zip(&self.absent)
            .map(|((_, side), (_, absent))| self.fill(side, absent))
            .collect())
    }

    fn fill(&self, side: &Side, absent: &Tensor) -> Tensor {
        let present = side.present.unsqueeze(-1);
        // Values of a missing vector are not read: zeroing them first keeps even a NaN there from spreading.
        let known = side.vectors.to_kind(Kind::Float).masked_fill(&present.logical_not(), 0.0);
        normalise(&known, self.config.normalisation).where_self(&present, absent)
    }
}
