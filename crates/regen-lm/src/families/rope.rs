//! Rotary parameters in both spellings of `config.json`.

use serde_json::{Map, Value, json};

use super::arrangement::Family;
use super::fields::Fields;
use crate::config::{DecoderConfig, Positions, Rope, RopeScaling};
use crate::error::{Error, Result};

impl RopeScaling {
    /// The length of pre-training, where the scaling depends on it.
    pub(crate) fn original_max_positions(&self) -> Option<i64> {
        match self {
            Self::Linear { .. } => None,
            Self::Llama3 { original_max_positions, .. } | Self::Yarn { original_max_positions, .. } => {
                Some(*original_max_positions)
            }
        }
    }
}

/// The global rope and, for Gemma 3, the one of windowed layers.
pub(super) fn read_rope(
    fields: &mut Fields<'_>,
    family: Family,
    head_dim: i64,
    max_positions: i64,
) -> Result<(Rope, Option<Rope>)> {
    let default_theta = if family == Family::Gemma3 { 1e6 } else { 1e4 };
    let theta = fields.number("rope_theta", default_theta)?;
    let local_theta = fields.number("rope_local_base_freq", 1e4)?;
    let partial = fields.number("partial_rotary_factor", 1.0)?;
    let parameters = fields.take("rope_parameters").filter(|value| !value.is_null());
    let scaling = fields.take("rope_scaling").filter(|value| !value.is_null());
    let shape = |factor: f64| (head_dim as f64 * factor) as i64;
    if family == Family::Gemma3 {
        let (global, local) = match parameters {
            Some(Value::Object(mut both)) if both.contains_key("full_attention") => {
                (both.shift_remove("full_attention"), both.shift_remove("sliding_attention"))
            }
            // One flat object speaks of the global layers, as `rope_scaling` did.
            other => (other.or(scaling), None),
        };
        let global = read_one(fields, global, theta, shape, partial, max_positions)?;
        let local = read_one(fields, local, local_theta, shape, partial, max_positions)?;
        return Ok((global, Some(local)));
    }
    let rope = read_one(fields, parameters.or(scaling), theta, shape, partial, max_positions)?;
    Ok((rope, None))
}

fn read_one(
    parent: &Fields<'_>,
    value: Option<Value>,
    theta: f64,
    shape: impl Fn(f64) -> i64,
    partial: f64,
    max_positions: i64,
) -> Result<Rope> {
    let object = match value {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(object)) => object,
        Some(other) => {
            return Err(Error::UnsupportedConfig {
                field: "rope_parameters".to_owned(),
                value: other.to_string(),
            });
        }
    };
    let mut fields = parent.nested("rope_parameters", object);
    let theta = fields.number("rope_theta", theta)?;
    let partial = fields.number("partial_rotary_factor", partial)?;
    let older = fields.text("type", "default")?;
    let kind = fields.text("rope_type", &older)?;
    let scaling = match kind.as_str() {
        "default" => {
            // Qwen and Phi files keep these beside a default type; they say nothing there.
            fields.take("factor");
            fields.take("original_max_position_embeddings");
            None
        }
        "linear" => Some(RopeScaling::Linear { factor: fields.required_number("factor")? }),
        "llama3" => Some(RopeScaling::Llama3 {
            factor: fields.required_number("factor")?,
            low_freq_factor: fields.required_number("low_freq_factor")?,
            high_freq_factor: fields.required_number("high_freq_factor")?,
            original_max_positions: fields.required_integer("original_max_position_embeddings")?,
        }),
        "yarn" => Some(read_yarn(&mut fields, max_positions)?),
        _ => {
            return Err(Error::UnsupportedConfig {
                field: "rope_parameters.rope_type".to_owned(),
                value: kind,
            });
        }
    };
    fields.finish()?;
    Ok(Rope { theta, rotary_dim: shape(partial), scaling })
}

fn read_yarn(fields: &mut Fields<'_>, max_positions: i64) -> Result<RopeScaling> {
    let original_max_positions =
        fields.optional_integer("original_max_position_embeddings")?.unwrap_or(max_positions);
    let factor = match fields.optional_number("factor")? {
        Some(factor) => factor,
        None => max_positions as f64 / original_max_positions as f64,
    };
    // **Source** Peng et al. 2023, equation 22: √(1/t) = 0.1 ln(s) + 1.
    let magnitude = |weight: f64| {
        if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 }
    };
    let mscale = fields.optional_number("mscale")?;
    let mscale_all_dim = fields.optional_number("mscale_all_dim")?;
    let attention_factor = match (fields.optional_number("attention_factor")?, mscale, mscale_all_dim) {
        (Some(given), _, _) => given,
        (None, Some(some), Some(all)) if some != 0.0 && all != 0.0 => magnitude(some) / magnitude(all),
        _ => magnitude(1.0),
    };
    Ok(RopeScaling::Yarn {
        factor,
        beta_fast: fields.number("beta_fast", 32.0)?,
        beta_slow: fields.number("beta_slow", 1.0)?,
        original_max_positions,
        attention_factor,
        truncate: fields.boolean("truncate", true)?,
    })
}

/// `rope_parameters` in the form of transformers 5.
pub(super) fn write_rope(config: &DecoderConfig) -> Value {
    let Positions::Rotary(rope) = &config.positions else {
        return Value::Null;
    };
    let global = write_one(config, rope);
    match &config.local_rope {
        Some(local) => json!({
            "full_attention": global,
            "sliding_attention": write_one(config, local),
        }),
        None => global,
    }
}

fn write_one(config: &DecoderConfig, rope: &Rope) -> Value {
    let mut object = match &rope.scaling {
        None => json!({ "rope_type": "default" }),
        Some(RopeScaling::Linear { factor }) => json!({ "rope_type": "linear", "factor": factor }),
        Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_positions }) => {
            json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": original_max_positions,
            })
        }
        Some(RopeScaling::Yarn {
            factor,
            beta_fast,
            beta_slow,
            original_max_positions,
            attention_factor,
            truncate,
        }) => json!({
            "rope_type": "yarn",
            "factor": factor,
            "beta_fast": beta_fast,
            "beta_slow": beta_slow,
            "original_max_position_embeddings": original_max_positions,
            "attention_factor": attention_factor,
            "truncate": truncate,
        }),
    };
    if let Value::Object(fields) = &mut object {
        fields.insert("rope_theta".to_owned(), json!(rope.theta));
        if rope.rotary_dim != config.head_dim {
            // Half a dimension above the boundary, so that no rounding can lose one.
            let factor = (rope.rotary_dim as f64 + 0.5) / config.head_dim as f64;
            fields.insert("partial_rotary_factor".to_owned(), json!(factor));
        }
    }
    object
}
