//! What a pass needs of one block: weights packed, norms on the host.

use regen_kernel::{Activation, Attention as How, Level, RowNorm, Sight, Storage};

use super::gradient::{add_gradient, sum_pieces};
use super::layout::{Pieces, Sizes};
use super::stack::{Renewal, Stack, any_moves};
use crate::config::DecoderConfig;
use crate::error::Result;
use crate::layers::{Block, MlpInto, Norm};
use crate::packed::{kernel, row_norm};

/// See `layers/block.rs`, `attention.rs` and `mlp.rs`: the same arithmetic.
#[derive(Debug)]
pub(super) struct BlockKernels {
    pub(super) qkv: Stack,
    pub(super) output: Stack,
    pub(super) into: Stack,
    pub(super) down: Stack,
    pub(super) attention_norm: RowNorm,
    pub(super) head_norms: Option<(RowNorm, RowNorm)>,
    pub(super) after_attention: Option<RowNorm>,
    pub(super) mlp_norm: RowNorm,
    pub(super) after_mlp: Option<RowNorm>,
    pub(super) how: How,
    pub(super) activation: Activation,
    pub(super) gated: bool,
    /// Numbers between the two halves of the feed-forward part.
    pub(super) wide: usize,
    pub(super) local_rope: bool,
}

impl BlockKernels {
    pub(super) fn new(level: Level, storage: Storage, config: &DecoderConfig, block: &Block) -> Result<Self> {
        let stack = || Stack::new(level, storage);
        let norm = |norm: &Option<Norm>| norm.as_ref().map(row_norm).transpose();
        let head_norms = block.attention.head_norms.as_ref();
        Ok(Self {
            qkv: stack(),
            output: stack(),
            into: stack(),
            down: stack(),
            attention_norm: row_norm(&block.attention_norm)?,
            head_norms: head_norms
                .map(|(query, key)| Ok::<_, crate::Error>((row_norm(query)?, row_norm(key)?)))
                .transpose()?,
            after_attention: norm(&block.after_attention)?,
            mlp_norm: row_norm(&block.mlp_norm)?,
            after_mlp: norm(&block.after_mlp)?,
            how: How {
                head_dim: config.head_dim as usize,
                scale: config.query_scale as f32,
                softcap: config.attention_softcap.map(|cap| cap as f32),
                sight: Sight::causal(config.window.filter(|_| block.windowed).map(|window| window as usize)),
            },
            activation: kernel(block.mlp.activation),
            gated: !matches!(block.mlp.into, MlpInto::Plain(_)),
            wide: block.mlp.down.widths().0 as usize,
            local_rope: block.local_rope,
        })
    }

    /// Bytes of the packed weights.
    pub(super) fn bytes(&self) -> usize {
        [&self.qkv, &self.output, &self.into, &self.down].into_iter().map(Stack::bytes).sum()
    }

    /// Reads the norms again; gives the weights that must be packed again.
    pub(super) fn renew(&mut self, block: &Block) -> Result<Vec<Renewal<'_>>> {
        self.attention_norm = row_norm(&block.attention_norm)?;
        self.mlp_norm = row_norm(&block.mlp_norm)?;
        self.after_attention = block.after_attention.as_ref().map(row_norm).transpose()?;
        self.after_mlp = block.after_mlp.as_ref().map(row_norm).transpose()?;
        if let Some((query, key)) = &block.attention.head_norms {
            self.head_norms = Some((row_norm(query)?, row_norm(key)?));
        }
        let Self { qkv, output, into, down, .. } = self;
        let all = [
            qkv.renewal(&block.attention.head_projections())?,
            output.renewal(&[&block.attention.output])?,
            into.renewal(&block.mlp.wide_projections())?,
            down.renewal(&[&block.mlp.down])?,
        ];
        Ok(all.into_iter().flatten().collect())
    }

    /// What the first product of the feed-forward part gives.
    pub(super) fn first_width(&self) -> usize {
        if self.gated { 2 * self.wide } else { self.wide }
    }
}

