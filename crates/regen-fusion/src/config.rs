//! What an adapter is made of. Plain values, serialisable, checked when an adapter is built from them.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which item vectors the adapter reads: the arms of the paper's comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sources {
    /// Collaborative-filtering vectors only.
    Cf,
    /// Semantic vectors only.
    Semantic,
    /// Both.
    Fusion,
}

impl Sources {
    /// Whether collaborative vectors are read.
    pub fn cf(self) -> bool {
        matches!(self, Self::Cf | Self::Fusion)
    }

    /// Whether semantic vectors are read.
    pub fn semantic(self) -> bool {
        matches!(self, Self::Semantic | Self::Fusion)
    }

    /// The name of the arm in reports: `cf`, `semantic` or `fusion`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cf => "cf",
            Self::Semantic => "semantic",
            Self::Fusion => "fusion",
        }
    }
}

impl std::fmt::Display for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Sources {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Cf, Self::Semantic, Self::Fusion]
            .into_iter()
            .find(|sources| sources.as_str() == name)
            .ok_or_else(|| Error::InvalidConfig {
                field: "sources",
                got: name.to_owned(),
                expected: "cf, semantic or fusion",
            })
    }
}

/// How each side's vectors are scaled before the adapter sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalisation {
    /// As given.
    None,
    /// Each vector to Euclidean norm 1, side by side, so that neither drowns the other.
    L2,
    /// Each vector to mean 0 and variance 1 over its components.
    LayerNorm,
    /// All vectors of a side by one affine map after which the item table has mean 0 and the identity for its covariance: no
    /// direction is louder than another because items differ more along it. The map is computed from the table
    /// ([`Moments`](crate::Moments)) and given to [`Adapter::whitened`](crate::Adapter::whitened).
    Whiten,
}

impl Normalisation {
    /// Its name in plans and reports: `none`, `l2`, `layer_norm` or `whiten`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::L2 => "l2",
            Self::LayerNorm => "layer_norm",
            Self::Whiten => "whiten",
        }
    }
}

/// How the vectors of reviews are read: texts that the buyers wrote about what they bought, embedded by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewInput {
    /// Width of a review's vector.
    pub dim: i64,
    /// How each is scaled, whatever is done to the sides. Not [`Normalisation::Whiten`]: reviews come with the requests, and
    /// there is no table of them to take a map from.
    pub normalisation: Normalisation,
}

/// What an adapter reads of each purchase beside the vectors of its item. Each has a learned value for where it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetailInputs {
    /// How the buyer rated it, 1 to 5 stars.
    pub rating: bool,
    /// How many days before the request it was.
    pub recency: bool,
    /// How many purchases came after it.
    pub position: bool,
    /// What its buyer wrote about it, as a vector; `None` where reviews are not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewInput>,
}

impl DetailInputs {
    /// Whether none is read.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What a hidden unit of an MLP does with its sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HiddenActivation {
    /// `x·Φ(x)`, Φ the distribution function of the standard normal.
    #[default]
    Gelu,
    /// `max(x, 0)`.
    Relu,
    /// `x·σ(x)`.
    Silu,
    /// The hyperbolic tangent.
    Tanh,
}

impl HiddenActivation {
    /// Its name in plans and reports: `gelu`, `relu`, `silu` or `tanh`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gelu => "gelu",
            Self::Relu => "relu",
            Self::Silu => "silu",
            Self::Tanh => "tanh",
        }
    }

    fn is_gelu(&self) -> bool {
        *self == Self::Gelu
    }

    /// E[f(x)²] for a standard normal x, so that layers can start at a known scale.
    pub(crate) fn second_moment(self) -> f64 {
        match self {
            Self::Gelu => 0.425,
            Self::Relu => 0.5,
            Self::Silu => 0.356,
            Self::Tanh => 0.394,
        }
    }
}

/// The map from normalised item vectors to soft tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdapterKind {
    /// `W₁·e_i + W₂·e_s + b`, the paper's projection.
    Projection,
    /// `depth` hidden layers of `width` units on the concatenation, then a projection.
    Mlp {
        /// Units of each hidden layer.
        width: i64,
        /// Number of hidden layers, at least 1.
        depth: usize,
        /// What each hidden unit does with its sum.
        #[serde(default, skip_serializing_if = "HiddenActivation::is_gelu")]
        activation: HiddenActivation,
    },
    /// A projection of each side, mixed componentwise by a learned gate that sees both:
    /// `g ⊙ W₁·e_i + (1 − g) ⊙ W₂·e_s + b` with `g = σ(U·[e_i; e_s] + c)`. Needs both sides.
    Gated,
    /// Linear experts on the concatenation, weighed by a softmax that sees it too: `Σ_k g_k (W_k·[e_i; e_s] + b_k)` with
    /// `g = softmax(U·[e_i; e_s] + c)`. All experts are computed and mixed; no noise is added to the gate and no loss balances
    /// the experts.
    ///
    /// **Source** Ma et al. 2024, "XRec: Large Language Models for Explainable Recommendation", section 3.2.
    MixtureOfExperts {
        /// Number of experts, at least 2.
        experts: usize,
    },
    /// A fixed number of soft tokens for a whole history ([`Adapter::resample`](crate::Adapter::resample)): learned queries attend
    /// over its items, whose recency they are told. An item that stands for itself, such as the one that is narrated, gets its
    /// soft tokens from a projection of its own.
    ///
    /// **Source** Jaegle et al. 2021, "Perceiver"; Alayrac et al. 2022, "Flamingo", section 2.1.
    CrossAttention {
        /// Soft tokens of a history, at least 1.
        tokens: i64,
        /// Heads of the attention, a divisor of `hidden`.
        heads: i64,
        /// Layers of attention, at least 1.
        layers: usize,
    },
}

