//! The encoder's arithmetic: embeddings, then layers of attention and a two-layer perceptron, each with a layer norm
//! after its residual.
//!
//! Tokens of all texts of a batch lie one after another, `[tokens, hidden]`, so that no product is computed for padding;
//! only attention looks at texts, group by group of equal length.
//!
//! **Source** Devlin et al. 2019, "BERT", section 3; Song et al. 2020, "MPNet", for the relative bias.

use regen_torch::{Checkpoint, Placement};
use tch::{Device, Kind, Tensor};

use crate::{Activation, EncoderConfig, Error, Family, Result};

/// Stored tensors that a sentence encoder does not read: the classification head's pooler and a constant.
const UNUSED: &[&str] = &["embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"];

type Torch<T> = std::result::Result<T, tch::TchError>;

/// Texts of a batch that attention computes together: rows `[texts · seq]` of the batch, text by text.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) texts: i64,
    pub(crate) seq: i64,
    /// `[texts]` real tokens of each text if some are shorter than `seq` (padding on the right).
    pub(crate) lengths: Option<Tensor>,
}

impl Group {
    /// `[texts, seq]`, true at real tokens.
    pub(crate) fn real(&self) -> Option<Tensor> {
        let lengths = self.lengths.as_ref()?;
        let positions = Tensor::arange(self.seq, (Kind::Int64, lengths.device()));
        Some(positions.unsqueeze(0).lt_tensor(&lengths.unsqueeze(1)))
    }
}

/// Token ids and positions, `[tokens]` i64 each, of groups that follow one another.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) ids: Tensor,
    pub(crate) positions: Tensor,
    pub(crate) groups: Vec<Group>,
}

/// A matrix `[out, in]` and its bias.
#[derive(Debug)]
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn forward(&self, input: &Tensor) -> Torch<Tensor> {
        input.f_linear(&self.weight, Some(&self.bias))
    }

    fn share(&self) -> Self {
        Self { weight: self.weight.shallow_clone(), bias: self.bias.shallow_clone() }
    }
}

