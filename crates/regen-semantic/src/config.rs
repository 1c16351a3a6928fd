//! What `config.json` says of the transformer. A field that changes the arithmetic is implemented or refused.

use std::path::Path;

use serde_json::{Map, Value};

use crate::{Error, Family, Result};

/// The non-linearity between the two projections of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The exact Gaussian error linear unit.
    Gelu,
    /// Its tanh approximation.
    GeluTanh,
    /// `max(0, x)`.
    Relu,
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
    /// Width between the two projections of a layer.
    pub intermediate: i64,
    /// Rows of the position embedding table.
    pub max_positions: i64,
    /// In families whose positions skip padding: the padding id. Positions are counted from it + 1, and a token of this
    /// id gets this position.
    pub padding_id: Option<i64>,
    /// Rows of the token type embedding table, 0 without one; only type 0 is used.
    pub token_types: i64,
    /// Added to variances in layer norms.
    pub layer_norm_eps: f64,
    /// The non-linearity.
    pub activation: Activation,
}

/// Fields that do not change the embeddings of a finished model.
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
    "torch_dtype",
    "transformers_version",
    "use_cache",
];

impl EncoderConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Json`], [`Error::UnsupportedConfig`], [`Error::InvalidConfig`].
    pub fn load(path: &Path) -> Result<Self> {
        let mut fields = Fields { path, values: read_object(path)? };
        let model_type = fields.text("model_type")?;
        let family = Family::of(&model_type).ok_or_else(|| fields.unsupported("model_type", &model_type))?;
        let distil = family == Family::DistilBert;
        let name = |plain: &'static str, in_distil: &'static str| if distil { in_distil } else { plain };
        let activation_field = name("hidden_act", "activation");
        let activation = match fields.text(activation_field)?.as_str() {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            other => return Err(fields.unsupported(activation_field, other)),
        };
        fields.allow("position_embedding_type", &["absolute"])?;
        fields.allow("is_decoder", &["false"])?;
        fields.allow("add_cross_attention", &["false"])?;
        let padding_id = match family {
            Family::Bert | Family::DistilBert => None,
            Family::Roberta => Some(fields.positive("pad_token_id")?),
            // Written into the reference's model, whatever the configuration says.
            Family::Mpnet => Some(1),
        };
        match family {
            // Only the initial values of a trainable table.
            Family::DistilBert => fields.allow("sinusoidal_pos_embds", &["false", "true"])?,
            // The reference computes its 32 buckets whatever the configuration says.
            Family::Mpnet => fields.allow("relative_attention_num_buckets", &["32"])?,
            Family::Bert | Family::Roberta => {}
        }
        let config = Self {
            family,
            vocab: fields.positive("vocab_size")?,
            hidden: fields.positive(name("hidden_size", "dim"))?,
            layers: fields.positive(name("num_hidden_layers", "n_layers"))?,
            heads: fields.positive(name("num_attention_heads", "n_heads"))?,
            intermediate: fields.positive(name("intermediate_size", "hidden_dim"))?,
            max_positions: fields.positive("max_position_embeddings")?,
            padding_id,
            token_types: if family.has_token_types() { fields.positive("type_vocab_size")? } else { 0 },
            // DistilBERT's is written into the reference's model.
            layer_norm_eps: if distil { 1e-12 } else { fields.number("layer_norm_eps")? },
            activation,
        };
        if config.hidden % config.heads != 0 {
            return Err(fields.invalid(
                name("num_attention_heads", "n_heads"),
                &config.heads.to_string(),
                format!("a divisor of the width {}", config.hidden),
            ));
        }
        if config.longest() < 1 {
            return Err(fields.invalid(
                "max_position_embeddings",
                &config.max_positions.to_string(),
                "room for at least one token".into(),
            ));
        }
        fields.finish()?;
        Ok(config)
    }

    /// Longest sequence that has a position for every token, special ones included.
    pub fn longest(&self) -> i64 {
        self.max_positions - self.padding_id.map_or(0, |id| id + 1)
    }
}

/// A JSON object whose fields are taken one by one, so that what is left over can be named.
pub(crate) struct Fields<'a> {
    pub(crate) path: &'a Path,
    pub(crate) values: Map<String, Value>,
}

impl Fields<'_> {
    fn take(&mut self, field: &str) -> Result<Value> {
        self.values.remove(field).ok_or_else(|| self.invalid(field, "nothing", "a value".into()))
    }

    pub(crate) fn text(&mut self, field: &str) -> Result<String> {
        match self.take(field)? {
            Value::String(text) => Ok(text),
            other => Err(self.invalid(field, &other.to_string(), "a string".into())),
        }
    }

    pub(crate) fn positive(&mut self, field: &str) -> Result<i64> {
        let value = self.take(field)?;
        value
            .as_i64()
            .filter(|&n| n > 0)
            .ok_or_else(|| self.invalid(field, &value.to_string(), "a positive integer".into()))
    }

    /// An optional truth value.
    pub(crate) fn flag(&mut self, field: &str) -> Result<Option<bool>> {
        match self.values.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(on)) => Ok(Some(on)),
            Some(other) => Err(self.invalid(field, &other.to_string(), "true or false".into())),
        }
    }

    fn number(&mut self, field: &str) -> Result<f64> {
        let value = self.take(field)?;
        value
            .as_f64()
            .filter(|n| n.is_finite() && *n >= 0.0)
            .ok_or_else(|| self.invalid(field, &value.to_string(), "a number that is not negative".into()))
    }

    /// An optional field with values that change nothing here.
    pub(crate) fn allow(&mut self, field: &str, harmless: &[&str]) -> Result<()> {
        let Some(value) = self.values.remove(field) else { return Ok(()) };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if harmless.contains(&text.as_str()) { Ok(()) } else { Err(self.unsupported(field, &text)) }
    }

    fn finish(self) -> Result<()> {
        self.finish_except(HARMLESS)
    }

    /// Refuses what was not taken, unless it is named as harmless.
    pub(crate) fn finish_except(self, harmless: &[&str]) -> Result<()> {
        match self.values.iter().find(|(field, _)| !harmless.contains(&field.as_str())) {
            None => Ok(()),
            Some((field, value)) => Err(self.unsupported(field, &value.to_string())),
        }
    }

    pub(crate) fn unsupported(&self, field: &str, value: &str) -> Error {
        Error::UnsupportedConfig {
            path: self.path.to_owned(),
            field: field.to_owned(),
            value: value.to_owned(),
        }
    }

    pub(crate) fn invalid(&self, field: &str, value: &str, expected: String) -> Error {
        Error::InvalidConfig {
            path: self.path.to_owned(),
            field: field.to_owned(),
            value: value.to_owned(),
            expected,
        }
    }
}

/// Reads a file that must hold one JSON object.
pub(crate) fn read_object(path: &Path) -> Result<Map<String, Value>> {
    let text = read_text(path)?;
    serde_json::from_str(&text).map_err(|source| Error::Json { path: path.to_owned(), source })
}

pub(crate) fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })
}
