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
    let parameters = fields.take("rope_parameters").filter(|value| !says_nothing(value));
    let scaling = fields.take("rope_scaling").filter(|value| !says_nothing(value));
    let original = fields.optional_integer(ORIGINAL)?;
    let around = Around { family, head_dim, theta, partial, max_positions, original };
    if family == Family::Gemma3 {
        let (global, local) = match parameters {
            Some(Value::Object(mut both)) if both.contains_key("full_attention") => {
                (both.shift_remove("full_attention"), both.shift_remove("sliding_attention"))
            }
            // One flat object speaks of the global layers, as `rope_scaling` did.
            other => (other, None),
        };
        let global = read_both(fields, global, scaling, &around)?;
        let local = read_one(fields, "rope_parameters", local, &Around { theta: local_theta, ..around })?;
        return Ok((global, Some(local)));
    }
    Ok((read_both(fields, parameters, scaling, &around)?, None))
}

/// What stands outside the object of rotary parameters, and counts where that is silent.
struct Around {
    family: Family,
    head_dim: i64,
    theta: f64,
    partial: f64,
    max_positions: i64,
    /// `original_max_position_embeddings` of the outermost object.
    original: Option<i64>,
}

fn says_nothing(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

/// One rope from the newer spelling or the older one; where a file has both, they have to mean the same.
fn read_both(
    fields: &Fields<'_>,
    parameters: Option<Value>,
    scaling: Option<Value>,
    around: &Around,
) -> Result<Rope> {
    let (Some(newer), Some(older)) = (&parameters, &scaling) else {
        let prefix =
            if parameters.is_none() && scaling.is_some() { "rope_scaling" } else { "rope_parameters" };
        return read_one(fields, prefix, parameters.or(scaling), around);
    };
    let (newer_text, older_text) = (newer.to_string(), older.to_string());
    // The older spelling has its base and its share outside: what the newer one says of them counts for both.
    let outside = |field: &str, other: f64| newer.get(field).and_then(Value::as_f64).unwrap_or(other);
    let theta = outside("rope_theta", around.theta);
    let partial = outside("partial_rotary_factor", around.partial);
    let rope = read_one(fields, "rope_parameters", parameters, around)?;
    if read_one(fields, "rope_scaling", scaling, &Around { theta, partial, ..*around })? != rope {
        return Err(Error::InvalidConfig {
            path: None,
            field: "rope_scaling".to_owned(),
            expected: format!("absent or the same as rope_parameters, which is {newer_text}"),
            got: older_text,
        });
    }
    Ok(rope)
}

fn read_one(
    parent: &Fields<'_>,
    prefix: &'static str,
    value: Option<Value>,
    around: &Around,
) -> Result<Rope> {
    let object = match value {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(object)) => object,
        Some(other) => {
            return Err(Error::UnsupportedConfig {
                path: None,
                field: prefix.to_owned(),
                value: other.to_string(),
            });
        }
    };
    let mut fields = parent.nested(prefix, object);
    let theta = fields.number("rope_theta", around.theta)?;
    let partial = fields.number("partial_rotary_factor", around.partial)?;
    let older = fields.optional_text("type")?;
    let kind = fields.text("rope_type", older.as_deref().unwrap_or("default"))?;
    if let Some(older) = older.filter(|older| *older != kind) {
        return Err(Error::InvalidConfig {
            path: None,
            field: format!("{prefix}.type"),
            expected: format!("absent or {kind}, as rope_type says"),
            got: older,
        });
    }
    // The reference turns every other type of this family into longrope, which is not computed here.
    if around.family == Family::Phi3 && kind != "default" {
        return Err(Error::UnsupportedConfig {
            path: None,
            field: format!("{prefix}.rope_type"),
            value: kind,
        });
    }
    let scaling = match kind.as_str() {
        "default" => {
            // Qwen and Phi files keep these beside a default type; they say nothing there.
            fields.take("factor");
            fields.take(ORIGINAL);
            None
        }
        "linear" => Some(RopeScaling::Linear { factor: fields.required_number("factor")? }),
        "llama3" => Some(RopeScaling::Llama3 {
            factor: fields.required_number("factor")?,
            low_freq_factor: fields.required_number("low_freq_factor")?,
            high_freq_factor: fields.required_number("high_freq_factor")?,
            original_max_positions: match original(&mut fields, prefix, around)? {
                Some(original) => original,
                None => fields.required_integer(ORIGINAL)?,
            },
        }),
        "yarn" => Some(read_yarn(&mut fields, prefix, around)?),
        _ => {
            return Err(Error::UnsupportedConfig {
                path: None,
                field: format!("{prefix}.rope_type"),
                value: kind,
            });
        }
    };
    fields.finish()?;
    Ok(Rope { theta, rotary_dim: (around.head_dim as f64 * partial) as i64, scaling })
}

const ORIGINAL: &str = "original_max_position_embeddings";

/// The length of pre-training, which may stand inside the object of rotary parameters or outside.
fn original(fields: &mut Fields<'_>, prefix: &str, around: &Around) -> Result<Option<i64>> {
    let inside = fields.optional_integer(ORIGINAL)?;
    match (inside, around.original) {
        (Some(inside), Some(outside)) if inside != outside => Err(Error::InvalidConfig {
            path: None,
            field: ORIGINAL.to_owned(),
            expected: format!("absent or {inside}, as {prefix}.{ORIGINAL} says"),
            got: outside.to_string(),
        }),
        (inside, outside) => Ok(inside.or(outside)),
    }
}

fn read_yarn(fields: &mut Fields<'_>, prefix: &str, around: &Around) -> Result<RopeScaling> {
    let max_positions = around.max_positions;
    let original_max_positions = original(fields, prefix, around)?.unwrap_or(max_positions);
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
        Some(local) if config.family == Family::Gemma3 => json!({
            "full_attention": global,
            "sliding_attention": write_one(config, local),
        }),
        _ => global,
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
