//! Nonlinearities in plain arithmetic, so that loops over them are compiled to vectors.

use crate::level::{Level, Work};

/// eˣ to 2 units in the last place; 0 below −87.3, and at most e^88.3 above.
///
/// x = k·ln 2 + r with |r| ≤ ½ ln 2, a polynomial for eʳ, and 2ᵏ through the bits of the exponent.
///
/// **Source** Muller et al. 2018, "Handbook of Floating-Point Arithmetic", section 10.2, for the reduction in two parts.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding and taking away 1.5 · 2²³ rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let bounded = x.clamp(-87.3, 88.3);
    let shifted = bounded.mul_add(std::f32::consts::LOG2_E, ROUND);
    let k = shifted - ROUND;
    let r = k.mul_add(-LN_2_LOW, k.mul_add(-LN_2_HIGH, bounded));
    // The Taylor polynomial; its remainder at ½ ln 2 is below 1e-8.
    let mut sum = 1.0 / 5040.0f32;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum.mul_add(r, coefficient);
    }
    // The last bits of `shifted` are k: no conversion, which would have to mind numbers out of range.
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    let scale = f32::from_bits(exponent << 23);
    // A NaN goes through the clamp and the polynomial as it is.
    if x < -87.3 { 0.0 } else { sum * scale }
}

/// The error function to 5e-7, as x·P(x²)/Q(x²). Beyond ±3.92 it is ±1 to that precision.
///
/// P and Q were fitted to a relative error of 2e-8 on the squares up to 3.92², by least squares whose weights grow where the
/// error is largest (Lawson 1961).
#[inline(always)]
fn erf(x: f32) -> f32 {
    const P: [f32; 6] = [
        std::f32::consts::FRAC_2_SQRT_PI,
        0.190_405_92,
        0.052_748_665,
        0.003_765_597_7,
        0.000_284_882_93,
        2.050_099_3e-6,
    ];
    const Q: [f32; 6] = [1.0, 0.502_075_6, 0.114_108_9, 0.014_969_177, 0.001_162_531_2, 3.809_185e-5];
    let bounded = x.clamp(-3.92, 3.92);
    let square = bounded * bounded;
    let (mut over, mut under) = (P[5], Q[5]);
    for at in (0..5).rev() {
        over = over.mul_add(square, P[at]);
        under = under.mul_add(square, Q[at]);
    }
    bounded * over / under
}

/// A nonlinearity between two products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x·Φ(x), by the error function.
    Gelu,
    /// x·Φ(x), by the usual approximation with a hyperbolic tangent.
    GeluTanh,
    /// x / (1 + e⁻ˣ).
    Silu,
    /// max(x, 0).
    Relu,
}

impl Activation {
    /// Applies it to every number, in place.
    pub fn apply(self, level: Level, x: &mut [f32]) {
        level.run(Apply { activation: self, x });
    }

    /// Its value and its derivative, to be inlined into work that a level runs.
    #[inline(always)]
    pub(crate) fn with_slope(self, x: f32) -> (f32, f32) {
        match self {
            Self::Gelu => {
                let share = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
                // The density of the normal distribution: 1/√(2π) is half of 2/√π by √2.
                let density = 0.5
                    * std::f32::consts::FRAC_2_SQRT_PI
                    * std::f32::consts::FRAC_1_SQRT_2
                    * exp(-0.5 * x * x);
                (x * share, x.mul_add(density, share))
            }
            Self::GeluTanh => {
                let root = (2.0 / std::f32::consts::PI).sqrt();
                let share = 1.0 - 1.0 / (1.0 + exp(2.0 * root * (x + 0.044_715 * x * x * x)));
                let inner = 2.0 * root * (1.0 + 3.0 * 0.044_715 * x * x);
                (x * share, (x * share * (1.0 - share)).mul_add(inner, share))
            }
            Self::Silu => {
                let share = 1.0 / (1.0 + exp(-x));
                (x * share, share * x.mul_add(1.0 - share, 1.0))
            }
            Self::Relu => (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 }),
        }
    }

    /// As [`apply`](Self::apply), to be inlined into work that a level runs.
    #[inline(always)]
    pub(crate) fn inlined(self, x: &mut [f32]) {
        match self {
            Self::Gelu => {
                x.iter_mut().for_each(|x| *x *= 0.5 * (1.0 + erf(*x * std::f32::consts::FRAC_1_SQRT_2)));
            }
            // tanh(y) = 1 − 2 / (1 + exp(2y)), so ½x(1 + tanh(y)) = x − x / (1 + exp(2y)).
            Self::GeluTanh => x.iter_mut().for_each(|x| {
                let inner = (2.0 / std::f32::consts::PI).sqrt() * (*x + 0.044_715 * *x * *x * *x);
                *x -= *x / (1.0 + exp(2.0 * inner));
            }),
            Self::Silu => x.iter_mut().for_each(|x| *x /= 1.0 + exp(-*x)),
            Self::Relu => x.iter_mut().for_each(|x| *x = x.max(0.0)),
        }
    }
}

struct Apply<'a> {
    activation: Activation,
    x: &'a mut [f32],
}

impl Work for Apply<'_> {
    #[inline(always)]
    fn run(self) {
        self.activation.inlined(self.x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_the_exponential_to_two_units_in_the_last_place() {
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

    /// By the Taylor series, in f64: its terms stay small enough up to 4.5.
    fn exact_erf(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn erf_is_the_error_function_to_5e_7() {
        for step in -4_500..=4_500 {
            let x = step as f32 / 1000.0;
            let error = (f64::from(erf(x)) - exact_erf(f64::from(x))).abs();
            assert!(error < 5e-7, "{x}: {error:e}");
        }
        assert_eq!(erf(0.0), 0.0);
        assert!((erf(f32::INFINITY) - 1.0).abs() < 5e-7 && (erf(-30.0) + 1.0).abs() < 5e-7);
        assert!(erf(f32::NAN).is_nan());
    }

    #[test]
    fn activations_are_their_formulas_at_every_level() {
        let tanh_gelu = |x: f64| {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh())
        };
        for level in Level::available() {
            for step in -60..=60 {
                let x = f64::from(step) / 10.0;
                for (activation, expected) in [
                    (Activation::Gelu, 0.5 * x * (1.0 + exact_erf(x / 2f64.sqrt()))),
                    (Activation::GeluTanh, tanh_gelu(x)),
                    (Activation::Silu, x / (1.0 + (-x).exp())),
                    (Activation::Relu, x.max(0.0)),
                ] {
                    let mut values = [x as f32; 19];
                    activation.apply(level, &mut values);
                    for value in values {
                        assert!((f64::from(value) - expected).abs() < 2e-6, "{activation:?}({x}): {value}");
                    }
                }
            }
        }
    }
}
