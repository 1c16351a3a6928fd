//! The exponential in plain arithmetic, so that loops over it are compiled to vectors.

/// eˣ to 2 units in the last place; 0 below −87.3, and at most e^88.3 above.
///
/// x = k·ln 2 + r with |r| ≤ ½ ln 2, a polynomial for eʳ, and 2ᵏ through the bits of the exponent.
///
/// **Source** Muller et al. 2018, "Handbook of Floating-Point Arithmetic", section 10.2, for the reduction in two parts.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding and taking away 1.5 · 2²³ rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let bounded = x.clamp(-87.3, 88.3);
    let k = bounded.mul_add(std::f32::consts::LOG2_E, ROUND) - ROUND;
    let r = k.mul_add(-LN_2_LOW, k.mul_add(-LN_2_HIGH, bounded));
    // The Taylor polynomial; its remainder at ½ ln 2 is below 1e-8.
    let mut sum = 1.0 / 5040.0f32;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum.mul_add(r, coefficient);
    }
    let scale = f32::from_bits(((k as i32 + 127) << 23) as u32);
    // A NaN goes through the clamp and the polynomial as it is.
    if x < -87.3 { 0.0 } else { sum * scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_exponential_to_two_units_in_the_last_place() {
        for step in -8_730..8_829 {
            let x = step as f32 / 100.0 + 0.003;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.0 * f64::from(f32::EPSILON), "{x}: {error:e}");
        }
        assert_eq!((exp(0.0), exp(-100.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert!(exp(f32::INFINITY).is_finite() && exp(100.0) > 2e38);
        assert!(exp(f32::NAN).is_nan());
    }
}
