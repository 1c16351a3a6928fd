//! Encoder families that share one set of layers: a family is a name map and what it adds to the embeddings.
//!
//! All four are post-norm transformers of the BERT kind; they differ in the names of their tensors, in how positions are
//! counted, in whether token types exist, and in MPNet's relative position bias.

/// Which family a checkpoint belongs to, by `model_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `bert`: positions from 0, token types.
    Bert,
    /// `roberta`, `xlm-roberta`, `camembert`: positions from the padding id + 1, token types.
    Roberta,
    /// `distilbert`: positions from 0, no token types.
    DistilBert,
    /// `mpnet`: positions from 2, no token types, a bias on attention scores by distance.
    Mpnet,
}

/// The tensors of one layer, in the order of [`Family::layer_names`].
pub(crate) struct LayerNames {
    pub(crate) query: String,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) attention_output: String,
    pub(crate) attention_norm: String,
    pub(crate) intermediate: String,
    pub(crate) output: String,
    pub(crate) output_norm: String,
}

impl Family {
    pub(crate) fn of(model_type: &str) -> Option<Self> {
        match model_type {
            "bert" => Some(Self::Bert),
            "roberta" | "xlm-roberta" | "camembert" => Some(Self::Roberta),
            "distilbert" => Some(Self::DistilBert),
            "mpnet" => Some(Self::Mpnet),
            _ => None,
        }
    }

    /// What a checkpoint saved with a task head puts before the encoder's names.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Bert => "bert.",
            Self::Roberta => "roberta.",
            Self::DistilBert => "distilbert.",
            Self::Mpnet => "mpnet.",
        }
    }

    pub(crate) fn has_token_types(self) -> bool {
        matches!(self, Self::Bert | Self::Roberta)
    }

    pub(crate) fn layer_names(self, layer: i64) -> LayerNames {
        let (stem, parts) = match self {
            Self::Bert | Self::Roberta => (
                "encoder.layer",
                [
                    "attention.self.query",
                    "attention.self.key",
                    "attention.self.value",
                    "attention.output.dense",
                    "attention.output.LayerNorm",
                    "intermediate.dense",
                    "output.dense",
                    "output.LayerNorm",
                ],
            ),
            Self::DistilBert => (
                "transformer.layer",
                [
                    "attention.q_lin",
                    "attention.k_lin",
                    "attention.v_lin",
                    "attention.out_lin",
                    "sa_layer_norm",
                    "ffn.lin1",
                    "ffn.lin2",
                    "output_layer_norm",
                ],
            ),
            Self::Mpnet => (
                "encoder.layer",
                [
                    "attention.attn.q",
                    "attention.attn.k",
                    "attention.attn.v",
                    "attention.attn.o",
                    "attention.LayerNorm",
                    "intermediate.dense",
                    "output.dense",
                    "output.LayerNorm",
                ],
            ),
        };
        let [query, key, value, attention_output, attention_norm, intermediate, output, output_norm] =
            parts.map(|part| format!("{stem}.{layer}.{part}"));
        LayerNames { query, key, value, attention_output, attention_norm, intermediate, output, output_norm }
    }
}