#[derive(Debug)]
struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    fn forward(&self, input: &Tensor) -> Torch<Tensor> {
        input.f_layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, true)
    }

    fn share(&self) -> Self {
        Self { weight: self.weight.shallow_clone(), bias: self.bias.shallow_clone(), eps: self.eps }
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

impl Layer {
    fn share(&self) -> Self {
        Self {
            query_key_value: self.query_key_value.share(),
            attention_output: self.attention_output.share(),
            attention_norm: self.attention_norm.share(),
            intermediate: self.intermediate.share(),
            output: self.output.share(),
            output_norm: self.output_norm.share(),
        }
    }
}

/// The transformer of a sentence encoder.
#[derive(Debug)]
pub(crate) struct Transformer {
    heads: i64,
    activation: Activation,
    word: Tensor,
    /// Position embeddings with the embedding of token type 0 added: every token has that type.
    position: Tensor,
    /// What distance adds to attention scores, `[1, heads, longest, longest]`.
    relative: Option<Tensor>,
    norm: LayerNorm,
    layers: Vec<Layer>,
    device: Device,
}

impl Transformer {
    /// Takes the weights from `checkpoint`, refusing missing, surplus and mis-shaped ones.
    pub(crate) fn load(
        config: &EncoderConfig,
        checkpoint: &Checkpoint,
        placement: Placement,
    ) -> Result<Self> {
        let family = config.family;
        let headed = checkpoint.contains(&format!("{}embeddings.word_embeddings.weight", family.prefix()));
        let prefix = if headed { family.prefix() } else { "" };
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
            let names = family.layer_names(index);
            let query = linear(&names.query, hidden, hidden)?;
            let key = linear(&names.key, hidden, hidden)?;
            let value = linear(&names.value, hidden, hidden)?;
            layers.push(Layer {
                query_key_value: Linear {
                    weight: Tensor::cat(&[query.weight, key.weight, value.weight], 0),
                    bias: Tensor::cat(&[query.bias, key.bias, value.bias], 0),
                },
                attention_output: linear(&names.attention_output, hidden, hidden)?,
                attention_norm: norm(&names.attention_norm)?,
                intermediate: linear(&names.intermediate, config.intermediate, hidden)?,
                output: linear(&names.output, hidden, config.intermediate)?,
                output_norm: norm(&names.output_norm)?,
            });
        }
        let mut position = tensor("embeddings.position_embeddings.weight", &[config.max_positions, hidden])?;
        if config.token_types > 0 {
            let types = tensor("embeddings.token_type_embeddings.weight", &[config.token_types, hidden])?;
            position += types.get(0);
        }
        let relative = match family {
            Family::Mpnet => {
                let table = tensor("encoder.relative_attention_bias.weight", &[BUCKETS, config.heads])?;
                Some(relative_bias(&table, config.longest()))
            }
            Family::Bert | Family::Roberta | Family::DistilBert => None,
        };
        let transformer = Self {
            heads: config.heads,
            activation: config.activation,
            word: tensor("embeddings.word_embeddings.weight", &[config.vocab, hidden])?,
            position,
            relative,
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
        Ok(transformer)
    }

    /// Another handle on the same weights, for another thread.
    pub(crate) fn share(&self) -> Self {
        Self {
            heads: self.heads,
            activation: self.activation,
            word: self.word.shallow_clone(),
            position: self.position.shallow_clone(),
            relative: self.relative.as_ref().map(Tensor::shallow_clone),
            norm: self.norm.share(),
            layers: self.layers.iter().map(Layer::share).collect(),
            device: self.device,
        }
    }

    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// `batch → [tokens, hidden]`. Vectors of padding are arbitrary.
    pub(crate) fn forward(&self, batch: &Batch) -> Result<Tensor> {
        self.forward_to(batch, self.layers.len())
    }

    /// As [`forward`](Self::forward), with the first `layers` layers only.
    pub(crate) fn forward_to(&self, batch: &Batch, layers: usize) -> Result<Tensor> {
        let run = || -> Torch<Tensor> {
            let words = self.word.f_index_select(0, &batch.ids)?;
            let mut state =
                self.norm.forward(&words.f_add(&self.position.f_index_select(0, &batch.positions)?)?)?;
            let masks = batch.groups.iter().map(|group| self.mask(group)).collect::<Torch<Vec<_>>>()?;
            for layer in self.layers.iter().take(layers) {
                state = self.layer(layer, &state, &batch.groups, &masks)?;
            }
            Ok(state)
        };
        run().map_err(torch("encode a batch"))
    }

    /// What is added to a group's attention scores, or true where attention may look.
    fn mask(&self, group: &Group) -> Torch<Option<Tensor>> {
        let real = group.real().map(|real| real.unsqueeze(1).unsqueeze(1));
        let bias = match &self.relative {
            Some(relative) => Some(relative.f_narrow(2, 0, group.seq)?.f_narrow(3, 0, group.seq)?),
            None => None,
        };
        Ok(match (bias, real) {
            (Some(bias), Some(real)) => Some(bias.f_masked_fill(&real.f_logical_not()?, f64::NEG_INFINITY)?),
            (bias, real) => bias.or(real),
        })
    }

    fn layer(
        &self,
        layer: &Layer,
        state: &Tensor,
        groups: &[Group],
        masks: &[Option<Tensor>],
    ) -> Torch<Tensor> {
        let size = state.size();
        let hidden = size[1];
        let projected = layer.query_key_value.forward(state)?;
        let mut attended = Vec::with_capacity(groups.len());
        let mut start = 0;
        for (group, mask) in groups.iter().zip(masks) {
            let rows = group.texts * group.seq;
            // [rows, 3 · hidden] → three of [texts, heads, seq, head_dim]
            let split = projected
                .f_narrow(0, start, rows)?
                .f_view([group.texts, group.seq, 3, self.heads, hidden / self.heads])?
                .f_permute([2, 0, 3, 1, 4])?;
            let joined = Tensor::f_scaled_dot_product_attention(
                &split.f_get(0)?,
                &split.f_get(1)?,
                &split.f_get(2)?,
                mask.as_ref(),
                0.0,
                false,
                None,
                false,
            )?;
            attended.push(joined.f_transpose(1, 2)?.f_reshape([rows, hidden])?);
            start += rows;
        }
        let joined = if attended.len() == 1 { attended.remove(0) } else { Tensor::f_cat(&attended, 0)? };
        let state = layer.attention_norm.forward(&layer.attention_output.forward(&joined)?.f_add_(state)?)?;
        let mut inner = layer.intermediate.forward(&state)?;
        let inner = match self.activation {
            Activation::Gelu => inner.f_gelu_("none")?,
            Activation::GeluTanh => inner.f_gelu_("tanh")?,
            Activation::Relu => inner.f_relu_()?,
        };
        layer.output_norm.forward(&layer.output.forward(&inner)?.f_add_(&state)?)
    }
}

/// Distances are told apart one by one up to 7, then in ever wider buckets up to 128; both directions apart.
const BUCKETS: i64 = 32;
const FARTHEST: f64 = 128.0;

/// `table: [buckets, heads] → [1, heads, longest, longest]`, the bias of looking from row to column.
fn relative_bias(table: &Tensor, longest: i64) -> Tensor {
    let half = BUCKETS / 2;
    let exact = half / 2;
    let bucket = |distance: i64| {
        // A key after the query falls into the upper half.
        let side = if distance > 0 { half } else { 0 };
        let far = distance.abs();
        if far < exact {
            return side + far;
        }
        // In f32 as the reference computes it: a bucket's border must not move by rounding.
        let ratio = (far as f32 / exact as f32).ln() / (FARTHEST / exact as f64).ln() as f32;
        side + (exact + (ratio * (half - exact) as f32) as i64).min(half - 1)
    };
    let buckets: Vec<i64> =
        (0..longest).flat_map(|query| (0..longest).map(move |key| key - query)).map(bucket).collect();
    let index = Tensor::from_slice(&buckets).to_device(table.device());
    table.index_select(0, &index).reshape([longest, longest, -1]).permute([2, 0, 1]).unsqueeze(0).contiguous()
}

pub(crate) fn torch(action: &'static str) -> impl Fn(tch::TchError) -> Error {
    move |source| Error::Torch { action, source }
}
