//! `config.json` of the Hugging Face folders, read strictly.
//!
//! Every key is either used, known to leave the arithmetic alone, absent in effect (`null`, `false`), or
//! refused by name: a field is never parsed and ignored. Both spellings of rotary parameters are
//! read, `rope_parameters` of transformers 5 and `rope_theta` with `rope_scaling` of older releases.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::arrangement::Family;
use super::fields::Fields;
use super::rope::read_rope;
use crate::config::{
    Activation, DecoderConfig, MOST_LAYERS, MOST_ROWS, MOST_WIDTH, Positions, SpecialIds, check_size,
};
use crate::error::{Error, Result};

/// Reads a folder's configuration and the ids of `generation_config.json`.
pub(crate) fn read_folder(dir: &Path) -> Result<DecoderConfig> {
    let path = dir.join("config.json");
    let mut config = read_config(&path, read_object(&path)?).map_err(Error::of_file(&path))?;
    let generation = dir.join("generation_config.json");
    if generation.exists() {
        add_ids(&mut config.special, &read_object(&generation)?)
            .and_then(|()| config.validate())
            .map_err(Error::of_file(&generation))?;
    }
    Ok(config)
}

/// What `generation_config.json` says of ids: those that end a text go before the model's own, others stand in for them.
fn add_ids(special: &mut SpecialIds, object: &Map<String, Value>) -> Result<()> {
    let eos = ids("eos_token_id", object.get("eos_token_id"))?;
    if !eos.is_empty() {
        special.eos = eos;
    }
    special.pad = special.pad.or(id("pad_token_id", object.get("pad_token_id"))?);
    special.bos = special.bos.or(id("bos_token_id", object.get("bos_token_id"))?);
    Ok(())
}

/// A JSON file whose outermost value is an object.
pub(crate) fn read_object(path: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    serde_json::from_str(&text).map_err(Error::json(path))
}

/// An id that may be absent or null, but not of another type: a dropped id would never end a text.
fn id(field: &str, value: Option<&Value>) -> Result<Option<i64>> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => whole_id(field, value).map(Some),
    }
}

/// An id or a list of ids.
fn ids(field: &str, value: Option<&Value>) -> Result<Vec<i64>> {
    match value {
        Some(Value::Array(list)) => list.iter().map(|value| whole_id(field, value)).collect(),
        other => Ok(id(field, other)?.into_iter().collect()),
    }
}

fn whole_id(field: &str, value: &Value) -> Result<i64> {
    value.as_i64().ok_or_else(|| Error::InvalidConfig {
        path: None,
        field: field.to_owned(),
        expected: "a token id, a whole number without quotes".to_owned(),
        got: value.to_string(),
    })
}

pub(super) fn read_config(path: &Path, object: Map<String, Value>) -> Result<DecoderConfig> {
    let mut fields = Fields::new(path, object);
    let model_type = fields.required_text("model_type")?;
    let family = Family::from_model_type(&model_type).ok_or_else(|| Error::UnsupportedConfig {
        path: None,
        field: "model_type".to_owned(),
        value: model_type,
    })?;
    if let Some(quantised) = fields.take("quantization_config").filter(|value| !value.is_null()) {
        return Err(unsupported("quantization_config", &quantised));
    }
    let special = SpecialIds {
        bos: id("bos_token_id", fields.take("bos_token_id").as_ref())?,
        eos: ids("eos_token_id", fields.take("eos_token_id").as_ref())?,
        pad: id("pad_token_id", fields.take("pad_token_id").as_ref())?,
    };
    let config = match family {
        Family::Gpt2 => read_gpt2(&mut fields, special)?,
        _ => read_rotary(&mut fields, family, special)?,
    };
    fields.finish()?;
    config.validate()?;
    Ok(config)
}

fn unsupported(field: &str, value: &Value) -> Error {
    Error::UnsupportedConfig { path: None, field: field.to_owned(), value: value.to_string() }
}

fn activation(field: &str, name: &str) -> Result<Activation> {
    match name {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
        "gelu" => Ok(Activation::Gelu),
        "relu" => Ok(Activation::Relu),
        _ => Err(unsupported(field, &json!(name))),
    }
}

/// A required size, refused before anything is computed from it.
fn size(fields: &mut Fields<'_>, field: &str, most: i64) -> Result<i64> {
    let size = fields.required_integer(field)?;
    check_size(field, size, most)?;
    Ok(size)
}

