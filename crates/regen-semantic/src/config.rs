//! What `config.json` says of the transformer. A field that changes the arithmetic is implemented or refused.

use std::path::Path;

use crate::families;
use crate::fields::{Fields, read_object};
use crate::{Family, Result};

/// The non-linearity between the two projections of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The exact Gaussian error linear unit.
    Gelu,
    /// Its tanh approximation.
    GeluTanh,
    /// `max(0, x)`.
    Relu,
    /// `x · sigmoid(x)`.
    Silu,
}

/// How a token knows where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Positions {
    /// A table of vectors, added to the token's own.
    Table,
    /// Queries and keys are turned by their position (Su et al. 2021, "RoFormer").
    Rotary {
        /// Base of the wavelengths.
        base: f64,
        /// Base in the layers of [`EncoderConfig::window`].
        local_base: f64,
    },
}

/// Layers in which a token sees its neighbourhood only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Tokens that it sees on each side.
    pub reach: i64,
    /// `[layers]`: which layers.
    pub layers: Vec<bool>,
}

/// The shape of an encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// Which tensors there are and what they are called.
    pub family: Family,
    /// Rows of the token embedding table.
    pub vocab: i64,
    /// Width of a token's vector.
    pub hidden: i64,
    /// Layers.
    pub layers: i64,
    /// Attention heads of each layer.
    pub heads: i64,
    /// Heads of keys and values, a divisor of `heads`.
    pub kv_heads: i64,
    /// Width of a head.
    pub head_dim: i64,
    /// Width between the two projections of a layer.
    pub intermediate: i64,
    /// Rows of the position embedding table, or the longest text that the model was made for.
    pub max_positions: i64,
    /// How positions enter.
    pub positions: Positions,
    /// In families whose positions skip padding: the padding id. Positions are counted from it + 1, and a token of this
    /// id gets this position.
    pub padding_id: Option<i64>,
    /// Rows of the token type embedding table, 0 without one; only type 0 is used.
    pub token_types: i64,
    /// Added to variances in norms.
    pub norm_eps: f64,
    /// Whether norms, attention projections and the perceptron's have biases.
    pub biases: [bool; 3],
    /// The non-linearity.
    pub activation: Activation,
    /// Scores are divided by its square root: `head_dim` in nearly all families.
    pub score_width: f64,
    /// Whether a token sees only what stands before it, as in language models.
    pub causal: bool,
    /// Layers that see a neighbourhood only.
    pub window: Option<Window>,
}

/// Fields that do not change the embeddings of a finished model, in any family.
const HARMLESS: &[&str] = &[
    "_name_or_path",
    "architectures",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "bos_token_id",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "directionality",
    "dropout",
    "dtype",
    "eos_token_id",
    "finetuning_task",
    "gradient_checkpointing",
    "hidden_dropout_prob",
    "id2label",
    "initializer_range",
    "label2id",
    "language",
    "model_type",
    "name",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "pad_token_id",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "problem_type",
    "qa_dropout",
    "return_dict",
    "seq_classif_dropout",
    "tie_word_embeddings",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "use_cache",
];

impl EncoderConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), [`Error::Json`](crate::Error::Json),
    /// [`Error::UnsupportedConfig`](crate::Error::UnsupportedConfig), [`Error::InvalidConfig`](crate::Error::InvalidConfig).
    pub fn load(path: &Path) -> Result<Self> {
        let mut fields = Fields { path, values: read_object(path)? };
        let model_type = fields.text("model_type")?;
        let family = Family::of(&model_type).ok_or_else(|| fields.unsupported("model_type", &model_type))?;
        let (config, harmless) = families::read(family, &mut fields)?;
        if config.longest() < 1 {
            return Err(fields.invalid(
                "max_position_embeddings",
                &config.max_positions.to_string(),
                "room for at least one token".into(),
            ));
        }
        fields.finish_except(&[HARMLESS, harmless].concat())?;
        Ok(config)
    }

    /// Longest sequence that has a position for every token, special ones included.
    pub fn longest(&self) -> i64 {
        self.max_positions.saturating_sub(self.padding_id.map_or(0, |id| id.saturating_add(1)))
    }
}
