//! The maps themselves. Each takes the prepared sides `[batch, seq, dim]` and gives
//! `[batch, seq, tokens_per_item · hidden]`.

use regen_torch::seed::{self, ChaCha8Rng};
use tch::{Kind, Tensor, nn};

use crate::error::Torch;
use crate::inputs::SideName;
use crate::normalise::component_rms;
use crate::{AdapterConfig, AdapterKind, HiddenActivation};

/// What part of a soft token's variance each detail has at the start: heard, but not louder than the item.
const DETAIL_SHARE: f64 = 0.1;

/// The root mean square of a component of what `name` gives at the start.
pub(super) fn input_rms(config: &AdapterConfig, name: SideName, dim: i64) -> f64 {
    match (name, &config.details.review) {
        (SideName::Review, Some(review)) => component_rms(review.normalisation, dim),
        _ if name.is_side() => component_rms(config.normalisation, dim),
        // Heights of hats add up to one, as a unit vector's squares do.
        _ => (dim as f64).sqrt().recip(),
    }
}

/// A matrix `[out, in]` and a bias, applied to the last dimension.
#[derive(Debug)]
pub(super) struct Layer {
    weight: Tensor,
    bias: Tensor,
}

impl Layer {
    pub(super) fn new(vs: nn::Path<'_>, rng: &mut ChaCha8Rng, (input, output): (i64, i64), std: f64) -> Self {
        Self {
            weight: vs.var_copy("weight", &seed::normal(rng, &[output, input], std)),
            bias: vs.zeros("bias", &[output]),
        }
    }

    pub(super) fn forward(&self, input: &Tensor) -> Torch<Tensor> {
        input.f_linear(&self.weight, Some(&self.bias))
    }

    /// Width of the output.
    pub(super) fn units(&self) -> i64 {
        self.bias.numel() as i64
    }

    /// Without the bias: where a change of the input goes.
    pub(super) fn turn(&self, input: &Tensor) -> Torch<Tensor> {
        input.f_linear(&self.weight, None::<&Tensor>)
    }

    /// The same numbers in f64.
    pub(super) fn in_double(&self) -> Self {
        Self { weight: double(&self.weight), bias: double(&self.bias) }
    }
}

pub(super) fn double(tensor: &Tensor) -> Tensor {
    tensor.detach().to_kind(Kind::Double)
}

#[derive(Debug)]
pub(super) enum Map {
    Projection {
        weights: Vec<Tensor>,
        bias: Tensor,
    },
    Mlp {
        hidden: Vec<Layer>,
        activation: HiddenActivation,
        output: Layer,
    },
    Gated {
        weights: Vec<Tensor>,
        bias: Tensor,
        gate: Layer,
    },
    /// `experts` gives the outputs of all experts one after the other.
    Mixture {
        experts: Layer,
        gate: Layer,
    },
}

impl Map {
    pub(super) fn new(
        vs: &nn::Path<'_>,
        config: &AdapterConfig,
        dims: &[(SideName, i64)],
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let output = config.hidden * config.tokens_per_item;
        let total: i64 = dims.iter().map(|&(_, dim)| dim).sum();
        let sides = dims.iter().filter(|(name, _)| name.is_side()).count() as f64;
        let of_sides = 1.0 - DETAIL_SHARE * (dims.len() as f64 - sides);
        // One matrix per side, named as in the paper: cf is W₁, semantic is W₂. Each side starts with an equal
        // share of the token's variance.
        let mut projections = |share: f64| -> Vec<Tensor> {
            dims.iter()
                .map(|&(name, dim)| {
                    let share = if name.is_side() { share * of_sides } else { DETAIL_SHARE };
                    let std = config.initial_rms * share.sqrt()
                        / ((dim as f64).sqrt() * input_rms(config, name, dim));
                    let start = seed::normal(rng, &[output, dim], std);
                    (vs / "projection").var_copy(name.as_str(), &start)
                })
                .collect()
        };
        match config.kind {
            AdapterKind::Projection | AdapterKind::CrossAttention { .. } => {
                let weights = projections(1.0 / sides);
                Self::Projection { weights, bias: vs.zeros("bias", &[output]) }
            }
            AdapterKind::Mlp { width, depth, activation } => {
                // Hidden units start with unit variance before the activation.
                let energy = energy(config, dims);
                let after = width as f64 * activation.second_moment();
                let hidden = (0..depth)
                    .map(|layer| {
                        let (input, energy) = if layer == 0 { (total, energy) } else { (width, after) };
                        Layer::new(vs / "hidden" / layer, rng, (input, width), energy.sqrt().recip())
                    })
                    .collect();
                let std = config.initial_rms / after.sqrt();
                let output = Layer::new(vs / "output", rng, (width, output), std);
                Self::Mlp { hidden, activation, output }
            }
            AdapterKind::MixtureOfExperts { experts } => {
                let count = experts as i64;
                let energy = energy(config, dims);
                // Mixed evenly, independent experts keep one part in `experts` of their variance.
                let std = config.initial_rms * (experts as f64 / energy).sqrt();
                Self::Mixture {
                    experts: Layer::new(vs / "experts", rng, (total, count * output), std),
                    gate: Layer::new(vs / "gate", rng, (total, count), 0.02),
                }
            }
            AdapterKind::Gated => {
                // The gate starts near one half, where each side keeps a quarter of its variance.
                let weights = projections(2.0);
                let gate = Layer::new(vs / "gate", rng, (total, output), 0.02);
                Self::Gated { weights, bias: vs.zeros("bias", &[output]), gate }
            }
        }
    }