impl AdapterKind {
    /// Its name in reports and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Projection => "projection",
            Self::Mlp { .. } => "mlp",
            Self::Gated => "gated",
            Self::MixtureOfExperts { .. } => "mixture of experts",
            Self::CrossAttention { .. } => "cross-attention",
        }
    }
}

/// Everything that fixes an adapter's shape and start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// Which sides it reads.
    pub sources: Sources,
    /// The map.
    pub kind: AdapterKind,
    /// Scaling of the inputs.
    pub normalisation: Normalisation,
    /// Width of a collaborative vector; its value is not used when [`Sources::Semantic`].
    pub cf_dim: i64,
    /// Width of a semantic vector; its value is not used when [`Sources::Cf`].
    pub semantic_dim: i64,
    /// Width of a soft token: the language model's embedding width.
    pub hidden: i64,
    /// Soft tokens per item, at least 1.
    pub tokens_per_item: i64,
    /// Root mean square of a soft token's components at the start. Set it to that of the language model's
    /// token embeddings, so that soft tokens begin on the scale the model knows.
    pub initial_rms: f64,
    /// What is read of each purchase beside its item's vectors.
    #[serde(default, skip_serializing_if = "DetailInputs::is_none")]
    pub details: DetailInputs,
    /// Whether the user's own collaborative vector is read, as one soft token more ([`Adapter::user`](crate::Adapter::user)).
    /// Needs collaborative vectors.
    ///
    /// A token of its own rather than an addition to every item's: what is the same for a whole history is said once, items stay
    /// what they are whoever bought them, and a caller can place it where no next purchase is still to be told.
    #[serde(default, skip_serializing_if = "is_false")]
    pub user: bool,
}

impl AdapterConfig {
    /// Soft tokens that stand for a whole history; 0 where every item has its own.
    pub fn tokens_per_history(&self) -> i64 {
        match self.kind {
            AdapterKind::CrossAttention { tokens, .. } => tokens,
            _ => 0,
        }
    }

    /// Soft tokens that stand for the user: 1 or 0.
    pub fn tokens_per_user(&self) -> i64 {
        i64::from(self.user)
    }

    /// Refuses what no adapter can be built from, as building one does: for a caller that wants to know long before it has vectors.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] with the field and what would be accepted.
    pub fn validate(&self) -> Result<()> {
        let positive = |field, value: i64| {
            if value > 0 {
                return Ok(());
            }
            Err(Error::InvalidConfig { field, got: value.to_string(), expected: "at least 1" })
        };
        if self.sources.cf() {
            positive("cf_dim", self.cf_dim)?;
        }
        if self.sources.semantic() {
            positive("semantic_dim", self.semantic_dim)?;
        }
        positive("hidden", self.hidden)?;
        positive("tokens_per_item", self.tokens_per_item)?;
        if !(self.initial_rms.is_finite() && self.initial_rms > 0.0) {
            return Err(Error::InvalidConfig {
                field: "initial_rms",
                got: self.initial_rms.to_string(),
                expected: "a positive number",
            });
        }
        if let Some(review) = &self.details.review {
            positive("details.review.dim", review.dim)?;
            if review.normalisation == Normalisation::Whiten {
                return Err(Error::InvalidConfig {
                    field: "details.review.normalisation",
                    got: Normalisation::Whiten.as_str().into(),
                    expected: "none, l2 or layer_norm, since no table of reviews says how to whiten them",
                });
            }
        }
        if self.user && !self.sources.cf() {
            return Err(Error::InvalidConfig {
                field: "user",
                got: "true".into(),
                expected: "false, since collaborative vectors are not read",
            });
        }
        match self.kind {
            AdapterKind::Projection => Ok(()),
            AdapterKind::Mlp { width, depth, .. } => {
                positive("kind.mlp.width", width)?;
                positive("kind.mlp.depth", depth as i64)
            }
            AdapterKind::MixtureOfExperts { experts } if experts >= 2 => Ok(()),
            AdapterKind::MixtureOfExperts { experts } => Err(Error::InvalidConfig {
                field: "kind.mixture_of_experts.experts",
                got: experts.to_string(),
                expected: "at least 2",
            }),
            AdapterKind::CrossAttention { tokens, heads, layers } => {
                positive("kind.cross_attention.tokens", tokens)?;
                positive("kind.cross_attention.layers", layers as i64)?;
                if heads > 0 && self.hidden % heads == 0 {
                    return Ok(());
                }
                let (field, got) = ("kind.cross_attention.heads", heads.to_string());
                Err(Error::InvalidConfig { field, got, expected: "a divisor of hidden" })
            }
            AdapterKind::Gated if self.sources == Sources::Fusion => Ok(()),
            AdapterKind::Gated => Err(Error::InvalidConfig {
                field: "sources",
                got: self.sources.as_str().to_owned(),
                expected: "fusion, since a gate weighs two sides",
            }),
        }
    }
}
