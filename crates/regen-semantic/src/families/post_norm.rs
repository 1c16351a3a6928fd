//! BERT and its kin: absolute positions, a norm after each residual.

use super::Family;
use super::family::{activation, divides};
use crate::Result;
use crate::config::{EncoderConfig, Positions};
use crate::fields::Fields;

pub(super) fn read(family: Family, fields: &mut Fields<'_>) -> Result<EncoderConfig> {
    let distil = family == Family::DistilBert;
    let name = |plain: &'static str, in_distil: &'static str| if distil { in_distil } else { plain };
    let known = ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu"];
    let activation = activation(fields, name("hidden_act", "activation"), &known)?;
    fields.allow("position_embedding_type", &["absolute"])?;
    fields.allow("is_decoder", &["false"])?;
    fields.allow("add_cross_attention", &["false"])?;
    let padding_id = match family {
        Family::Roberta => Some(fields.size("pad_token_id")?),
        // Written into the reference's model, whatever the configuration says.
        Family::Mpnet => Some(1),
        _ => None,
    };
    match family {
        // Only the initial values of a trainable table.
        Family::DistilBert => fields.allow("sinusoidal_pos_embds", &["false", "true"])?,
        // The reference computes its 32 buckets whatever the configuration says.
        Family::Mpnet => fields.allow("relative_attention_num_buckets", &["32"])?,
        _ => {}
    }
    let hidden = fields.size(name("hidden_size", "dim"))?;
    let heads_field = name("num_attention_heads", "n_heads");
    let heads = fields.size(heads_field)?;
    divides(fields, heads_field, heads, hidden, "the width")?;
    Ok(EncoderConfig {
        family,
        vocab: fields.vocabulary()?,
        hidden,
        layers: fields.size(name("num_hidden_layers", "n_layers"))?,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
        intermediate: fields.size(name("intermediate_size", "hidden_dim"))?,
        max_positions: fields.size("max_position_embeddings")?,
        positions: Positions::Table,
        padding_id,
        token_types: match family.names().token_types {
            Some(_) => fields.size("type_vocab_size")?,
            None => 0,
        },
        // DistilBERT's is written into the reference's model.
        norm_eps: if distil { 1e-12 } else { fields.number("layer_norm_eps")? },
        biases: [true; 3],
        activation,
        score_width: (hidden / heads) as f64,
        causal: false,
        window: None,
    })
}
