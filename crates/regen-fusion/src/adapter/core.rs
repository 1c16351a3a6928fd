//! What every adapter shares: missing sides, normalisation, and the shape of what comes out.

use regen_torch::Numbers;
use regen_torch::seed::{self, ChaCha8Rng};
use tch::{Kind, Tensor, nn};

use super::maps::{Layer, Map, input_rms};
use super::resampler::Resampler;
use crate::details::hats;
use crate::error::{Torch, torch};
use crate::inputs::SideName;
use crate::normalise::{component_rms, normalise};
use crate::whitening::{self, Whitening};
use crate::{AdapterConfig, AdapterKind, Error, ItemVectors, Normalisation, Result, Side};

/// Turns item vectors into soft tokens. Its parameters live in the `VarStore` it was built in.
#[derive(Debug)]
pub struct Adapter {
    config: AdapterConfig,
    absent: Vec<(SideName, Tensor)>,
    /// Mean and matrix of each side, in their order, where they are whitened.
    whitening: Vec<(Tensor, Tensor)>,
    pub(super) map: Map,
    pub(super) resampler: Option<Resampler>,
    user: Option<UserToken>,
}

/// What makes a soft token of a user's own vector.
#[derive(Debug)]
struct UserToken {
    absent: Tensor,
    layer: Layer,
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
    /// [`Error::InvalidConfig`], also for [`Normalisation::Whiten`], which needs [`Adapter::whitened`].
    pub fn new(vs: &nn::Path<'_>, config: &AdapterConfig, rng: &mut ChaCha8Rng) -> Result<Self> {
        Self::whitened(vs, config, [None, None], rng)
    }

    /// As [`Adapter::new`], with the maps that whiten the collaborative and the semantic side: of every side that is read under
    /// [`Normalisation::Whiten`], and of none otherwise. They are kept among the adapter's tensors and are not trained.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] also if a map is missing, or of another width than its side.
    pub fn whitened(
        vs: &nn::Path<'_>,
        config: &AdapterConfig,
        maps: [Option<Whitening>; 2],
        rng: &mut ChaCha8Rng,
    ) -> Result<Self> {
        config.validate()?;
        let dims = SideName::all(config);
        let absent = dims
            .iter()
            .map(|&(name, dim)| {
                let start = seed::normal(rng, &[dim], input_rms(config, name, dim));
                (name, (vs / "absent").var_copy(name.as_str(), &start))
            })
            .collect();
        let whitening = match config.normalisation {
            Normalisation::Whiten => whitening_tensors(vs, &dims, maps)?,
            _ => Vec::new(),
        };
        let map = Map::new(vs, config, &dims, rng);
        let resampler = match config.kind {
            AdapterKind::CrossAttention { tokens, heads, layers } => {
                Some(Resampler::new(vs, config, &dims, rng, (tokens, heads, layers)))
            }
            _ => None,
        };
        // Drawn last, so that everything else starts as it does without.
        let user = config.user.then(|| {
            let rms = component_rms(user_normalisation(config), config.cf_dim);
            let start = seed::normal(rng, &[config.cf_dim], rms);
            let std = config.initial_rms / ((config.cf_dim as f64).sqrt() * rms);
            UserToken {
                absent: (vs / "absent").var_copy("user", &start),
                layer: Layer::new(vs / "user", rng, (config.cf_dim, config.hidden), std),
            }
        });
        Ok(Self { config: *config, absent, whitening, map, resampler, user })
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
        let (batch, seq) = items.mask.size2().unwrap_or((0, 0));
        let per_item = self.config.tokens_per_item;
        let tokens = || -> Torch<SoftTokens> {
            let tokens = self.map.forward(&sides)?;
            Ok(SoftTokens {
                embeddings: tokens.f_reshape([batch, seq * per_item, self.config.hidden])?,
                mask: items.mask.f_repeat_interleave_self_int(per_item, 1, None)?,
            })
        };
        tokens().map_err(torch("compute soft tokens"))
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
        let read = history.f_logical_and(&items.mask).and_then(|history| resampler.forward(&sides, &history));
        read.map(Some).map_err(torch("compute soft tokens"))
    }

