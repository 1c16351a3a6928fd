//! One row per family: the structure of a block and the checkpoint's names for its tensors.
//!
//! The layers read this table; no layer knows a family's name.

use crate::config::DecoderConfig;

/// The model families that the one decoder covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Family {
    /// Llama 2 and 3, SmolLM2, TinyLlama and every checkpoint of `model_type` llama.
    Llama,
    /// Mistral.
    Mistral,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3 (dense).
    Qwen3,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3, text models.
    Gemma3,
    /// Phi-3 and Phi-4-mini.
    Phi3,
    /// GPT-2.
    Gpt2,
}

/// What a norm computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormKind {
    /// x / rms(x) · w.
    Rms,
    /// x / rms(x) · (1 + w), of Gemma: its weights start at zero.
    RmsPlusOne,
    /// Layer norm with bias.
    Layer,
}

/// Names of the query, key and value projections.
#[derive(Debug, Clone, Copy)]
pub(crate) enum QkvNames {
    Separate { query: &'static str, key: &'static str, value: &'static str },
    Fused(&'static str),
}

/// Names of the projections into the feed-forward part.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MlpNames {
    Gated { gate: &'static str, up: &'static str },
    GatedFused(&'static str),
    Plain(&'static str),
}

/// A family's structure and names. Names inside a layer are relative to `layers.{index}`.
#[derive(Debug)]
pub(crate) struct Arrangement {
    pub(crate) model_type: &'static str,
    pub(crate) architecture: &'static str,
    pub(crate) norm: NormKind,
    /// Weights are stored `[in, out]`.
    pub(crate) transposed: bool,
    /// Embeddings of ids are multiplied by √hidden.
    pub(crate) scaled_embeddings: bool,
    pub(crate) embedding: &'static str,
    pub(crate) position_embedding: Option<&'static str>,
    pub(crate) layers: &'static str,
    pub(crate) final_norm: &'static str,
    pub(crate) head: &'static str,
    pub(crate) attention_norm: &'static str,
    pub(crate) after_attention: Option<&'static str>,
    pub(crate) mlp_norm: &'static str,
    pub(crate) after_mlp: Option<&'static str>,
    pub(crate) qkv: QkvNames,
    pub(crate) output: &'static str,
    /// Query and key are normed per head.
    pub(crate) qk_norm: Option<(&'static str, &'static str)>,
    pub(crate) mlp: MlpNames,
    pub(crate) down: &'static str,
}

const LLAMA: Arrangement = Arrangement {
    model_type: "llama",
    architecture: "LlamaForCausalLM",
    norm: NormKind::Rms,
    transposed: false,
    scaled_embeddings: false,
    embedding: "model.embed_tokens",
    position_embedding: None,
    layers: "model.layers",
    final_norm: "model.norm",
    head: "lm_head",
    attention_norm: "input_layernorm",
    after_attention: None,
    mlp_norm: "post_attention_layernorm",
    after_mlp: None,
    qkv: QkvNames::Separate { query: "self_attn.q_proj", key: "self_attn.k_proj", value: "self_attn.v_proj" },
    output: "self_attn.o_proj",
    qk_norm: None,
    mlp: MlpNames::Gated { gate: "mlp.gate_proj", up: "mlp.up_proj" },
    down: "mlp.down_proj",
};

const MISTRAL: Arrangement =
    Arrangement { model_type: "mistral", architecture: "MistralForCausalLM", ..LLAMA };

const QWEN2: Arrangement = Arrangement { model_type: "qwen2", architecture: "Qwen2ForCausalLM", ..LLAMA };

const QWEN3: Arrangement = Arrangement {
    model_type: "qwen3",
    architecture: "Qwen3ForCausalLM",
    qk_norm: Some(("self_attn.q_norm", "self_attn.k_norm")),
    ..LLAMA
};

const GEMMA2: Arrangement = Arrangement {
    model_type: "gemma2",
    architecture: "Gemma2ForCausalLM",
    norm: NormKind::RmsPlusOne,
    scaled_embeddings: true,
    after_attention: Some("post_attention_layernorm"),
    mlp_norm: "pre_feedforward_layernorm",
    after_mlp: Some("post_feedforward_layernorm"),
    ..LLAMA
};

const GEMMA3: Arrangement = Arrangement {
    model_type: "gemma3_text",
    architecture: "Gemma3ForCausalLM",
    qk_norm: Some(("self_attn.q_norm", "self_attn.k_norm")),
    ..GEMMA2
};

const PHI3: Arrangement = Arrangement {
    model_type: "phi3",
    architecture: "Phi3ForCausalLM",
    qkv: QkvNames::Fused("self_attn.qkv_proj"),
    mlp: MlpNames::GatedFused("mlp.gate_up_proj"),
    ..LLAMA
};

const GPT2: Arrangement = Arrangement {
    model_type: "gpt2",
    architecture: "GPT2LMHeadModel",
    norm: NormKind::Layer,
    transposed: true,
    embedding: "transformer.wte",
    position_embedding: Some("transformer.wpe"),
    layers: "transformer.h",
    final_norm: "transformer.ln_f",
    attention_norm: "ln_1",
    mlp_norm: "ln_2",
    qkv: QkvNames::Fused("attn.c_attn"),
    output: "attn.c_proj",
    mlp: MlpNames::Plain("mlp.c_fc"),
    down: "mlp.c_proj",
    ..LLAMA
};

impl Family {
    /// Every family, in the order of the enum.
    pub const ALL: [Self; 8] = [
        Self::Llama,
        Self::Mistral,
        Self::Qwen2,
        Self::Qwen3,
        Self::Gemma2,
        Self::Gemma3,
        Self::Phi3,
        Self::Gpt2,
    ];

    /// Structure and names.
    pub(crate) fn arrangement(self) -> &'static Arrangement {
        match self {
            Self::Llama => &LLAMA,
            Self::Mistral => &MISTRAL,
            Self::Qwen2 => &QWEN2,
            Self::Qwen3 => &QWEN3,
            Self::Gemma2 => &GEMMA2,
            Self::Gemma3 => &GEMMA3,
            Self::Phi3 => &PHI3,
            Self::Gpt2 => &GPT2,
        }
    }

    /// The family of a checkpoint's `model_type`.
    pub(crate) fn from_model_type(model_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.arrangement().model_type == model_type)
    }
}

/// How a tensor starts when training from scratch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Init {
    Zeros,
    Ones,
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
}

