//! Encoders with rotary positions: ModernBERT and NomicBERT, and how rotary settings are written.
//!
//! **Source** Warner et al. 2024, "Smarter, Better, Faster, Longer"; Nussbaum et al. 2024, "Nomic Embed".

use serde_json::{Map, Value};

use super::Family;
use super::family::{activation, divides, divides_anything};
use crate::Result;
use crate::config::{Activation, EncoderConfig, Positions, Window};
use crate::fields::Fields;

/// Heads for tasks, initial values, dropout, and how the reference computes the same.
pub(super) const MODERNBERT_HARMLESS: &[&str] = &[
    "classifier_activation",
    "classifier_bias",
    "classifier_pooling",
    "cls_token_id",
    "decoder_bias",
    "deterministic_flash_attn",
    "embedding_dropout",
    "initializer_cutoff_factor",
    // Beside `norm_eps`, which is what is used.
    "layer_norm_eps",
    "mlp_dropout",
    "position_embedding_type",
    "reference_compile",
    "repad_logits_with_grad",
    "sep_token_id",
    "sparse_pred_ignore_index",
    "sparse_prediction",
];

/// As [`MODERNBERT_HARMLESS`], of the form in which the model's authors wrote it.
pub(super) const NOMIC_HARMLESS: &[&str] = &[
    "attn_pdrop",
    "auto_map",
    "dense_seq_output",
    "embd_pdrop",
    "fused_bias_fc",
    "fused_dropout_add_ln",
    "head_dim",
    "max_trained_positions",
    "pad_vocab_size_multiple",
    "parallel_block_tied_norm",
    "reorder_and_upcast_attn",
    "resid_pdrop",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "use_flash_attn",
    "use_xentropy",
];

pub(super) fn modernbert(fields: &mut Fields<'_>) -> Result<EncoderConfig> {
    let hidden = fields.size("hidden_size")?;
    let heads = fields.size("num_attention_heads")?;
    divides(fields, "num_attention_heads", heads, hidden, "the width")?;
    let layers = fields.size("num_hidden_layers")?;
    let every = fields.optional_size("global_attn_every_n_layers")?.unwrap_or(3);
    let local = layer_types(fields, layers, |layer| layer % every != 0)?;
    let bases = Bases { global: "global_rope_theta", local: "local_rope_theta", default: 160_000.0 };
    let positions = bases.read(fields, &local)?;
    Ok(EncoderConfig {
        family: Family::ModernBert,
        vocab: fields.vocabulary()?,
        hidden,
        layers,
        heads,
        kv_heads: heads,
        head_dim: even(fields, "num_attention_heads", hidden / heads)?,
        intermediate: fields.size("intermediate_size")?,
        max_positions: fields.size("max_position_embeddings")?,
        positions,
        padding_id: None,
        token_types: 0,
        norm_eps: fields.number("norm_eps")?,
        biases: [
            fields.flag("norm_bias")?.unwrap_or(false),
            fields.flag("attention_bias")?.unwrap_or(false),
            fields.flag("mlp_bias")?.unwrap_or(false),
        ],
        activation: activation(fields, "hidden_activation", &["gelu", "gelu_pytorch_tanh", "relu", "silu"])?,
        score_width: (hidden / heads) as f64,
        causal: false,
        window: Some(Window { reach: fields.size("local_attention")? / 2, layers: local }),
    })
}

pub(super) fn nomic_bert(fields: &mut Fields<'_>) -> Result<EncoderConfig> {
    // The authors wrote the fields of GPT-2, the reference library those of BERT.
    let old = fields.values.contains_key("n_embd");
    let name = |old_name: &'static str, new: &'static str| if old { old_name } else { new };
    let hidden = fields.size(name("n_embd", "hidden_size"))?;
    let heads_field = name("n_head", "num_attention_heads");
    let heads = fields.size(heads_field)?;
    divides(fields, heads_field, heads, hidden, "the width")?;
    let base = if old {
        for (field, value) in [
            ("activation_function", "swiglu"),
            ("causal", "false"),
            ("mlp_fc1_bias", "false"),
            ("mlp_fc2_bias", "false"),
            ("parallel_block", "false"),
            ("prenorm", "false"),
            ("qkv_proj_bias", "false"),
            ("rotary_emb_fraction", "1.0"),
            ("rotary_emb_interleaved", "false"),
            ("rotary_emb_scale_base", "null"),
            ("rotary_scaling_factor", "null"),
            ("scale_attn_by_inverse_layer_idx", "false"),
            ("scale_attn_weights", "true"),
        ] {
            fields.allow(field, &[value])?;
        }
        fields.allow("use_rms_norm", &["false", "null"])?;
        fields.divisor("rotary_emb_base")?
    } else {
        fields.allow("hidden_act", &["silu"])?;
        let rope = take_rope(fields)?;
        theta(fields, rope.as_ref())?.unwrap_or(1000.0)
    };
    Ok(EncoderConfig {
        family: Family::NomicBert,
        vocab: fields.vocabulary()?,
        hidden,
        layers: fields.size(name("n_layer", "num_hidden_layers"))?,
        heads,
        kv_heads: heads,
        head_dim: even(fields, heads_field, hidden / heads)?,
        intermediate: fields.size(name("n_inner", "intermediate_size"))?,
        max_positions: fields.size(name("n_positions", "max_position_embeddings"))?,
        positions: Positions::Rotary { base, local_base: base },
        padding_id: None,
        token_types: fields.size("type_vocab_size")?,
        norm_eps: fields.number(name("layer_norm_epsilon", "layer_norm_eps"))?,
        biases: [true, false, false],
        activation: Activation::Silu,
        score_width: (hidden / heads) as f64,
        causal: false,
        window: None,
    })
}

