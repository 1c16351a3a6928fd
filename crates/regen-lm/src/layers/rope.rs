//! Rotary position embedding: tables computed once per forward pass, applied to queries and keys.

use regen_torch::Numbers;
use tch::{Device, Kind, Tensor};

use crate::config::{Rope, RopeScaling};
use crate::error::Result;

/// The frequencies of a model.
#[derive(Debug)]
pub(crate) struct Rotary {
    /// `[rotary_dim / 2]` f32.
    pub(crate) frequencies: Tensor,
    /// cos and sin are multiplied by this (YaRN).
    pub(crate) magnitude: f64,
}

/// cos and signed sin for the positions of one forward pass.
#[derive(Debug)]
pub(crate) struct RotaryTables {
    /// `[batch or 1, seq, 1, rotary_dim]`.
    cos: Tensor,
    /// The same, the first half negated.
    sin: Tensor,
    rotary_dim: i64,
}

impl Rotary {
    pub(crate) fn new(rope: &Rope, device: Device) -> Result<Self> {
        let (frequencies, magnitude) = frequencies(rope);
        Ok(Self { frequencies: Tensor::f_from_slice(&frequencies)?.f_to_device(device)?, magnitude })
    }

    /// **Shapes** `positions: [batch or 1, seq] i64`.
    pub(crate) fn tables(&self, positions: &Tensor, kind: Kind) -> Result<RotaryTables> {
        let angles =
            positions.f_to_kind(Kind::Float)?.f_unsqueeze(-1)?.f_mul(&self.frequencies)?.f_unsqueeze(2)?;
        let (mut cos, mut sin) = (angles.f_cos()?, angles.f_sin()?);
        if self.magnitude != 1.0 {
            cos = cos.try_mul(self.magnitude)?;
            sin = sin.try_mul(self.magnitude)?;
        }
        Ok(RotaryTables {
            cos: Tensor::f_cat(&[&cos, &cos], -1)?.f_to_kind(kind)?,
            sin: Tensor::f_cat(&[&sin.f_neg()?, &sin], -1)?.f_to_kind(kind)?,
            rotary_dim: 2 * self.frequencies.size()[0],
        })
    }
}

impl RotaryTables {
    /// Turns each head: x·cos + swap(x)·sin, where swap exchanges the halves and the sign of the first
    /// sine table makes (a, b) → (a cos − b sin, b cos + a sin).
    ///
    /// **Shapes** `[batch, seq, heads, head_dim]`, unchanged.
    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let head_dim = x.size()[3];
        if self.rotary_dim == head_dim {
            return self.turn(x);
        }
        let turned = self.turn(&x.f_narrow(3, 0, self.rotary_dim)?)?;
        let kept = x.f_narrow(3, self.rotary_dim, head_dim - self.rotary_dim)?;
        Ok(Tensor::f_cat(&[&turned, &kept], 3)?)
    }

    fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let swapped = x.f_roll([self.rotary_dim / 2], [3])?;
        Ok(x.f_mul(&self.cos)?.f_addcmul(&swapped, &self.sin)?)
    }
}

/// Frequencies after scaling, and the factor of cos and sin.
fn frequencies(rope: &Rope) -> (Vec<f32>, f64) {
    let half = (rope.rotary_dim / 2) as usize;
    let plain: Vec<f64> =
        (0..half).map(|index| rope.theta.powf(-(2.0 * index as f64) / rope.rotary_dim as f64)).collect();
    let mut magnitude = 1.0;
    let scaled: Vec<f64> = match &rope.scaling {
        None => plain,
        Some(RopeScaling::Linear { factor }) => plain.iter().map(|f| f / factor).collect(),
        Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_positions }) => {
            plain
                .iter()
                .map(|&frequency| {
                    let length = *original_max_positions as f64;
                    let wave = 2.0 * std::f64::consts::PI / frequency;
                    if wave < length / high_freq_factor {
                        frequency
                    } else if wave > length / low_freq_factor {
                        frequency / factor
                    } else {
                        let kept = (length / wave - low_freq_factor) / (high_freq_factor - low_freq_factor);
                        (1.0 - kept) * frequency / factor + kept * frequency
                    }
                })
                .collect()
        }
        Some(RopeScaling::Yarn {
            factor,
            beta_fast,
            beta_slow,
            original_max_positions,
            attention_factor,
            truncate,
        }) => {
            magnitude = *attention_factor;
            // The dimension whose wave turns that often within the original length.
            let dimension = |rotations: f64| {
                rope.rotary_dim as f64
                    * (*original_max_positions as f64 / (rotations * 2.0 * std::f64::consts::PI)).ln()
                    / (2.0 * rope.theta.ln())
            };
            let (mut low, mut high) = (dimension(*beta_fast), dimension(*beta_slow));
            if *truncate {
                (low, high) = (low.floor(), high.ceil());
            }
            let low = low.max(0.0);
            let mut high = high.min(rope.rotary_dim as f64 - 1.0);
            if high == low {
                high += 0.001;
            }
            plain
                .iter()
                .enumerate()
                .map(|(index, &frequency)| {
                    let divided = ((index as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    divided * frequency / factor + (1.0 - divided) * frequency
                })
                .collect()
        }
    };
    (scaled.into_iter().map(|f| f as f32).collect(), magnitude)
}
