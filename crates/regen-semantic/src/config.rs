//! What `config.json` says of the transformer. A field that changes the arithmetic is implemented or refused.

use std::path::Path;

use serde_json::{Map, Value};

use crate::{Error, Result};

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

/// The shape of a BERT encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
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
    /// Longest sequence in tokens, special ones included.
    pub max_positions: i64,
    /// Rows of the token type embedding table; only type 0 is used.
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
    "attention_probs_dropout_prob",
    "bos_token_id",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "directionality",
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
    "return_dict",
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
        fields.require("model_type", "bert")?;
        let activation = match fields.text("hidden_act")?.as_str() {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            other => return Err(fields.unsupported("hidden_act", other)),
        };
        fields.allow("position_embedding_type", &["absolute"])?;
        fields.allow("is_decoder", &["false"])?;
        fields.allow("add_cross_attention", &["false"])?;
        let config = Self {
            vocab: fields.positive("vocab_size")?,
            hidden: fields.positive("hidden_size")?,
            layers: fields.positive("num_hidden_layers")?,
            heads: fields.positive("num_attention_heads")?,
            intermediate: fields.positive("intermediate_size")?,
            max_positions: fields.positive("max_position_embeddings")?,
            token_types: fields.positive("type_vocab_size")?,
            layer_norm_eps: fields.number("layer_norm_eps")?,
            activation,
        };
        if config.hidden % config.heads != 0 {
            return Err(fields.invalid(
                "num_attention_heads",
                &config.heads.to_string(),
                format!("a divisor of hidden_size = {}", config.hidden),
            ));
        }
        fields.finish()?;
        Ok(config)
    }
}

/// A JSON object whose fields are taken one by one, so that what is left over can be named.
struct Fields<'a> {
    path: &'a Path,
    values: Map<String, Value>,
}

impl Fields<'_> {
    fn take(&mut self, field: &str) -> Result<Value> {
        self.values.remove(field).ok_or_else(|| self.invalid(field, "nothing", "a value".into()))
    }

    fn text(&mut self, field: &str) -> Result<String> {
        match self.take(field)? {
            Value::String(text) => Ok(text),
            other => Err(self.invalid(field, &other.to_string(), "a string".into())),
        }
    }

    fn positive(&mut self, field: &str) -> Result<i64> {
        let value = self.take(field)?;
        value
            .as_i64()
            .filter(|&n| n > 0)
            .ok_or_else(|| self.invalid(field, &value.to_string(), "a positive integer".into()))
    }

    fn number(&mut self, field: &str) -> Result<f64> {
        let value = self.take(field)?;
        value
            .as_f64()
            .filter(|n| n.is_finite() && *n >= 0.0)
            .ok_or_else(|| self.invalid(field, &value.to_string(), "a number that is not negative".into()))
    }

    fn require(&mut self, field: &str, wanted: &str) -> Result<()> {
        let got = self.text(field)?;
        if got == wanted { Ok(()) } else { Err(self.unsupported(field, &got)) }
    }

    /// An optional field with values that change nothing here.
    fn allow(&mut self, field: &str, harmless: &[&str]) -> Result<()> {
        let Some(value) = self.values.remove(field) else { return Ok(()) };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if harmless.contains(&text.as_str()) { Ok(()) } else { Err(self.unsupported(field, &text)) }
    }

    fn finish(self) -> Result<()> {
        match self.values.iter().find(|(field, _)| !HARMLESS.contains(&field.as_str())) {
            None => Ok(()),
            Some((field, value)) => Err(self.unsupported(field, &value.to_string())),
        }
    }

    fn unsupported(&self, field: &str, value: &str) -> Error {
        Error::UnsupportedConfig {
            path: self.path.to_owned(),
            field: field.to_owned(),
            value: value.to_owned(),
        }
    }

    fn invalid(&self, field: &str, value: &str, expected: String) -> Error {
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