fn optional_size(fields: &mut Fields<'_>, field: &str, most: i64) -> Result<Option<i64>> {
    let size = fields.optional_integer(field)?;
    if let Some(size) = size {
        check_size(field, size, most)?;
    }
    Ok(size)
}

fn read_gpt2(fields: &mut Fields<'_>, special: SpecialIds) -> Result<DecoderConfig> {
    let hidden = size(fields, "n_embd", MOST_WIDTH)?;
    let heads = size(fields, "n_head", MOST_WIDTH)?;
    let layers = size(fields, "n_layer", MOST_LAYERS)?;
    fields.expect("add_cross_attention", &json!(false))?;
    fields.expect("scale_attn_by_inverse_layer_idx", &json!(false))?;
    // Upcasting changes nothing in f32; in lower precision libtorch accumulates in f32 by itself.
    fields.take("reorder_and_upcast_attn");
    let scaled = fields.boolean("scale_attn_weights", true)?;
    let head_dim = divide(hidden, heads)?;
    let name = fields.text("activation_function", "gelu_new")?;
    Ok(DecoderConfig {
        family: Family::Gpt2,
        vocab: size(fields, "vocab_size", MOST_ROWS)?,
        hidden,
        layers,
        heads,
        kv_heads: heads,
        head_dim,
        intermediate: optional_size(fields, "n_inner", MOST_WIDTH)?.unwrap_or(4 * hidden),
        max_positions: size(fields, "n_positions", MOST_ROWS)?,
        norm_epsilon: fields.number("layer_norm_epsilon", 1e-5)?,
        activation: activation("activation_function", &name)?,
        qkv_bias: true,
        output_bias: true,
        mlp_bias: true,
        positions: Positions::Learned,
        local_rope: None,
        window: None,
        windowed_layers: Vec::new(),
        query_scale: if scaled { 1.0 / (head_dim as f64).sqrt() } else { 1.0 },
        attention_softcap: None,
        logit_softcap: None,
        tied: fields.boolean("tie_word_embeddings", true)?,
        initializer_range: fields.number("initializer_range", 0.02)?,
        special,
    })
}

fn divide(hidden: i64, heads: i64) -> Result<i64> {
    if heads < 1 || hidden % heads != 0 {
        return Err(Error::InvalidConfig {
            path: None,
            field: "num_attention_heads".to_owned(),
            expected: format!("a divisor of hidden size {hidden}"),
            got: heads.to_string(),
        });
    }
    Ok(hidden / heads)
}

fn read_rotary(fields: &mut Fields<'_>, family: Family, special: SpecialIds) -> Result<DecoderConfig> {
    let gemma = matches!(family, Family::Gemma2 | Family::Gemma3);
    let hidden = size(fields, "hidden_size", MOST_WIDTH)?;
    let heads = size(fields, "num_attention_heads", MOST_WIDTH)?;
    let layers = size(fields, "num_hidden_layers", MOST_LAYERS)?;
    let max_positions = size(fields, "max_position_embeddings", MOST_ROWS)?;
    let kv_heads = match family {
        Family::Llama | Family::Phi3 => {
            optional_size(fields, "num_key_value_heads", MOST_WIDTH)?.unwrap_or(heads)
        }
        _ => size(fields, "num_key_value_heads", MOST_WIDTH)?,
    };
    let head_dim = match (optional_size(fields, "head_dim", MOST_WIDTH)?, family) {
        (Some(head_dim), _) => head_dim,
        (None, Family::Qwen3) => 128,
        (None, Family::Gemma2 | Family::Gemma3) => 256,
        (None, _) => divide(hidden, heads)?,
    };
    let act = if gemma {
        // `hidden_act` of early Gemma files is a leftover that the reference ignores as well.
        fields.take("hidden_act");
        activation("hidden_activation", &fields.text("hidden_activation", "gelu_pytorch_tanh")?)?
    } else {
        activation("hidden_act", &fields.text("hidden_act", "silu")?)?
    };
    let attention_bias = match family {
        Family::Qwen2 => false,
        _ => fields.boolean("attention_bias", false)?,
    };
    let mlp_bias = family == Family::Llama && fields.boolean("mlp_bias", false)?;
    let query_scale = if gemma {
        let scalar = fields.number("query_pre_attn_scalar", 256.0)?;
        1.0 / scalar.sqrt()
    } else {
        1.0 / (head_dim as f64).sqrt()
    };
    let (attention_softcap, logit_softcap) = if gemma {
        (
            fields.optional_number("attn_logit_softcapping")?,
            fields.optional_number("final_logit_softcapping")?,
        )
    } else {
        (None, None)
    };
    let (window, windowed_layers) = read_windows(fields, family, layers)?;
    let (rope, local_rope) = read_rope(fields, family, head_dim, max_positions)?;
    Ok(DecoderConfig {
        family,
        vocab: size(fields, "vocab_size", MOST_ROWS)?,
        hidden,
        layers,
        heads,
        kv_heads,
        head_dim,
        intermediate: size(fields, "intermediate_size", MOST_WIDTH)?,
        max_positions,
        norm_epsilon: fields.number("rms_norm_eps", if family == Family::Phi3 { 1e-5 } else { 1e-6 })?,
        activation: act,
        qkv_bias: attention_bias || family == Family::Qwen2,
        output_bias: attention_bias,
        mlp_bias,
        positions: Positions::Rotary(rope),
        local_rope,
        window,
        windowed_layers,
        query_scale,
        attention_softcap,
        logit_softcap,
        tied: fields.boolean("tie_word_embeddings", gemma)?,
        initializer_range: fields.number("initializer_range", 0.02)?,
        special,
    })
}

