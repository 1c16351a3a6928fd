//! The one configuration of the one decoder: everything that changes its arithmetic, for all families.
//!
//! A [`Family`] fixes names and structure (which norms, which projections are fused); the numbers
//! and switches that vary inside a family are fields here. Reading `config.json` is in
//! [`crate::families`].

use std::path::Path;

use crate::error::{Error, Result};
use crate::families::{self, Family};

/// Layers beyond which a number is a mistake; far above any model, so that lists of layers stay small.
pub(crate) const MOST_LAYERS: i64 = 10_000;

/// Widths beyond which a number is a mistake; products of two and a few of them stay far from overflow.
pub(crate) const MOST_WIDTH: i64 = 1 << 24;

/// Rows of tables (vocabulary, positions) beyond which a number is a mistake.
pub(crate) const MOST_ROWS: i64 = 1 << 31;

/// The nonlinearity of the feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x·σ(x), of Llama, Mistral, Qwen and Phi-3.
    Silu,
    /// The tanh approximation of GELU, of GPT-2 and Gemma.
    GeluTanh,
    /// The exact GELU.
    Gelu,
    /// max(x, 0).
    Relu,
}

/// How rotary frequencies are stretched to reach beyond the trained length.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RopeScaling {
    /// Every position is divided by the factor.
    Linear {
        /// The divisor, ≥ 1.
        factor: f64,
    },
    /// Low frequencies are divided, high ones kept, a ramp lies between.
    ///
    /// **Source** Llama 3.1, `rope_type: llama3`.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Waves longer than the original length over this are divided.
        low_freq_factor: f64,
        /// Waves shorter than the original length over this are kept.
        high_freq_factor: f64,
        /// The length of pre-training in tokens.
        original_max_positions: i64,
    },
    /// Interpolated and kept frequencies blend over a ramp; cos and sin are multiplied by a factor.
    ///
    /// **Source** Peng et al. 2023, "YaRN", section 3.
    Yarn {
        /// The stretch.
        factor: f64,
        /// Rotations above which a frequency is kept.
        beta_fast: f64,
        /// Rotations below which a frequency is divided.
        beta_slow: f64,
        /// The length of pre-training in tokens.
        original_max_positions: i64,
        /// What cos and sin are multiplied by.
        attention_factor: f64,
        /// Whether the ends of the ramp are rounded to whole dimensions.
        truncate: bool,
    },
}

/// Rotary position embedding.
///
/// **Source** Su et al. 2021, "RoFormer", section 3.4.2; halves layout, as the Hugging Face models.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Rope {
    /// The base of the frequencies.
    pub theta: f64,
    /// How many dimensions of each head turn, an even number up to `head_dim`.
    pub rotary_dim: i64,
    /// Stretching of the frequencies.
    pub scaling: Option<RopeScaling>,
}

impl Rope {
    /// Refuses numbers from which no frequency could be computed.
    fn validate(&self) -> Result<()> {
        let single = self.theta as f32;
        if !(single > 0.0 && single.is_finite()) {
            return Err(invalid("rope_theta", "above 0 and finite in single precision", self.theta));
        }
        match &self.scaling {
            None => Ok(()),
            Some(RopeScaling::Linear { factor }) => check_factor(*factor),
            Some(RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_positions,
            }) => {
                check_factor(*factor)?;
                check_original(*original_max_positions)?;
                check_positive("rope_parameters.low_freq_factor", *low_freq_factor)?;
                if !(high_freq_factor > low_freq_factor && high_freq_factor.is_finite()) {
                    let expected = format!("finite and above low_freq_factor, which is {low_freq_factor}");
                    return Err(invalid("rope_parameters.high_freq_factor", expected, high_freq_factor));
                }
                Ok(())
            }
            Some(RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                original_max_positions,
                attention_factor,
                truncate: _,
            }) => {
                // The ramp divides by the logarithm of the base.
                if single <= 1.0 {
                    return Err(invalid("rope_theta", "above 1 with rope_type yarn", self.theta));
                }
                check_factor(*factor)?;
                check_original(*original_max_positions)?;
                check_positive("rope_parameters.beta_fast", *beta_fast)?;
                check_positive("rope_parameters.beta_slow", *beta_slow)?;
                check_positive("rope_parameters.attention_factor", *attention_factor)
            }
        }
    }
}

