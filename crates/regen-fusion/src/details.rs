//! Numbers that stand beside item vectors, as short vectors that a linear map can read: hats over knots.
//!
//! A number becomes the heights at it of triangular hats, one over each knot, so that a linear map of them is any piecewise
//! linear function of the number. Stars have a knot each; days and purchases have theirs at 2ᵏ − 1, since what tells today from
//! last week does not tell this year from last.

use regen_torch::{Numbers as _, try_range};
use tch::{Kind, Tensor};

use crate::AdapterConfig;
use crate::error::Torch;
use crate::inputs::{Numbers, SideName};

impl SideName {
    /// First and last knot, on the scale that [`hats`] brings a number to.
    fn knots(self) -> (i64, i64) {
        match self {
            Self::Rating => (1, 5),
            // 2¹¹ − 1 days are five and a half years.
            Self::Recency => (0, 11),
            // 2⁶ − 1 purchases are more than histories hold.
            Self::Position => (0, 6),
            // These are vectors.
            Self::Cf | Self::Semantic | Self::Review => (0, -1),
        }
    }

    /// The sides, then the details that `config` reads, each with the width of its vectors.
    pub(crate) fn all(config: &AdapterConfig) -> Vec<(Self, i64)> {
        let sides = [
            (config.sources.cf(), Self::Cf, config.cf_dim),
            (config.sources.semantic(), Self::Semantic, config.semantic_dim),
        ];
        let sides = sides.into_iter().filter(|(read, ..)| *read).map(|(_, name, dim)| (name, dim));
        let details = Self::details(config).filter(|(_, read)| *read).map(|(name, _)| {
            let (first, last) = name.knots();
            (name, last - first + 1)
        });
        // The last, so that everything before it starts as it does without.
        let review = config.details.review.map(|review| (Self::Review, review.dim));
        sides.chain(details).chain(review).collect()
    }

    /// Whether it is one of the two sides.
    pub(crate) fn is_side(self) -> bool {
        matches!(self, Self::Cf | Self::Semantic)
    }
}

/// `numbers` → `[batch, seq, knots]` of `absent`'s kind, with `absent: [knots]` where a number is not known, or of none if there
/// are no numbers.
pub(crate) fn hats(
    name: SideName,
    numbers: Option<&Numbers>,
    mask: &Tensor,
    absent: &Tensor,
) -> Torch<Tensor> {
    let (batch, seq) = mask.size2().unwrap_or((0, 0));
    let Some(numbers) = numbers else { return absent.f_expand([batch, seq, -1], false) };
    let (first, last) = name.knots();
    let known =
        numbers.values.f_to_kind(Kind::Double)?.try_masked_fill(&numbers.present.f_logical_not()?, 0.0)?;
    let scaled = match name {
        SideName::Rating => known,
        _ => known.try_clamp_min(0.0)?.f_log1p()?.try_div(std::f64::consts::LN_2)?,
    };
    let knots = try_range(first, last + 1, mask.device())?.f_to_kind(Kind::Double)?;
    let inside = scaled.try_clamp_min(first as f64)?.try_clamp_max(last as f64)?;
    let distance = inside.f_unsqueeze(-1)?.f_sub(&knots)?.f_abs()?;
    let heights = distance.f_neg()?.try_add(1.0)?.try_clamp_min(0.0)?.f_to_kind(absent.kind())?;
    heights.f_where_self(&numbers.present.f_unsqueeze(-1)?, absent)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn heights(name: SideName, value: f64, present: bool) -> Vec<f64> {
        let numbers = Numbers {
            values: Tensor::from_slice(&[value]).reshape([1, 1]),
            present: Tensor::from_slice(&[present]).reshape([1, 1]),
        };
        let (first, last) = name.knots();
        let absent = Tensor::full([last - first + 1], 7.0, (Kind::Double, Device::Cpu));
        let mask = Tensor::ones([1, 1], (Kind::Bool, Device::Cpu));
        Vec::try_from(hats(name, Some(&numbers), &mask, &absent).unwrap().reshape([-1])).unwrap()
    }

    #[test]
    fn a_number_stands_between_its_knots_and_the_heights_add_up_to_one() {
        assert_eq!(heights(SideName::Rating, 4.25, true), [0.0, 0.0, 0.0, 0.75, 0.25]);
        assert_eq!(heights(SideName::Rating, 9.0, true), [0.0, 0.0, 0.0, 0.0, 1.0]);
        for days in [0.0, 1.0, 5.5, 400.0, 1e6] {
            let found = heights(SideName::Recency, days, true);
            assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{days}: {found:?}");
        }
        // Three purchases are 2² − 1.
        assert_eq!(heights(SideName::Position, 3.0, true)[2], 1.0);
        assert_eq!(heights(SideName::Rating, f64::NAN, false), [7.0; 5]);
    }
}