/// Which layers see a window, and how long it is.
fn read_windows(fields: &mut Fields<'_>, family: Family, layers: i64) -> Result<(Option<i64>, Vec<bool>)> {
    let given = fields.take("sliding_window").filter(|value| !value.is_null());
    let given = match (&given, family) {
        (None, Family::Gemma2 | Family::Gemma3) => Some(4096),
        (None, _) => None,
        (Some(value), _) => Some(value.as_i64().ok_or_else(|| unsupported("sliding_window", value))?),
    };
    let used = match family {
        Family::Llama => {
            if let Some(window) = given {
                return Err(unsupported("sliding_window", &json!(window)));
            }
            false
        }
        Family::Qwen2 | Family::Qwen3 => fields.boolean("use_sliding_window", false)?,
        _ => given.is_some(),
    };
    let first_windowed = fields.optional_integer("max_window_layers")?.unwrap_or(28);
    let pattern = match fields.optional_integer("sliding_window_pattern")? {
        Some(pattern) => Some(pattern),
        None => fields.optional_integer("_sliding_window_pattern")?,
    };
    if let Some(pattern) = pattern.filter(|pattern| *pattern < 1) {
        return Err(Error::InvalidConfig {
            path: None,
            field: "sliding_window_pattern".to_owned(),
            expected: "at least 1".to_owned(),
            got: pattern.to_string(),
        });
    }
    let types = fields.take("layer_types").filter(|value| !value.is_null());
    if let Some(types) = types {
        let windowed = read_layer_types(&types)?;
        if windowed.len() as i64 != layers {
            return Err(Error::InvalidConfig {
                path: None,
                field: "layer_types".to_owned(),
                expected: format!("{layers} entries"),
                got: windowed.len().to_string(),
            });
        }
        // These families have one kind of layer: the reference looks at the window alone, and a saved folder could not
        // say which layers have it.
        if matches!(family, Family::Mistral | Family::Phi3) && used && windowed.contains(&false) {
            return Err(unsupported("layer_types", &types));
        }
        return if windowed.contains(&true) && used {
            Ok((given, windowed))
        } else if windowed.contains(&true) {
            Err(unsupported("layer_types", &types))
        } else {
            Ok((None, Vec::new()))
        };
    }
    if !used {
        return Ok((None, Vec::new()));
    }
    let windowed = (0..layers)
        .map(|layer| match family {
            Family::Qwen2 | Family::Qwen3 => layer >= first_windowed,
            Family::Gemma2 => layer % 2 == 0,
            Family::Gemma3 => (layer + 1) % pattern.unwrap_or(6) != 0,
            _ => true,
        })
        .collect();
    Ok((given, windowed))
}

fn read_layer_types(types: &Value) -> Result<Vec<bool>> {
    let list = types.as_array().ok_or_else(|| unsupported("layer_types", types))?;
    list.iter()
        .map(|layer| match layer.as_str() {
            Some("full_attention") => Ok(false),
            Some("sliding_attention") => Ok(true),
            _ => Err(unsupported("layer_types", layer)),
        })
        .collect()
}