fn check_factor(factor: f64) -> Result<()> {
    if factor >= 1.0 && factor.is_finite() {
        return Ok(());
    }
    Err(invalid("rope_parameters.factor", "at least 1 and finite", factor))
}

fn check_original(length: i64) -> Result<()> {
    if length >= 1 {
        return Ok(());
    }
    Err(invalid("rope_parameters.original_max_position_embeddings", "at least 1", length))
}

fn check_positive(field: &str, value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(invalid(field, "above 0 and finite", value))
}

/// How a token learns where it stands.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Positions {
    /// A learned vector for each position is added to the embedding (GPT-2).
    Learned,
    /// Queries and keys are turned.
    Rotary(Rope),
}

/// Ids that the checkpoint's own files give a meaning.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SpecialIds {
    /// Begin of sequence.
    pub bos: Option<i64>,
    /// Every id that ends a generation.
    pub eos: Vec<i64>,
    /// Padding.
    pub pad: Option<i64>,
}

/// Everything that decides a decoder's shape and arithmetic.
///
/// Dropout rates of a checkpoint's `config.json` are the one thing left out: no dropout is applied.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderConfig {
    /// Names and structure.
    pub family: Family,
    /// Size of the vocabulary, rows of the embedding.
    pub vocab: i64,
    /// Width of the residual stream.
    pub hidden: i64,
    /// Number of blocks.
    pub layers: i64,
    /// Query heads.
    pub heads: i64,
    /// Key and value heads; divides `heads`.
    pub kv_heads: i64,
    /// Width of one head.
    pub head_dim: i64,
    /// Width of the feed-forward part.
    pub intermediate: i64,
    /// Longest sequence in real tokens.
    pub max_positions: i64,
    /// Added to the variance in every norm.
    pub norm_epsilon: f64,
    /// The nonlinearity of the feed-forward part.
    pub activation: Activation,
    /// Query, key and value projections have biases.
    pub qkv_bias: bool,
    /// The attention's output projection has a bias.
    pub output_bias: bool,
    /// The feed-forward projections have biases.
    pub mlp_bias: bool,
    /// Where tokens stand.
    pub positions: Positions,
    /// Rotary embedding of windowed layers, where it differs (Gemma 3).
    pub local_rope: Option<Rope>,
    /// Tokens that a windowed layer sees, itself included.
    pub window: Option<i64>,
    /// For each layer, whether it is windowed. Empty means none is.
    pub windowed_layers: Vec<bool>,
    /// Factor of query·key, 1/√`head_dim` in most families.
    pub query_scale: f64,
    /// cap·tanh(score/cap) on attention scores (Gemma 2).
    pub attention_softcap: Option<f64>,
    /// cap·tanh(logit/cap) on logits (Gemma 2).
    pub logit_softcap: Option<f64>,
    /// The head is the transposed embedding.
    pub tied: bool,
    /// Standard deviation of initial weights.
    pub initializer_range: f64,
    /// Ids with a meaning.
    pub special: SpecialIds,
}

/// Name, hidden, layers, heads, kv_heads, head_dim, intermediate, max_positions of each preset.
const PRESETS: &[(&str, [i64; 7])] = &[
    ("1m", [128, 4, 4, 4, 32, 352, 1024]),
    ("2m", [192, 4, 6, 6, 32, 512, 1024]),
    ("3m", [256, 4, 8, 4, 32, 640, 1024]),
    ("10m", [384, 6, 6, 3, 64, 1024, 2048]),
    ("26m", [512, 8, 8, 4, 64, 1280, 2048]),
    ("135m", [576, 30, 9, 3, 64, 1536, 8192]),
    ("360m", [960, 32, 15, 5, 64, 2560, 8192]),
    ("1b", [2048, 16, 32, 8, 64, 8192, 8192]),
];

