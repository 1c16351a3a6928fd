//! `config.json` as transformers 5 reads it, written so that nothing of a model is lost.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::arrangement::Family;
use super::hf::read_config;
use super::rope::write_rope;
use crate::config::{Activation, DecoderConfig, Positions};
use crate::error::{Error, Result};

/// The `config.json` that transformers 5 reads back as this model, for the file at `path`.
///
/// What a family cannot express, reading the file back tells: [`Error::Unwritable`].
pub(crate) fn to_json(config: &DecoderConfig, dtype: &str, path: &Path) -> Result<Value> {
    let value = write_json(config, dtype);
    let unwritable = |settings: String| Error::Unwritable {
        path: path.to_owned(),
        model_type: config.family.arrangement().model_type,
        settings,
    };
    let object = value.as_object().cloned().unwrap_or_default();
    let back = match read_config(path, object) {
        Ok(back) => back,
        Err(
            Error::UnsupportedConfig { field, value, .. } | Error::InvalidConfig { field, got: value, .. },
        ) => {
            return Err(unwritable(format!("`{field}` = {value}")));
        }
        Err(other) => return Err(other),
    };
    let lost = config.differences(&back);
    if lost.is_empty() { Ok(value) } else { Err(unwritable(lost.join(", "))) }
}

impl DecoderConfig {
    /// The settings that compute something else than those of another model, each as `` `name` = value `` with the value of this
    /// one; none where both compute the same.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let settings = |config: &Self| {
            // An absent list and one of layers without a window mean the same, and so do windows that no layer has.
            let windowed: Vec<bool> =
                (0..config.layers as usize).map(|layer| config.windowed(layer)).collect();
            let window = config.window.filter(|_| windowed.contains(&true));
            let plain = Self { windowed_layers: windowed, window, ..config.clone() };
            match serde_json::to_value(plain) {
                Ok(Value::Object(fields)) => fields,
                _ => Map::new(),
            }
        };
        let (ours, theirs) = (settings(self), settings(other));
        let same =
            |name: &str, value: &Value| match (value.as_f64(), theirs.get(name).and_then(Value::as_f64)) {
                // A file has the inverse square of the scale, which may cost the last bits.
                (Some(ours), Some(theirs)) if name == "query_scale" => {
                    (ours - theirs).abs() <= 1e-9 * ours.abs()
                }
                _ => theirs.get(name) == Some(value),
            };
        let differing = ours.iter().filter(|(name, value)| !same(name.as_str(), value));
        differing.map(|(name, value)| format!("`{name}` = {value}")).collect()
    }
}

fn write_json(config: &DecoderConfig, dtype: &str) -> Value {
    let names = config.family.arrangement();
    let eos = match config.special.eos.as_slice() {
        [] => Value::Null,
        [one] => json!(one),
        several => json!(several),
    };
    let mut object = json!({
        "architectures": [names.architecture],
        "model_type": names.model_type,
        "dtype": dtype,
        "vocab_size": config.vocab,
        "tie_word_embeddings": config.tied,
        "initializer_range": config.initializer_range,
        "bos_token_id": config.special.bos,
        "eos_token_id": eos,
        "pad_token_id": config.special.pad,
        "use_cache": true,
    });
    let own = if config.family == Family::Gpt2 {
        json!({
            "n_embd": config.hidden,
            "n_layer": config.layers,
            "n_head": config.heads,
            "n_inner": config.intermediate,
            "n_positions": config.max_positions,
            "layer_norm_epsilon": config.norm_epsilon,
            "activation_function": activation_name(config.activation, "gelu_new"),
            "scale_attn_weights": (config.query_scale - 1.0).abs() > 1e-9 || config.head_dim == 1,
        })
    } else {
        rotary_json(config)
    };
    if let (Value::Object(all), Value::Object(own)) = (&mut object, own) {
        all.extend(own);
    }
    object
}

/// The scalar whose inverse root is the scale: transformers insists on a whole number where it is one.
fn query_scalar(scale: f64) -> Value {
    let scalar = scale.powi(-2);
    let whole = scalar.round();
    if (scalar - whole).abs() < 1e-6 { json!(whole as i64) } else { json!(scalar) }
}

fn activation_name(activation: Activation, tanh: &str) -> &str {
    match activation {
        Activation::Silu => "silu",
        Activation::GeluTanh => tanh,
        Activation::Gelu => "gelu",
        Activation::Relu => "relu",
    }
}

fn rotary_json(config: &DecoderConfig) -> Value {
    let family = config.family;
    let act = activation_name(config.activation, "gelu_pytorch_tanh");
    let mut object = json!({
        "hidden_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.intermediate,
        "max_position_embeddings": config.max_positions,
        "rms_norm_eps": config.norm_epsilon,
        "rope_parameters": write_rope(config),
    });
    let Value::Object(fields) = &mut object else {
        return object;
    };
    let mut set = |key: &str, value: Value| {
        fields.insert(key.to_owned(), value);
    };
    let windowed = config.windowed_layers.contains(&true);
    match family {
        Family::Gemma2 | Family::Gemma3 => {
            set("hidden_activation", json!(act));
            set("query_pre_attn_scalar", query_scalar(config.query_scale));
            set("attn_logit_softcapping", json!(config.attention_softcap));
            set("final_logit_softcapping", json!(config.logit_softcap));
        }
        _ => set("hidden_act", json!(act)),
    }
    match family {
        Family::Llama => {
            set("attention_bias", json!(config.output_bias));
            set("mlp_bias", json!(config.mlp_bias));
        }
        Family::Qwen3 | Family::Gemma2 | Family::Gemma3 => {
            set("attention_bias", json!(config.output_bias));
        }
        _ => {}
    }
    if family != Family::Llama {
        set("sliding_window", json!(config.window));
    }
    if matches!(family, Family::Qwen2 | Family::Qwen3) {
        set("use_sliding_window", json!(windowed));
    }
    if matches!(family, Family::Qwen2 | Family::Qwen3 | Family::Gemma2 | Family::Gemma3) {
        let types: Vec<&str> = (0..config.layers as usize)
            .map(|layer| if config.windowed(layer) { "sliding_attention" } else { "full_attention" })
            .collect();
        set("layer_types", json!(types));
    }
    if family == Family::Phi3 {
        let original = match &config.positions {
            Positions::Rotary(rope) => rope.scaling.as_ref().and_then(|s| s.original_max_positions()),
            Positions::Learned => None,
        };
        set("original_max_position_embeddings", json!(original.unwrap_or(config.max_positions)));
    }
    object
}
