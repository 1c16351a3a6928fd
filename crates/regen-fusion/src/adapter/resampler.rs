//! A fixed number of soft tokens for a history of any length: learned queries attend over its items.

use regen_torch::seed::{self, ChaCha8Rng};
use regen_torch::{Numbers, try_range};
use tch::{Kind, Tensor, nn};

use super::maps::{Layer, double, energy};
use crate::AdapterConfig;
use crate::error::Torch;
use crate::inputs::SideName;

/// Reads the items of a history with `tokens` learned queries, layer upon layer.
///
/// Each item is one key, `W₁·e_i + W₂·e_s + b` plus its recency as sines (the number of purchases after it, so that the
/// last purchase looks alike in histories of every length). A learned key that stands for no item is always there: an
/// empty history is read as that alone.
///
/// **Source** Jaegle et al. 2021, "Perceiver: General Perception with Iterative Attention", section 3.1; used as a resampler
/// in front of a language model by Alayrac et al. 2022, "Flamingo", section 2.1.
#[derive(Debug)]
pub(super) struct Resampler {
    items: Layer,
    recency: Tensor,
    nothing: Tensor,
    queries: Tensor,
    blocks: Vec<Block>,
    gain: Tensor,
    heads: i64,
}

#[derive(Debug)]
struct Block {
    query: Layer,
    /// Without a bias: one added to every key moves no share.
    key: Tensor,
    value: Layer,
    output: Layer,
    up: Layer,
    down: Layer,
}

/// Share of a key's scale that recency has at the start.
const RECENCY: f64 = 0.5;
/// Units of the layer after attention, as a multiple of the width; Flamingo's.
const WIDENING: i64 = 4;

impl Resampler {
    pub(super) fn new(
        vs: &nn::Path<'_>,
        config: &AdapterConfig,
        dims: &[(SideName, i64)],
        rng: &mut ChaCha8Rng,
        (tokens, heads, layers): (i64, i64, usize),
    ) -> Self {
        let width = config.hidden;
        let total: i64 = dims.iter().map(|&(_, dim)| dim).sum();
        // Everything inside has components of variance one; the output alone is on the language model's scale.
        let plain = |fan_in: i64| (fan_in as f64).sqrt().recip();
        let vs = &(vs / "resampler");
        let items = Layer::new(vs / "items", rng, (total, width), energy(config, dims).sqrt().recip());
        let nothing = vs.var_copy("nothing", &seed::normal(rng, &[width], 1.0));
        let queries = vs.var_copy("queries", &seed::normal(rng, &[tokens, width], 1.0));
        let blocks = (0..layers)
            .map(|layer| {
                let vs = vs / "blocks" / layer;
                let square = |name: &str, rng: &mut ChaCha8Rng| {
                    Layer::new(&vs / name, rng, (width, width), plain(width))
                };
                let query = square("query", rng);
                let key = seed::normal(rng, &[width, width], plain(width));
                let key = (&vs / "key").var_copy("weight", &key);
                let (value, output) = (square("value", rng), square("output", rng));
                let up = Layer::new(&vs / "up", rng, (width, WIDENING * width), plain(width));
                let down = Layer::new(&vs / "down", rng, (WIDENING * width, width), plain(WIDENING * width));
                Block { query, key, value, output, up, down }
            })
            .collect();
        let recency = vs.var_copy("recency", &Tensor::from(RECENCY as f32));
        let gain =
            vs.var_copy("gain", &Tensor::full([width], config.initial_rms, (Kind::Float, vs.device())));
        Self { items, recency, nothing, queries, blocks, gain, heads }
    }

    /// The same numbers in f64.
    pub(super) fn in_double(&self) -> Self {
        let block = |block: &Block| Block {
            query: block.query.in_double(),
            key: double(&block.key),
            value: block.value.in_double(),
            output: block.output.in_double(),
            up: block.up.in_double(),
            down: block.down.in_double(),
        };
        Self {
            items: self.items.in_double(),
            recency: double(&self.recency),
            nothing: double(&self.nothing),
            queries: double(&self.queries),
            blocks: self.blocks.iter().map(block).collect(),
            gain: double(&self.gain),
            heads: self.heads,
        }
    }

    /// **Shapes** `sides: [batch, seq, dim]` each, `history: [batch, seq]` bool `→ [batch, tokens, hidden]`.
    pub(super) fn forward(&self, sides: &[Tensor], history: &Tensor) -> Torch<Tensor> {
        let keys = self.items.forward(&Tensor::f_cat(sides, -1)?)?;
        let keys = keys.f_add(&recency(history, self.nothing.numel() as i64)?.f_mul(&self.recency)?)?;
        let batch = history.size()[0];
        let nothing = self.nothing.f_expand([batch, 1, -1], false)?;
        let keys = normal(&Tensor::f_cat(&[keys, nothing], 1)?)?;
        let always = Tensor::f_ones([batch, 1], (Kind::Bool, history.device()))?;
        let seen = Tensor::f_cat(&[history, &always], 1)?.f_unsqueeze(1)?.f_unsqueeze(1)?;
        let mut state = self.queries.f_expand([batch, -1, -1], false)?;
        for block in &self.blocks {
            let split = |rows: Tensor| rows.f_unflatten(-1, [self.heads, -1])?.f_transpose(1, 2);
            let read = Tensor::f_scaled_dot_product_attention(
                &split(block.query.forward(&normal(&state)?)?)?,
                &split(keys.f_linear(&block.key, None::<&Tensor>)?)?,
                &split(block.value.forward(&keys)?)?,
                Some(&seen),
                0.0,
                false,
                None,
                false,
            )?;
            let read = read.f_transpose(1, 2)?.f_flatten(2, 3)?;
            state = state.f_add(&block.output.forward(&read)?)?;
            let wide = block.up.forward(&normal(&state)?)?.f_gelu("none")?;
            state = state.f_add(&block.down.forward(&wide)?)?;
        }
        normal(&state)?.f_mul(&self.gain)
    }
}

/// Each vector to mean 0 and variance 1; scale and shift are left to the layer that reads it.
fn normal(rows: &Tensor) -> Torch<Tensor> {
    let width = rows.size().last().copied().unwrap_or(0);
    rows.f_layer_norm([width], None::<&Tensor>, None::<&Tensor>, 1e-5, false)
}

/// Sines and cosines of the number of purchases after each, `[batch, seq] → [batch, seq, width]`.
///
/// **Source** Vaswani et al. 2017, "Attention Is All You Need", section 3.5.
fn recency(history: &Tensor, width: i64) -> Torch<Tensor> {
    let counted = history.f_to_kind(Kind::Float)?;
    let until = counted.f_cumsum(1, Kind::Float)?;
    let after = counted.f_sum_dim_intlist([1i64].as_slice(), true, Kind::Float)?.f_sub(&until)?;
    let half = (width + 1) / 2;
    let places = try_range(0, half, history.device())?.f_to_kind(Kind::Float)?;
    let exponents = places.try_mul(-(1e4f64.ln()) / half as f64)?;
    let angles = after.f_unsqueeze(-1)?.f_mul(&exponents.f_exp()?)?;
    Tensor::f_cat(&[angles.f_sin()?, angles.f_cos()?], -1)?.f_narrow(-1, 0, width)
}
