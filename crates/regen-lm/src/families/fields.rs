//! A JSON object that remembers what was asked of it, so that nothing in it is overlooked.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Keys that never change what a forward pass computes: bookkeeping, dropout rates, defaults of
/// generation, heads that a language model does not have.
const NEUTRAL: &[&str] = &[
    "architectures",
    "attention_dropout",
    "attn_implementation",
    "attn_pdrop",
    "auto_map",
    "begin_suppress_tokens",
    "cache_implementation",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "id2label",
    "is_decoder",
    "is_encoder_decoder",
    "is_llama_config",
    "label2id",
    "length_penalty",
    "max_length",
    "max_sequence_length",
    "min_length",
    "model_type",
    "n_ctx",
    "n_special",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "original_max_position_embeddings",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_scores",
    "predict_special_tokens",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "rope_interleaved",
    "sep_token_id",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tie_encoder_decoder",
    "tokenizer_class",
    "tokenizer_model_max_length",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "vocab_size_original",
];

/// Keys among the neutral ones that are neutral only when off.
const NEUTRAL_WHEN_OFF: &[&str] = &["is_encoder_decoder", "rope_interleaved", "tie_encoder_decoder"];

/// Whether two values are the same; 1 is 1.0.
fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|number| b.as_f64() == Some(number))
}

/// The fields of one configuration file.
pub(crate) struct Fields<'a> {
    path: &'a Path,
    prefix: &'static str,
    object: Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(path: &'a Path, object: Map<String, Value>) -> Self {
        Self { path, prefix: "", object }
    }

    /// A nested object; its fields are named `prefix.field` in errors.
    pub(crate) fn nested(&self, prefix: &'static str, object: Map<String, Value>) -> Self {
        Self { path: self.path, prefix, object }
    }

    fn name(&self, field: &str) -> String {
        if self.prefix.is_empty() { field.to_owned() } else { format!("{}.{field}", self.prefix) }
    }

    fn wrong(&self, field: &str, expected: &str, got: &Value) -> Error {
        Error::InvalidConfig {
            path: Some(self.path.to_owned()),
            field: self.name(field),
            expected: expected.to_owned(),
            got: got.to_string(),
        }
    }

    fn missing(&self, field: &str) -> Error {
        Error::MissingField { path: self.path.to_owned(), field: self.name(field) }
    }

    /// Takes a field out, whatever it holds.
    pub(crate) fn take(&mut self, field: &str) -> Option<Value> {
        self.object.shift_remove(field)
    }

    /// An absent or null field, or the whole number it holds.
    pub(crate) fn optional_integer(&mut self, field: &str) -> Result<Option<i64>> {
        match self.take(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(field, "a whole number", &value)),
            },
        }
    }

    pub(crate) fn required_integer(&mut self, field: &str) -> Result<i64> {
        match self.optional_integer(field)? {
            Some(number) => Ok(number),
            None => Err(self.missing(field)),
        }
    }

    pub(crate) fn optional_number(&mut self, field: &str) -> Result<Option<f64>> {
        match self.take(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(field, "a number", &value)),
            },
        }
    }

    pub(crate) fn number(&mut self, field: &str, default: f64) -> Result<f64> {
        Ok(self.optional_number(field)?.unwrap_or(default))
    }

    pub(crate) fn required_number(&mut self, field: &str) -> Result<f64> {
        match self.optional_number(field)? {
            Some(number) => Ok(number),
            None => Err(self.missing(field)),
        }
    }

    pub(crate) fn boolean(&mut self, field: &str, default: bool) -> Result<bool> {
        match self.take(field) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(value)) => Ok(value),
            Some(value) => Err(self.wrong(field, "true or false", &value)),
        }
    }

    pub(crate) fn text(&mut self, field: &str, default: &str) -> Result<String> {
        Ok(self.optional_text(field)?.unwrap_or_else(|| default.to_owned()))
    }

    /// An absent or null field, or the text it holds.
    pub(crate) fn optional_text(&mut self, field: &str) -> Result<Option<String>> {
        match self.take(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(value) => Err(self.wrong(field, "a text", &value)),
        }
    }

    pub(crate) fn required_text(&mut self, field: &str) -> Result<String> {
        match self.take(field) {
            None | Some(Value::Null) => Err(self.missing(field)),
            Some(Value::String(text)) => Ok(text),
            Some(value) => Err(self.wrong(field, "a text", &value)),
        }
    }

    /// Accepts a field only when it is absent, null or exactly this value.
    pub(crate) fn expect(&mut self, field: &str, only: &Value) -> Result<()> {
        match self.take(field) {
            None | Some(Value::Null) => Ok(()),
            Some(value) if same(&value, only) => Ok(()),
            Some(value) => Err(Error::UnsupportedConfig {
                path: Some(self.path.to_owned()),
                field: self.name(field),
                value: value.to_string(),
            }),
        }
    }

    /// Refuses the first field that nobody asked for and that could change the arithmetic of a model.
    pub(crate) fn finish(self) -> Result<()> {
        let top = self.prefix.is_empty();
        self.finish_with(|field| {
            top && (field.starts_with('_') || NEUTRAL.contains(&field)) && !NEUTRAL_WHEN_OFF.contains(&field)
        })
    }

    /// Refuses the first field that nobody asked for, that is on, and that is not neutral.
    pub(crate) fn finish_with(self, is_neutral: impl Fn(&str) -> bool) -> Result<()> {
        for (field, value) in &self.object {
            let empty = match value {
                Value::Null | Value::Bool(false) => true,
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => false,
            };
            if !empty && !is_neutral(field) {
                return Err(Error::UnsupportedConfig {
                    path: Some(self.path.to_owned()),
                    field: self.name(field),
                    value: value.to_string(),
                });
            }
        }
        Ok(())
    }
}
