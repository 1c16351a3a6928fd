//! Embedders made of a language model's layers: Qwen3-Embedding and EmbeddingGemma.
//!
//! **Source** Zhang et al. 2025, "Qwen3 Embedding"; Vera et al. 2025, "EmbeddingGemma".

use super::Family;
use super::family::{activation, divides};
use super::rotary::{Bases, even, layer_types};
use crate::Result;
use crate::config::{EncoderConfig, Window};
use crate::fields::Fields;

/// Scores of the vocabulary, which are not computed, and windows that are switched off.
pub(super) const HARMLESS: &[&str] =
    &["cache_implementation", "final_logit_softcapping", "max_window_layers"];

pub(super) fn qwen3(fields: &mut Fields<'_>) -> Result<EncoderConfig> {
    fields.allow("use_sliding_window", &["false"])?;
    // Its width counts only where windows are used.
    fields.values.remove("sliding_window");
    let config = decoder(fields, Family::Qwen3, "hidden_act", |_| false, 10_000.0)?;
    if config.window.is_some() {
        return Err(fields.unsupported("layer_types", "sliding_attention"));
    }
    Ok(EncoderConfig { causal: true, ..config })
}

pub(super) fn gemma3(fields: &mut Fields<'_>) -> Result<EncoderConfig> {
    fields.allow("attn_logit_softcapping", &["null"])?;
    let both_ways = fields.flag("use_bidirectional_attention")?.unwrap_or(false);
    // Older files spell it without the underscore. Neither counts where there are `layer_types`.
    let newer = fields.optional_size("_sliding_window_pattern")?;
    let pattern = fields.optional_size("sliding_window_pattern")?.or(newer).unwrap_or(6);
    let width = fields.size("sliding_window")?;
    let score_width = fields.divisor("query_pre_attn_scalar")?;
    let rule = |layer: i64| (layer + 1) % pattern != 0;
    let config = decoder(fields, Family::Gemma3, "hidden_activation", rule, 1_000_000.0)?;
    // Both ways, the window is around the token; otherwise it ends with it.
    let reach = if both_ways { width / 2 } else { width - 1 };
    let window = config.window.map(|window| Window { reach, ..window });
    Ok(EncoderConfig { causal: !both_ways, window, score_width, ..config })
}

fn decoder(
    fields: &mut Fields<'_>,
    family: Family,
    activation_field: &str,
    rule: impl Fn(i64) -> bool,
    default_base: f64,
) -> Result<EncoderConfig> {
    let hidden = fields.size("hidden_size")?;
    let heads = fields.size("num_attention_heads")?;
    let kv_heads = fields.size("num_key_value_heads")?;
    divides(fields, "num_key_value_heads", kv_heads, heads, "the heads")?;
    let head_dim = match fields.optional_size("head_dim")? {
        Some(head_dim) => head_dim,
        None => {
            divides(fields, "num_attention_heads", heads, hidden, "the width")?;
            hidden / heads
        }
    };
    let layers = fields.size("num_hidden_layers")?;
    let local = layer_types(fields, layers, rule)?;
    let bases = Bases { global: "rope_theta", local: "rope_local_base_freq", default: default_base };
    let positions = bases.read(fields, &local)?;
    let attention_bias = fields.flag("attention_bias")?.unwrap_or(false);
    Ok(EncoderConfig {
        family,
        vocab: fields.vocabulary()?,
        hidden,
        layers,
        heads,
        kv_heads,
        head_dim: even(fields, "head_dim", head_dim)?,
        intermediate: fields.size("intermediate_size")?,
        max_positions: fields.size("max_position_embeddings")?,
        positions,
        padding_id: None,
        token_types: 0,
        norm_eps: fields.number("rms_norm_eps")?,
        biases: [false, attention_bias, false],
        activation: activation(fields, activation_field, &["silu", "gelu", "gelu_pytorch_tanh"])?,
        score_width: head_dim as f64,
        causal: true,
        window: local.contains(&true).then_some(Window { reach: 0, layers: local }),
    })
}
