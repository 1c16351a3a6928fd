//! What layers are made of: products, norms, rotations.

use regen_torch::Numbers;
use tch::{Kind, Tensor};

use super::encoder::Torch;
use crate::families::NormKind;

/// A matrix `[out, in]` and its bias, if it has one.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) weight: Tensor,
    pub(super) bias: Option<Tensor>,
}

impl Linear {
    pub(super) fn forward(&self, input: &Tensor) -> Torch<Tensor> {
        input.f_linear(&self.weight, self.bias.as_ref())
    }

    pub(super) fn share(&self) -> Self {
        Self { weight: self.weight.shallow_clone(), bias: self.bias.as_ref().map(Tensor::shallow_clone) }
    }

    /// Several products of the same input as one: their outputs stand side by side.
    pub(super) fn beside(parts: Vec<Self>) -> Torch<Self> {
        let weights: Vec<&Tensor> = parts.iter().map(|part| &part.weight).collect();
        let biases: Vec<&Tensor> = parts.iter().filter_map(|part| part.bias.as_ref()).collect();
        let bias = if biases.is_empty() { None } else { Some(Tensor::f_cat(&biases, 0)?) };
        Ok(Self { weight: Tensor::f_cat(&weights, 0)?, bias })
    }
}

/// A norm over the last dimension.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) kind: NormKind,
    pub(super) weight: Tensor,
    pub(super) bias: Option<Tensor>,
    pub(super) eps: f64,
}

impl Norm {
    pub(super) fn forward(&self, input: &Tensor) -> Torch<Tensor> {
        match self.kind {
            NormKind::Layer => {
                let width = self.weight.size();
                input.f_layer_norm(width, Some(&self.weight), self.bias.as_ref(), self.eps, true)
            }
            NormKind::Rms => self.scaled(input)?.f_to_kind(input.kind())?.f_mul(&self.weight),
            // Gemma multiplies before it returns to the lower precision, Qwen after.
            NormKind::RmsPlusOne => {
                let factor = self.weight.f_to_kind(Kind::Float)?.try_add(1.0)?;
                self.scaled(input)?.f_mul(&factor)?.f_to_kind(input.kind())
            }
        }
    }

    /// `x / √(mean(x²) + ε)` in f32.
    fn scaled(&self, input: &Tensor) -> Torch<Tensor> {
        let wide = input.f_to_kind(Kind::Float)?;
        let mean_square = wide.f_square()?.f_mean_dim(-1, true, Kind::Float)?;
        wide.f_mul(&mean_square.try_add(self.eps)?.f_rsqrt()?)
    }

    pub(super) fn share(&self) -> Self {
        Self {
            kind: self.kind,
            weight: self.weight.shallow_clone(),
            bias: self.bias.as_ref().map(Tensor::shallow_clone),
            eps: self.eps,
        }
    }
}

/// What an optional norm makes of `input`.
pub(super) fn normed(norm: Option<&Norm>, input: Tensor) -> Torch<Tensor> {
    match norm {
        Some(norm) => norm.forward(&input),
        None => Ok(input),
    }
}

/// Rotary positions.
///
/// **Source** Su et al. 2021, "RoFormer", equation 34, with the halves of a head as pairs.
#[derive(Debug)]
pub(super) struct Rotary {
    /// `[head_dim / 2]` f32.
    pub(super) frequencies: Tensor,
}

/// Cosines and sines at the positions of a batch.
#[derive(Debug)]
pub(super) struct Angles {
    /// `[tokens, 1, head_dim]`
    cos: Tensor,
    /// The same, its first half negated.
    sin: Tensor,
    half: i64,
}

impl Rotary {
    /// `base^(−2i / head_dim)`, in f32 as the reference computes them.
    pub(super) fn new(base: f64, head_dim: i64, device: tch::Device) -> Torch<Self> {
        let powers = Tensor::f_arange_start_step(0, head_dim, 2, (Kind::Float, device))?;
        let powers = powers.try_div(head_dim as f64)?;
        Ok(Self { frequencies: Tensor::f_pow_scalar(base, &powers)?.f_reciprocal()? })
    }

    pub(super) fn share(&self) -> Self {
        Self { frequencies: self.frequencies.shallow_clone() }
    }

    /// `positions: [tokens] i64`
    pub(super) fn angles(&self, positions: &Tensor, kind: Kind) -> Torch<Angles> {
        let angles = positions.f_to_kind(Kind::Float)?.f_view([-1, 1, 1])?.f_mul(&self.frequencies)?;
        let (cos, sin) = (angles.f_cos()?, angles.f_sin()?);
        Ok(Angles {
            cos: Tensor::f_cat(&[&cos, &cos], -1)?.f_to_kind(kind)?,
            sin: Tensor::f_cat(&[&sin.f_neg()?, &sin], -1)?.f_to_kind(kind)?,
            half: self.frequencies.size()[0],
        })
    }
}

impl Angles {
    /// Turns the heads of the tokens from `start` on: `heads: [rows, heads, head_dim]`, unchanged in shape.
    pub(super) fn turn(&self, heads: &Tensor, start: i64) -> Torch<Tensor> {
        let rows = heads.size()[0];
        let swapped = heads.f_roll([self.half], [2])?;
        let (cos, sin) = (self.cos.f_narrow(0, start, rows)?, self.sin.f_narrow(0, start, rows)?);
        heads.f_mul(&cos)?.f_addcmul(&swapped, &sin)
    }
}