    /// Maps users' own collaborative vectors to a soft token each; `None` unless the adapter reads them.
    ///
    /// They are scaled as the item vectors are, but that a table's whitening says nothing of users: there, each is brought to
    /// norm 1. A user without a vector gets a learned one.
    ///
    /// **Shapes** `vectors: [batch, cf_dim]`, `present: [batch] → [batch, 1, hidden]` f32.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::WrongKind`].
    pub fn user(&self, users: &Side) -> Result<Option<Tensor>> {
        let Some(user) = &self.user else { return Ok(None) };
        users.check_users(self.config.cf_dim)?;
        let token = || -> Torch<Tensor> {
            let vectors = fill(users, user_normalisation(&self.config), None, &user.absent)?;
            user.layer.forward(&vectors)?.f_unsqueeze(1)
        };
        token().map(Some).map_err(torch("compute the token of a user"))
    }

    /// The contributions to a projection of each side, then of each detail, `[batch, seq, tokens_per_item · hidden]` each; `None`
    /// for other maps.
    pub(crate) fn contributions(&self, items: &ItemVectors) -> Result<Option<Vec<Tensor>>> {
        let sides = self.prepared(items)?;
        self.map.contributions(&sides).map_err(torch("compute soft tokens"))
    }

    /// The sides in f32, normalised, with the learned vector where an item has none; then the details, the review last.
    pub(crate) fn prepared(&self, items: &ItemVectors) -> Result<Vec<Tensor>> {
        let sides = items.sides(&self.config)?;
        let details = items.details(&self.config)?;
        let reviews = items.reviews(&self.config)?;
        let (of_sides, of_details) = self.absent.split_at(sides.len());
        let mut prepared = Vec::with_capacity(self.absent.len());
        let prepare = torch("prepare the vectors of items");
        for (index, ((_, side), (_, absent))) in sides.into_iter().zip(of_sides).enumerate() {
            let filled = fill(side, self.config.normalisation, self.whitening.get(index), absent);
            prepared.push(filled.map_err(&prepare)?);
        }
        for ((name, numbers), (_, absent)) in details.into_iter().zip(of_details) {
            prepared.push(hats(name, numbers, &items.mask, absent).map_err(&prepare)?);
        }
        if let (Some(read), Some((SideName::Review, absent))) =
            (&self.config.details.review, self.absent.last())
        {
            let (batch, seq) = items.mask.size2().unwrap_or((0, 0));
            let filled = match reviews {
                Some(side) => fill(side, read.normalisation, None, absent),
                None => absent.f_expand([batch, seq, -1], false),
            };
            prepared.push(filled.map_err(&prepare)?);
        }
        Ok(prepared)
    }
}

/// How users' own vectors are scaled: as items', where that does not need a table.
fn user_normalisation(config: &AdapterConfig) -> Normalisation {
    match config.normalisation {
        Normalisation::Whiten => Normalisation::L2,
        other => other,
    }
}

fn fill(
    side: &Side,
    how: Normalisation,
    whitening: Option<&(Tensor, Tensor)>,
    absent: &Tensor,
) -> Torch<Tensor> {
    let present = side.present.f_unsqueeze(-1)?;
    // Values of a missing vector are not read: zeroing them first keeps even a NaN there from spreading.
    let known = side.vectors.f_to_kind(Kind::Float)?.try_masked_fill(&present.f_logical_not()?, 0.0)?;
    let scaled = match whitening {
        Some((mean, matrix)) => whitening::apply(&known, mean, matrix)?,
        None => normalise(&known, how)?,
    };
    scaled.f_where_self(&present, absent)
}

/// The maps of the sides among `dims`, as tensors of the adapter.
fn whitening_tensors(
    vs: &nn::Path<'_>,
    dims: &[(SideName, i64)],
    maps: [Option<Whitening>; 2],
) -> Result<Vec<(Tensor, Tensor)>> {
    let [cf, semantic] = maps;
    let mut kept = Vec::with_capacity(2);
    for (name, map) in [(SideName::Cf, cf), (SideName::Semantic, semantic)] {
        let Some(&(_, dim)) = dims.iter().find(|(read, _)| *read == name) else { continue };
        let map = map.filter(|map| map.dim() == dim).ok_or(Error::InvalidConfig {
            field: "normalisation",
            got: Normalisation::Whiten.as_str().into(),
            expected: "a whitening map of the width of every side that is read",
        })?;
        let vs = vs / "whitening" / name.as_str();
        let put = |name: &str, value: &Tensor| {
            let mut tensor = vs.zeros_no_train(name, &value.size());
            tensor.copy_(&value.to_kind(Kind::Float));
            tensor
        };
        kept.push((put("mean", &map.mean), put("matrix", &map.matrix)));
    }
    Ok(kept)
}