    pub(super) fn forward(&self, sides: &[Tensor]) -> Torch<Tensor> {
        match self {
            Self::Projection { weights, bias } => {
                project(sides, weights)?.iter().try_fold(bias.shallow_clone(), |sum, part| sum.f_add(part))
            }
            Self::Mlp { hidden, activation, output } => {
                let mut state = Tensor::f_cat(sides, -1)?;
                for layer in hidden {
                    state = activate(&layer.forward(&state)?, *activation)?;
                }
                output.forward(&state)
            }
            Self::Mixture { experts, gate } => {
                let input = Tensor::f_cat(sides, -1)?;
                let shares = gate.forward(&input)?.f_softmax(-1, input.kind())?.f_unsqueeze(-2)?;
                let each = experts.forward(&input)?;
                // [.., 1, experts] · [.., experts, output]
                let mut shape = each.size();
                let (count, width) = (shares.size()[shares.dim() - 1], shape.pop().unwrap_or(0));
                shape.extend([count, width / count]);
                shares.f_matmul(&each.f_reshape(shape)?)?.f_squeeze_dim(-2)
            }
            Self::Gated { weights, bias, gate } => {
                let gate = gate.forward(&Tensor::f_cat(sides, -1)?)?.f_sigmoid()?;
                let parts = project(sides, weights)?;
                // lerp(b, a, g) = b + g·(a − b) = g·a + (1 − g)·b; details are added as they are.
                let mixed = parts[1].f_lerp_tensor(&parts[0], &gate)?.f_add(bias)?;
                parts.iter().skip(2).try_fold(mixed, |sum, part| sum.f_add(part))
            }
        }
    }

    /// The same numbers in f64.
    pub(super) fn in_double(&self) -> Self {
        let all = |weights: &[Tensor]| weights.iter().map(double).collect();
        match self {
            Self::Projection { weights, bias } => {
                Self::Projection { weights: all(weights), bias: double(bias) }
            }
            Self::Mlp { hidden, activation, output } => Self::Mlp {
                activation: *activation,
                hidden: hidden.iter().map(Layer::in_double).collect(),
                output: output.in_double(),
            },
            Self::Gated { weights, bias, gate } => {
                Self::Gated { weights: all(weights), bias: double(bias), gate: gate.in_double() }
            }
            Self::Mixture { experts, gate } => {
                Self::Mixture { experts: experts.in_double(), gate: gate.in_double() }
            }
        }
    }

    pub(super) fn contributions(&self, sides: &[Tensor]) -> Torch<Option<Vec<Tensor>>> {
        match self {
            Self::Projection { weights, .. } => project(sides, weights).map(Some),
            Self::Mlp { .. } | Self::Gated { .. } | Self::Mixture { .. } => Ok(None),
        }
    }
}

fn activate(x: &Tensor, activation: HiddenActivation) -> Torch<Tensor> {
    match activation {
        HiddenActivation::Gelu => x.f_gelu("none"),
        HiddenActivation::Relu => x.f_relu(),
        HiddenActivation::Silu => x.f_silu(),
        HiddenActivation::Tanh => x.f_tanh(),
    }
}

/// The expected squared norm of all inputs together.
pub(super) fn energy(config: &AdapterConfig, dims: &[(SideName, i64)]) -> f64 {
    dims.iter().map(|&(name, dim)| dim as f64 * input_rms(config, name, dim).powi(2)).sum()
}

fn project(sides: &[Tensor], weights: &[Tensor]) -> Torch<Vec<Tensor>> {
    sides.iter().zip(weights).map(|(side, weight)| side.f_linear(weight, None::<&Tensor>)).collect()
}
