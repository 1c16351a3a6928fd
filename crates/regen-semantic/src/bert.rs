//! BERT's encoder: embeddings, then layers of attention and a two-layer perceptron, each with a layer norm after it.
//!
//! **Source** Devlin et al. 2019, "BERT", section 3; layer norm after the residual as in the original.

use regen_torch::{Checkpoint, Placement};
use tch::{Device, Kind, Tensor};

use crate::{Activation, EncoderConfig, Error, Result};

/// Stored tensors that a sentence encoder does not read: the classification head's pooler and a constant.
const UNUSED: &[&str] = &["embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"];

/// A matrix `[out, in]` and its bias.
#[derive(Debug)]
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn forward(&self, input: &Tensor) -> std::result::Result<Tensor, tch::TchError> {
        input.f_linear(&self.weight, Some(&self.bias))
    }
}

#[derive(Debug)]
struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    fn forward(&self, input: &Tensor) -> std::result::Result<Tensor, tch::TchError> {
        input.f_layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, true)
    }
}

#[derive(Debug)]
struct Layer {
    /// Query, key and value as one product, `[3 · hidden, hidden]`.
    query_key_value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

/// The transformer of a sentence encoder.
#[derive(Debug)]
pub(crate) struct Bert {
    heads: i64,
    activation: Activation,
    word: Tensor,
    /// Position embeddings with the embedding of token type 0 added: every token has that type.
    position: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    device: Device,
}

impl Bert {
    /// Takes the weights from `checkpoint`, refusing missing, surplus and mis-shaped ones.
    pub(crate) fn load(
        config: &EncoderConfig,
        checkpoint: &Checkpoint,
        placement: Placement,
    ) -> Result<Self> {
        // Checkpoints saved with a task head prefix the encoder's names.
        let prefix = if checkpoint.contains("bert.embeddings.word_embeddings.weight") { "bert." } else { "" };
        let taken = std::cell::RefCell::new(Vec::new());
        let tensor = |name: &str, shape: &[i64]| -> Result<Tensor> {
            let name = format!("{prefix}{name}");
            let stored = checkpoint.tensor(&name, shape)?;
            taken.borrow_mut().push(name);
            stored
                .f_to_device(placement.device)
                .and_then(|t| t.f_to_kind(placement.precision.kind()))
                .map_err(torch("place a weight"))
        };
        let linear = |name: &str, output: i64, input: i64| -> Result<Linear> {
            Ok(Linear {
                weight: tensor(&format!("{name}.weight"), &[output, input])?,
                bias: tensor(&format!("{name}.bias"), &[output])?,
            })
        };
        let hidden = config.hidden;
        let norm = |name: &str| -> Result<LayerNorm> {
            Ok(LayerNorm {
                weight: tensor(&format!("{name}.weight"), &[hidden])?,
                bias: tensor(&format!("{name}.bias"), &[hidden])?,
                eps: config.layer_norm_eps,
            })
        };
        let mut layers = Vec::new();
        for index in 0..config.layers {
            let at = |part: &str| format!("encoder.layer.{index}.{part}");
            let parts = ["query", "key", "value"]
                .map(|part| linear(&at(&format!("attention.self.{part}")), hidden, hidden));
            let [query, key, value] = parts;
            let (query, key, value) = (query?, key?, value?);
            layers.push(Layer {
                query_key_value: Linear {
                    weight: Tensor::cat(&[query.weight, key.weight, value.weight], 0),
                    bias: Tensor::cat(&[query.bias, key.bias, value.bias], 0),
                },
                attention_output: linear(&at("attention.output.dense"), hidden, hidden)?,
                attention_norm: norm(&at("attention.output.LayerNorm"))?,
                intermediate: linear(&at("intermediate.dense"), config.intermediate, hidden)?,
                output: linear(&at("output.dense"), hidden, config.intermediate)?,
                output_norm: norm(&at("output.LayerNorm"))?,
            });
        }
        let types = tensor("embeddings.token_type_embeddings.weight", &[config.token_types, hidden])?;
        let positions = tensor("embeddings.position_embeddings.weight", &[config.max_positions, hidden])?;
        let bert = Self {
            heads: config.heads,
            activation: config.activation,
            word: tensor("embeddings.word_embeddings.weight", &[config.vocab, hidden])?,
            position: positions + types.get(0),
            norm: norm("embeddings.LayerNorm")?,
            layers,
            device: placement.device,
        };
        let taken = taken.into_inner();
        let used = |name: &str| {
            let bare = name.strip_prefix(prefix).unwrap_or(name);
            taken.iter().any(|t| t == name) || UNUSED.contains(&bare)
        };
        checkpoint.check_surplus(used, regen_torch::Surplus::Refuse)?;
        Ok(bert)
    }

    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// `ids: [batch, seq]` i64 below the vocabulary, `lengths: [batch]` real tokens of each row (padding on the right)
    /// `→ [batch, seq, hidden]`. Vectors of padding are arbitrary.
    pub(crate) fn forward(&self, ids: &Tensor, lengths: &Tensor, padded: bool) -> Result<Tensor> {
        let seq = ids.size()[1];
        let run = || -> std::result::Result<Tensor, tch::TchError> {
            let words = Tensor::f_embedding(&self.word, ids, -1, false, false)?;
            let mut state = self.norm.forward(&words.f_add(&self.position.f_narrow(0, 0, seq)?)?)?;
            let mask = if padded {
                let positions = Tensor::f_arange(seq, (Kind::Int64, ids.device()))?;
                let real = positions.f_unsqueeze(0)?.f_lt_tensor(&lengths.f_unsqueeze(1)?)?;
                Some(real.f_unsqueeze(1)?.f_unsqueeze(1)?)
            } else {
                None
            };
            for layer in &self.layers {
                state = self.layer(layer, &state, mask.as_ref())?;
            }
            Ok(state)
        };
        run().map_err(torch("encode a batch"))
    }

    fn layer(
        &self,
        layer: &Layer,
        state: &Tensor,
        mask: Option<&Tensor>,
    ) -> std::result::Result<Tensor, tch::TchError> {
        let size = state.size();
        let [batch, seq, hidden] = [size[0], size[1], size[2]];
        let projected = layer.query_key_value.forward(state)?;
        // [batch, seq, 3, heads, head_dim] → three of [batch, heads, seq, head_dim]
        let split =
            projected.f_view([batch, seq, 3, self.heads, hidden / self.heads])?.f_permute([2, 0, 3, 1, 4])?;
        let attended = Tensor::f_scaled_dot_product_attention(
            &split.f_get(0)?,
            &split.f_get(1)?,
            &split.f_get(2)?,
            mask,
            0.0,
            false,
            None,
            false,
        )?;
        let joined = attended.f_transpose(1, 2)?.f_reshape([batch, seq, hidden])?;
        let state = layer.attention_norm.forward(&layer.attention_output.forward(&joined)?.f_add(state)?)?;
        let inner = layer.intermediate.forward(&state)?;
        let inner = match self.activation {
            Activation::Gelu => inner.f_gelu("none")?,
            Activation::GeluTanh => inner.f_gelu("tanh")?,
            Activation::Relu => inner.f_relu()?,
        };
        layer.output_norm.forward(&layer.output.forward(&inner)?.f_add(&state)?)
    }
}

pub(crate) fn torch(action: &'static str) -> impl Fn(tch::TchError) -> Error {
    move |source| Error::Torch { action, source }
}