/// Every tensor of a model in a fixed order: checkpoint name, shape, initial values.
///
/// Initialisation is GPT-2's, which Llama-style training from scratch shares: weights are normal with
/// `initializer_range`, the two projections that write into the residual stream are divided by
/// √(2·layers) so that its variance does not grow with depth, biases are 0, norms are the identity.
///
/// **Source** Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
pub(crate) fn inventory(config: &DecoderConfig) -> Vec<(String, Vec<i64>, Init)> {
    let names = config.family.arrangement();
    let (hidden, intermediate) = (config.hidden, config.intermediate);
    let (query, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
    let weights = Init::Normal(config.initializer_range);
    let residual = Init::Normal(config.initializer_range / (2.0 * config.layers as f64).sqrt());
    let mut list = Inventory { entries: Vec::new(), arrangement: names };
    list.push(names.embedding, "weight", &[config.vocab, hidden], weights);
    if let Some(positions) = names.position_embedding {
        list.push(positions, "weight", &[config.max_positions, hidden], weights);
    }
    for layer in 0..config.layers {
        let at = |name: &str| format!("{}.{layer}.{name}", names.layers);
        list.norm(&at(names.attention_norm), hidden);
        match names.qkv {
            QkvNames::Separate { query: q, key, value } => {
                list.projection(&at(q), hidden, query, config.qkv_bias, weights);
                list.projection(&at(key), hidden, kv, config.qkv_bias, weights);
                list.projection(&at(value), hidden, kv, config.qkv_bias, weights);
            }
            QkvNames::Fused(fused) => {
                list.projection(&at(fused), hidden, query + 2 * kv, config.qkv_bias, weights);
            }
        }
        if let Some((q, k)) = names.qk_norm {
            list.norm(&at(q), config.head_dim);
            list.norm(&at(k), config.head_dim);
        }
        list.projection(&at(names.output), query, hidden, config.output_bias, residual);
        if let Some(after) = names.after_attention {
            list.norm(&at(after), hidden);
        }
        list.norm(&at(names.mlp_norm), hidden);
        match names.mlp {
            MlpNames::Gated { gate, up } => {
                list.projection(&at(gate), hidden, intermediate, config.mlp_bias, weights);
                list.projection(&at(up), hidden, intermediate, config.mlp_bias, weights);
            }
            MlpNames::GatedFused(fused) => {
                list.projection(&at(fused), hidden, 2 * intermediate, config.mlp_bias, weights);
            }
            MlpNames::Plain(plain) => {
                list.projection(&at(plain), hidden, intermediate, config.mlp_bias, weights);
            }
        }
        list.projection(&at(names.down), intermediate, hidden, config.mlp_bias, residual);
        if let Some(after) = names.after_mlp {
            list.norm(&at(after), hidden);
        }
    }
    list.norm(names.final_norm, hidden);
    if !config.tied {
        list.push(names.head, "weight", &[config.vocab, hidden], weights);
    }
    list.entries
}

/// Collects names and shapes.
struct Inventory {
    entries: Vec<(String, Vec<i64>, Init)>,
    arrangement: &'static Arrangement,
}

impl Inventory {
    fn push(&mut self, module: &str, tensor: &str, shape: &[i64], init: Init) {
        self.entries.push((format!("{module}.{tensor}"), shape.to_vec(), init));
    }

    fn projection(&mut self, module: &str, from: i64, to: i64, bias: bool, init: Init) {
        let shape = if self.arrangement.transposed { [from, to] } else { [to, from] };
        self.push(module, "weight", &shape, init);
        if bias {
            self.push(module, "bias", &[to], Init::Zeros);
        }
    }

    fn norm(&mut self, module: &str, width: i64) {
        match self.arrangement.norm {
            NormKind::Rms => self.push(module, "weight", &[width], Init::Ones),
            NormKind::RmsPlusOne => self.push(module, "weight", &[width], Init::Zeros),
            NormKind::Layer => {
                self.push(module, "weight", &[width], Init::Ones);
                self.push(module, "bias", &[width], Init::Zeros);
            }
        }
    }
}

/// Stored tensors that older releases wrote and that hold nothing of their own: a tied head's copy, rotary
/// frequencies, causal masks.
pub(crate) fn is_leftover(config: &DecoderConfig, name: &str) -> bool {
    let tied_copy = config.tied && name == format!("{}.weight", config.family.arrangement().head);
    let mask = config.family == Family::Gpt2
        && (name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"));
    tied_copy || mask || name.ends_with("rotary_emb.inv_freq")
}