/// Which layers see a neighbourhood only: by `layer_types`, or by the older rule.
pub(super) fn layer_types(
    fields: &mut Fields<'_>,
    layers: i64,
    rule: impl Fn(i64) -> bool,
) -> Result<Vec<bool>> {
    let types = match fields.values.remove("layer_types") {
        None | Some(Value::Null) => return Ok((0..layers).map(rule).collect()),
        Some(types) => types,
    };
    let local = |kind: &Value| match kind.as_str() {
        Some("full_attention") => Some(false),
        Some("sliding_attention") => Some(true),
        _ => None,
    };
    let read: Option<Vec<bool>> = types.as_array().and_then(|types| types.iter().map(local).collect());
    read.filter(|read| read.len() as i64 == layers).ok_or_else(|| {
        let expected = format!("full_attention or sliding_attention for each of {layers} layers");
        fields.invalid("layer_types", &types.to_string(), expected)
    })
}

/// Where the wavelengths of both kinds of layers are written.
pub(super) struct Bases {
    pub(super) global: &'static str,
    pub(super) local: &'static str,
    pub(super) default: f64,
}

impl Bases {
    /// Of `rope_parameters`, one for each kind of layer, or of the older fields.
    pub(super) fn read(&self, fields: &mut Fields<'_>, local: &[bool]) -> Result<Positions> {
        let (old, old_local) = (fields.optional_divisor(self.global)?, fields.optional_divisor(self.local)?);
        let Some(mut rope) = take_rope(fields)? else {
            return Ok(Positions::Rotary {
                base: old.unwrap_or(self.default),
                local_base: old_local.unwrap_or(10_000.0),
            });
        };
        let mut of = |kind: &str| match rope.remove(kind) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(one)) => theta(fields, Some(&one)),
            Some(other) => Err(fields.invalid("rope_parameters", &other.to_string(), "an object".into())),
        };
        let (base, local_base) = (of("full_attention")?, of("sliding_attention")?);
        let single = theta(fields, Some(&rope))?;
        let any_local = local.contains(&true);
        Ok(Positions::Rotary {
            base: base.or(single).or(old).unwrap_or(self.default),
            local_base: local_base.or(old_local).or(single.filter(|_| !any_local)).unwrap_or(10_000.0),
        })
    }
}

/// Takes `rope_parameters`, and refuses a scaling of the older form.
pub(super) fn take_rope(fields: &mut Fields<'_>) -> Result<Option<Map<String, Value>>> {
    fields.allow("rope_scaling", &["null"])?;
    match fields.values.remove("rope_parameters") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(rope)) => Ok(Some(rope)),
        Some(other) => Err(fields.invalid("rope_parameters", &other.to_string(), "an object".into())),
    }
}

/// The base of one set of rotary settings, which may hold nothing else that changes them.
pub(super) fn theta(fields: &Fields<'_>, rope: Option<&Map<String, Value>>) -> Result<Option<f64>> {
    let Some(rope) = rope else { return Ok(None) };
    let mut base = None;
    for (key, value) in rope {
        match (key.as_str(), value) {
            ("rope_theta", value) if value.as_f64().is_some_and(divides_anything) => {
                base = value.as_f64();
            }
            ("rope_type", Value::String(kind)) if kind == "default" => {}
            _ => return Err(fields.unsupported(&format!("rope_parameters.{key}"), &value.to_string())),
        }
    }
    Ok(base)
}

/// Refuses a head whose halves cannot be turned against each other.
pub(super) fn even(fields: &Fields<'_>, field: &str, width: i64) -> Result<i64> {
    if width % 2 == 0 {
        return Ok(width);
    }
    Err(fields.invalid(field, &width.to_string(), "an even width of a head, for rotary positions".into()))
}
