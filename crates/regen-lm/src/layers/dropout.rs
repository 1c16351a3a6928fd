//! Dropout whose draws follow from a seed and a count, so that a pass can be computed again and a run can go on.

use regen_torch::{Numbers, try_range};
use tch::{Device, Kind, Tensor};

use crate::error::Result;

/// Which draws a training pass makes. The same seed and draw give the same elements, on every device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropoutDraw {
    /// Of the run.
    pub seed: u64,
    /// Counts the passes of the run: from the step alone, a run that is resumed goes on as it would have gone.
    pub draw: u64,
}

/// Constants of SplitMix64.
///
/// **Source** Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number Generators", figure 15 (variant 13 of Stafford).
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTORS: [u64; 2] = [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];
const SHIFTS: [i64; 3] = [30, 27, 31];

impl DropoutDraw {
    /// `x` with a share `rate` of its elements zero and the others larger by as much; `place` tells apart what is dropped in one
    /// pass. The rate is rounded to a 65,536th.
    ///
    /// **Source** Srivastava et al. 2014, "Dropout", section 10, scaled in training as every library does.
    pub(crate) fn apply(self, x: &Tensor, rate: f64, place: u64) -> Result<Tensor> {
        let threshold = (rate * 65_536.0).round().min(65_535.0);
        let kept = keep(self.key(place), x.numel() as i64, threshold as i64 - 32_768, x.device())?;
        let scale = 65_536.0 / (65_536.0 - threshold);
        let factors = kept.f_view(x.size().as_slice())?.f_to_kind(x.kind())?.try_mul(scale)?;
        Ok(x.f_mul(&factors)?)
    }

    fn key(self, place: u64) -> u64 {
        [self.seed, self.draw, place].into_iter().fold(0, |key, part| mix((key ^ part).wrapping_add(GAMMA)))
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> SHIFTS[0])).wrapping_mul(FACTORS[0]);
    z = (z ^ (z >> SHIFTS[1])).wrapping_mul(FACTORS[1]);
    z ^ (z >> SHIFTS[2])
}

/// Which of `count` elements stay: those whose 16 bits, as a signed number, are at least `threshold`.
///
/// Each number of the generator gives four draws: the hash is most of the work.
fn keep(key: u64, count: i64, threshold: i64, device: Device) -> Result<Tensor> {
    // The product wraps, which every build of libtorch does, and the test below would tell if one did not.
    let mut z = try_range(0, (count + 3) / 4, device)?;
    let _ = z.f_mul_scalar_(GAMMA as i64)?.f_add_scalar_(key as i64)?;
    for (round, shift) in SHIFTS.into_iter().enumerate() {
        // libtorch's shift keeps the sign.
        let mut high = z.try_shift_right(shift)?;
        let _ = high.f_bitwise_and_(((1u64 << (64 - shift)) - 1) as i64)?;
        let _ = z.f_bitwise_xor_tensor_(&high)?;
        if let Some(factor) = FACTORS.get(round) {
            let _ = z.f_mul_scalar_(*factor as i64)?;
        }
    }
    Ok(z.f_view_dtype(Kind::Int16)?.f_narrow(0, 0, count)?.try_ge(threshold)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_those_of_the_generator() {
        let (key, count) = (0xdead_beef_0123_4567u64, 37usize);
        for threshold in [-32_768i64, -20_000, 0, 31_000] {
            let kept =
                Vec::<bool>::try_from(keep(key, count as i64, threshold, Device::Cpu).unwrap()).unwrap();
            let expected = (0..count).map(|place| {
                let number = mix((place as u64 / 4).wrapping_mul(GAMMA).wrapping_add(key));
                i64::from((number >> (16 * (place % 4))) as u16 as i16) >= threshold
            });
            assert_eq!(kept, expected.collect::<Vec<_>>(), "{threshold}");
        }
    }

    fn dropped(seed: u64, draw: u64, place: u64) -> Tensor {
        DropoutDraw { seed, draw }
            .apply(&Tensor::ones([500, 40], (Kind::Float, Device::Cpu)), 0.3, place)
            .unwrap()
    }

    #[test]
    fn a_share_is_dropped_and_the_mean_stays() {
        let x = dropped(1, 2, 3);
        let zero = x.eq(0.0).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
        assert!((zero - 0.3).abs() < 0.01, "{zero}");
        assert!((x.mean(Kind::Float).double_value(&[]) - 1.0).abs() < 0.02);
        // Neither rows nor columns stand out.
        for dim in [0i64, 1] {
            let means = x.mean_dim([dim].as_slice(), false, Kind::Float);
            let deviation = means.std(false).double_value(&[]);
            let expected = (0.3f64 / 0.7 / if dim == 0 { 500.0 } else { 40.0 }).sqrt();
            assert!((deviation / expected - 1.0).abs() < 0.3, "{deviation} {expected}");
        }
        let rest = DropoutDraw { seed: 1, draw: 2 }.apply(&x, 0.0, 3).unwrap();
        assert_eq!(rest, x, "a rate of zero drops nothing");
    }

    #[test]
    fn seeds_draws_and_places_are_independent() {
        let one = dropped(1, 2, 3);
        assert_eq!(dropped(1, 2, 3), one);
        for other in [dropped(2, 2, 3), dropped(1, 3, 3), dropped(1, 2, 4), dropped(3, 2, 1)] {
            let both = (one.eq(0.0).logical_and(&other.eq(0.0))).to_kind(Kind::Float).mean(Kind::Float);
            assert!((both.double_value(&[]) - 0.09).abs() < 0.01, "{both}");
        }
    }
}