/// Whether any parameter of a block moves.
pub(super) fn moves(block: &Block) -> bool {
    let heads = block.attention.head_norms.iter().flat_map(|(query, key)| [query, key]);
    let mut norms = [&block.attention_norm, &block.mlp_norm]
        .into_iter()
        .chain(&block.after_attention)
        .chain(&block.after_mlp)
        .chain(heads);
    any_moves(&block.attention.head_projections())
        || any_moves(&[&block.attention.output, &block.mlp.down])
        || any_moves(&block.mlp.wide_projections())
        || norms.any(norm_moves)
}

pub(super) fn norm_moves(norm: &Norm) -> bool {
    norm.weight.requires_grad() || norm.bias.as_ref().is_some_and(|bias| bias.requires_grad())
}

/// Sums that tasks made for factors and biases of norms: `[pieces, norms, factor then bias]`.
#[derive(Debug, Default)]
pub(super) struct NormSums {
    sums: Vec<f32>,
    total: Vec<f32>,
    widths: Vec<usize>,
}

impl NormSums {
    /// Zero, for norms of these widths.
    pub(super) fn start(&mut self, pieces: usize, widths: &[usize]) -> Pieces<'_> {
        self.widths = widths.to_vec();
        let width = 2 * widths.iter().sum::<usize>();
        self.sums.clear();
        self.sums.resize(pieces * width, 0.0);
        Pieces::of(&mut self.sums, width)
    }

    /// Adds the sums, piece after piece, to the gradients of the norms.
    pub(super) fn finish(&mut self, norms: &[Option<&Norm>]) -> Result<()> {
        let Self { sums, total, widths } = self;
        let whole = 2 * widths.iter().sum::<usize>();
        let mut from = 0;
        for (norm, width) in norms.iter().zip(widths.iter()) {
            if let Some(norm) = norm {
                sum_pieces(sums, whole, from, total, *width);
                add_gradient(&norm.weight, total)?;
                if let Some(bias) = &norm.bias {
                    sum_pieces(sums, whole, from + width, total, *width);
                    add_gradient(bias, total)?;
                }
            }
            from += 2 * width;
        }
        Ok(())
    }
}

/// The way back through a norm; `sums: [factor then bias]`.
pub(super) fn norm_back(
    level: Level,
    norm: &RowNorm,
    (x, dy): (&[f32], &[f32]),
    dx: &mut [f32],
    sums: &mut [f32],
) {
    let (factor, bias) = sums.split_at_mut(norm.factor.len());
    let bias = norm.bias.is_some().then_some(bias);
    norm.back(level, x, dy, dx, Some(factor), bias);
}

/// What the way there leaves of one block for the way back. Tokens row after row.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// What entered, `[tokens, hidden]`.
    pub(super) x: Vec<f32>,
    /// Queries, keys and values as attention reads them, `[tokens, width]`.
    pub(super) qkv: Vec<f32>,
    /// Before the norms of heads, where there are some.
    pub(super) raw: Vec<f32>,
    /// Of each row, head after head: `[count]`.
    pub(super) logs: Vec<f32>,
    /// What attention gave, `[tokens, heads · head_dim]`.
    pub(super) mixed: Vec<f32>,
    /// The branches before the norms after them, `[tokens, hidden]`, where there are some.
    pub(super) attention_branch: Vec<f32>,
    pub(super) mlp_branch: Vec<f32>,
    /// Between the two branches, `[tokens, hidden]`.
    pub(super) between: Vec<f32>,
    /// Before the nonlinearity.
    pub(super) into: Vec<f32>,
}

impl Kept {
    /// As large as the tokens of a pass need.
    pub(super) fn fit(&mut self, tokens: usize, sizes: Sizes, block: &BlockKernels) {
        let Sizes { hidden, heads, .. } = sizes;
        let branch = |norm: &Option<RowNorm>| if norm.is_some() { tokens * hidden } else { 0 };
        for (buffer, length) in [
            (&mut self.x, tokens * hidden),
            (&mut self.qkv, tokens * sizes.width()),
            (&mut self.raw, if block.head_norms.is_some() { tokens * sizes.width() } else { 0 }),
            (&mut self.logs, tokens * heads),
            (&mut self.mixed, tokens * sizes.queries()),
            (&mut self.attention_branch, branch(&block.after_attention)),
            (&mut self.mlp_branch, branch(&block.after_mlp)),
            (&mut self.between, tokens * hidden),
            (&mut self.into, tokens * block.first_width()),
        ] {
            buffer.resize(length, 0.0);
        }
    }
}