impl DecoderConfig {
    /// A Llama-shaped configuration for training from scratch, tied head, by its rough size.
    ///
    /// Known names are `1m`, `2m`, `3m`, `10m`, `26m`, `135m`, `360m` and `1b`; the parameter count
    /// in the name holds for a vocabulary that suits the size (2,048 up to `3m`, 8,192 up to `26m`).
    ///
    /// # Errors
    /// [`Error::UnknownPreset`]; [`Error::InvalidConfig`] for a vocabulary below 1 or above 2³¹.
    ///
    /// ```
    /// let config = regen_lm::DecoderConfig::preset("1m", 512)?;
    /// assert_eq!((config.hidden(), config.vocab()), (128, 512));
    /// # Ok::<(), regen_lm::Error>(())
    /// ```
    pub fn preset(name: &str, vocab: i64) -> Result<Self> {
        let Some((_, sizes)) = PRESETS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = PRESETS.iter().map(|(known, _)| *known).collect();
            return Err(Error::UnknownPreset { name: name.to_owned(), known: known.join(", ") });
        };
        let [hidden, layers, heads, kv_heads, head_dim, intermediate, max_positions] = *sizes;
        let config = Self {
            family: Family::Llama,
            vocab,
            hidden,
            layers,
            heads,
            kv_heads,
            head_dim,
            intermediate,
            max_positions,
            norm_epsilon: 1e-5,
            activation: Activation::Silu,
            qkv_bias: false,
            output_bias: false,
            mlp_bias: false,
            positions: Positions::Rotary(Rope { theta: 10_000.0, rotary_dim: head_dim, scaling: None }),
            local_rope: None,
            window: None,
            windowed_layers: Vec::new(),
            query_scale: 1.0 / (head_dim as f64).sqrt(),
            attention_softcap: None,
            logit_softcap: None,
            tied: true,
            initializer_range: 0.02,
            special: SpecialIds::default(),
        };
        config.validate()?;
        Ok(config)
    }

    /// Reads `config.json` (and `generation_config.json` for the ids that end a text) of a
    /// Hugging Face folder.
    ///
    /// # Errors
    /// [`Error::UnsupportedConfig`] for a family or field that is not implemented,
    /// [`Error::MissingField`], [`Error::InvalidConfig`], [`Error::Io`], [`Error::Json`].
    pub fn from_hf(dir: &Path) -> Result<Self> {
        families::read_folder(dir)
    }

    /// Width of the residual stream, and of the soft tokens that the decoder takes.
    pub fn hidden(&self) -> i64 {
        self.hidden
    }

    /// Number of rows of the embedding.
    pub fn vocab(&self) -> i64 {
        self.vocab
    }

    /// Longest sequence in real tokens.
    pub fn max_positions(&self) -> i64 {
        self.max_positions
    }

    /// How many numbers the parameters hold.
    ///
    /// ```
    /// let config = regen_lm::DecoderConfig::preset("26m", 8192)?;
    /// assert_eq!(config.parameters() / 1_000_000, 26);
    /// # Ok::<(), regen_lm::Error>(())
    /// ```
    pub fn parameters(&self) -> i64 {
        let sizes = families::inventory(self).into_iter().map(|(_, shape, _)| shape.iter().product::<i64>());
        sizes.fold(0, i64::saturating_add)
    }

    /// Whether layer `layer` sees a window only.
    pub(crate) fn windowed(&self, layer: usize) -> bool {
        self.window.is_some() && self.windowed_layers.get(layer).copied().unwrap_or(false)
    }

    /// Refuses contradictions and sizes that no computation could have.
    pub(crate) fn validate(&self) -> Result<()> {
        let sizes = [
            ("vocab_size", self.vocab, MOST_ROWS),
            ("hidden_size", self.hidden, MOST_WIDTH),
            ("num_hidden_layers", self.layers, MOST_LAYERS),
            ("num_attention_heads", self.heads, MOST_WIDTH),
            ("num_key_value_heads", self.kv_heads, MOST_WIDTH),
            ("head_dim", self.head_dim, MOST_WIDTH),
            ("intermediate_size", self.intermediate, MOST_WIDTH),
            ("max_position_embeddings", self.max_positions, MOST_ROWS),
        ];
        for (field, value, most) in sizes {
            check_size(field, value, most)?;
        }
        if self.heads * self.head_dim > MOST_WIDTH {
            let expected = format!("at most {MOST_WIDTH} together with {} heads", self.heads);
            return Err(invalid("head_dim", expected, self.head_dim));
        }
        if self.heads % self.kv_heads != 0 {
            return Err(invalid(
                "num_key_value_heads",
                format!("a divisor of {} heads", self.heads),
                self.kv_heads,
            ));
        }
        if !(self.norm_epsilon > 0.0 && self.norm_epsilon <= 1.0) {
            let field = if self.family == Family::Gpt2 { "layer_norm_epsilon" } else { "rms_norm_eps" };
            return Err(invalid(field, "above 0 and at most 1", self.norm_epsilon));
        }
        if !(self.query_scale > 0.0 && self.query_scale.is_finite()) {
            return Err(invalid("query scale", "above 0", self.query_scale));
        }
        let rope = match &self.positions {
            Positions::Rotary(rope) => Some(rope),
            Positions::Learned => None,
        };
        for rope in rope.into_iter().chain(&self.local_rope) {
            if rope.rotary_dim < 2 || rope.rotary_dim > self.head_dim || rope.rotary_dim % 2 != 0 {
                return Err(invalid(
                    "partial_rotary_factor",
                    format!("an even number of dimensions up to {}", self.head_dim),
                    rope.rotary_dim,
                ));
            }
            rope.validate()?;
        }
        let caps = [
            ("attn_logit_softcapping", self.attention_softcap),
            ("final_logit_softcapping", self.logit_softcap),
        ];
        for (field, cap) in caps {
            if let Some(cap) = cap {
                check_positive(field, cap)?;
            }
        }
        if !(self.initializer_range >= 0.0 && self.initializer_range.is_finite()) {
            return Err(invalid("initializer_range", "at least 0 and finite", self.initializer_range));
        }
        // Past the vocabulary it ends nothing, which is how small models of a family with a large one are often left.
        if let Some(id) = self.special.eos.iter().find(|id| **id < 0) {
            return Err(invalid("eos_token_id", "ids, at least 0".to_owned(), id));
        }
        if !self.windowed_layers.is_empty() && self.windowed_layers.len() as i64 != self.layers {
            return Err(invalid(
                "layer_types",
                format!("{} entries", self.layers),
                self.windowed_layers.len(),
            ));
        }
        if self.windowed_layers.contains(&true) && self.window.is_none_or(|window| window < 1) {
            return Err(invalid("sliding_window", "at least 1", format!("{:?}", self.window)));
        }
        Ok(())
    }
}

/// Refuses a size below 1 or above `most`.
pub(crate) fn check_size(field: &str, size: i64, most: i64) -> Result<()> {
    if (1..=most).contains(&size) {
        return Ok(());
    }
    Err(invalid(field, format!("at least 1 and at most {most}"), size))
}

fn invalid(field: &str, expected: impl Into<String>, got: impl ToString) -> Error {
    Error::InvalidConfig {
        path: None,
        field: field.to_owned(),
        expected: expected.into(),
        got: got.to_string(),
    }
}
