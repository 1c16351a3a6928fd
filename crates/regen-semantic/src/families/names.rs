//! What the tensors of each family are called, and where its norms stand.

/// The tensors of a family. Names of a layer's parts follow its stem and its number.
#[derive(Debug)]
pub(crate) struct Names {
    /// What a checkpoint saved with a task head puts before all names.
    pub(crate) prefix: &'static str,
    pub(crate) word: &'static str,
    pub(crate) position: Option<&'static str>,
    pub(crate) token_types: Option<&'static str>,
    pub(crate) embedding_norm: Option<&'static str>,
    pub(crate) final_norm: Option<&'static str>,
    pub(crate) layer: &'static str,
    pub(crate) projections: Projections,
    /// Norms of each head's queries and keys.
    pub(crate) head_norms: Option<[&'static str; 2]>,
    pub(crate) attention_output: &'static str,
    pub(crate) attention_norms: Norms,
    /// The first layer reads what the norm of the embeddings gave.
    pub(crate) first_reads_normed: bool,
    pub(crate) inner: Inner,
    pub(crate) output: &'static str,
    pub(crate) output_norms: Norms,
    pub(crate) norm: NormKind,
    /// Embeddings are multiplied by √hidden.
    pub(crate) scaled: bool,
}

/// Query, key and value.
#[derive(Debug)]
pub(crate) enum Projections {
    Apart([&'static str; 3]),
    Fused(&'static str),
}

/// The projection into the wide part of the perceptron.
#[derive(Debug)]
pub(crate) enum Inner {
    Plain(&'static str),
    /// act(gate(x)) ⊙ up(x).
    Gated {
        gate: &'static str,
        up: &'static str,
    },
    /// Both in one, the gate first.
    GatedFused(&'static str),
}

/// Norms of one branch of a layer: of what it reads, of what it gives, and of the sum.
#[derive(Debug)]
pub(crate) struct Norms {
    pub(crate) before: Option<&'static str>,
    pub(crate) branch: Option<&'static str>,
    pub(crate) after: Option<&'static str>,
}

const fn after(name: &'static str) -> Norms {
    Norms { before: None, branch: None, after: Some(name) }
}

const fn before(name: &'static str) -> Norms {
    Norms { before: Some(name), branch: None, after: None }
}

/// What a norm computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormKind {
    /// Ba et al. 2016, "Layer Normalization".
    Layer,
    /// Zhang and Sennrich 2019, "Root Mean Square Layer Normalization".
    Rms,
    /// The same with 1 + weight, as Gemma stores it.
    RmsPlusOne,
}

pub(super) const BERT: Names = Names {
    prefix: "bert.",
    word: "embeddings.word_embeddings",
    position: Some("embeddings.position_embeddings"),
    token_types: Some("embeddings.token_type_embeddings"),
    embedding_norm: Some("embeddings.LayerNorm"),
    final_norm: None,
    layer: "encoder.layer",
    projections: Projections::Apart(["attention.self.query", "attention.self.key", "attention.self.value"]),
    head_norms: None,
    attention_output: "attention.output.dense",
    attention_norms: after("attention.output.LayerNorm"),
    first_reads_normed: false,
    inner: Inner::Plain("intermediate.dense"),
    output: "output.dense",
    output_norms: after("output.LayerNorm"),
    norm: NormKind::Layer,
    scaled: false,
};

pub(super) const ROBERTA: Names = Names { prefix: "roberta.", ..BERT };

pub(super) const DISTILBERT: Names = Names {
    prefix: "distilbert.",
    token_types: None,
    layer: "transformer.layer",
    projections: Projections::Apart(["attention.q_lin", "attention.k_lin", "attention.v_lin"]),
    attention_output: "attention.out_lin",
    attention_norms: after("sa_layer_norm"),
    inner: Inner::Plain("ffn.lin1"),
    output: "ffn.lin2",
    output_norms: after("output_layer_norm"),
    ..BERT
};

pub(super) const MPNET: Names = Names {
    prefix: "mpnet.",
    token_types: None,
    projections: Projections::Apart(["attention.attn.q", "attention.attn.k", "attention.attn.v"]),
    attention_output: "attention.attn.o",
    attention_norms: after("attention.LayerNorm"),
    ..BERT
};

pub(super) const MODERNBERT: Names = Names {
    prefix: "model.",
    word: "embeddings.tok_embeddings",
    position: None,
    token_types: None,
    embedding_norm: Some("embeddings.norm"),
    final_norm: Some("final_norm"),
    layer: "layers",
    projections: Projections::Fused("attn.Wqkv"),
    attention_output: "attn.Wo",
    attention_norms: before("attn_norm"),
    first_reads_normed: true,
    inner: Inner::GatedFused("mlp.Wi"),
    output: "mlp.Wo",
    output_norms: before("mlp_norm"),
    ..BERT
};

pub(super) const NOMIC_BERT: Names = Names {
    prefix: "bert.",
    position: None,
    embedding_norm: Some("emb_ln"),
    layer: "encoder.layers",
    projections: Projections::Fused("attn.Wqkv"),
    attention_output: "attn.out_proj",
    attention_norms: after("norm1"),
    inner: Inner::Gated { gate: "mlp.fc12", up: "mlp.fc11" },
    output: "mlp.fc2",
    output_norms: after("norm2"),
    ..BERT
};

pub(super) const QWEN3: Names = Names {
    prefix: "model.",
    word: "embed_tokens",
    position: None,
    token_types: None,
    embedding_norm: None,
    final_norm: Some("norm"),
    layer: "layers",
    projections: Projections::Apart(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
    head_norms: Some(["self_attn.q_norm", "self_attn.k_norm"]),
    attention_output: "self_attn.o_proj",
    attention_norms: before("input_layernorm"),
    first_reads_normed: false,
    inner: Inner::Gated { gate: "mlp.gate_proj", up: "mlp.up_proj" },
    output: "mlp.down_proj",
    output_norms: before("post_attention_layernorm"),
    norm: NormKind::Rms,
    scaled: false,
};

pub(super) const GEMMA3: Names = Names {
    attention_norms: Norms {
        before: Some("input_layernorm"),
        branch: Some("post_attention_layernorm"),
        after: None,
    },
    output_norms: Norms {
        before: Some("pre_feedforward_layernorm"),
        branch: Some("post_feedforward_layernorm"),
        after: None,
    },
    norm: NormKind::RmsPlusOne,
    scaled: true,
    ..QWEN3
};
