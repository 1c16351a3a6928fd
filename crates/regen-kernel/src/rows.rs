//! What happens to rows between two products.

use crate::level::{Level, Work};
use crate::math::exp;

/// Which norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// (x − mean) / √(variance + ε): Ba et al. 2016.
    Layer,
    /// x / √(mean of squares + ε): Zhang and Sennrich 2019.
    Rms,
}

/// A norm over the last dimension.
#[derive(Debug, Clone)]
pub struct RowNorm {
    /// Which.
    pub kind: NormKind,
    /// What each number is multiplied by, `[width]`.
    pub factor: Vec<f32>,
    /// What is added after, `[width]`.
    pub bias: Option<Vec<f32>>,
    /// ε.
    pub epsilon: f32,
}

impl RowNorm {
    /// Norms each piece of `x` that is as long as the factor, in place. **Shapes** `x: [.., width]`.
    pub fn apply(&self, level: Level, x: &mut [f32]) {
        level.run(Normed { norm: self, x });
    }

    /// As [`apply`](Self::apply), into `out`.
    pub fn apply_to(&self, level: Level, x: &[f32], out: &mut Vec<f32>) {
        out.clear();
        out.extend_from_slice(x);
        self.apply(level, out);
    }
}

struct Normed<'a> {
    norm: &'a RowNorm,
    x: &'a mut [f32],
}

impl Work for Normed<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { norm, x } = self;
        let width = norm.factor.len();
        for row in x.chunks_exact_mut(width) {
            if norm.kind == NormKind::Layer {
                let mean = sum(row) / width as f32;
                row.iter_mut().for_each(|value| *value -= mean);
            }
            let scale = 1.0 / (dot(row, row) / width as f32 + norm.epsilon).sqrt();
            row.iter_mut().zip(&norm.factor).for_each(|(value, factor)| *value *= scale * factor);
            if let Some(bias) = &norm.bias {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        }
    }
}

/// Σ aᵢbᵢ in sixteen sums, so that it is computed in vectors where it is inlined into [`Work`].
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = a.mul_add(*b, *sum);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    folded(sums, |a, b| a + b) + rest
}

/// Sixteen numbers as one, in halves: four steps where one after another would be fifteen.
#[inline(always)]
pub(crate) fn folded(mut all: [f32; 16], join: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for at in 0..half {
            all[at] = join(all[at], all[at + half]);
        }
    }
    all[0]
}

/// Σ aᵢ in sixteen sums.
#[inline(always)]
pub(crate) fn sum(a: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (whole, rest) = a.as_chunks::<16>();
    for part in whole {
        sums.iter_mut().zip(part).for_each(|(sum, a)| *sum += a);
    }
    folded(sums, |a, b| a + b) + rest.iter().sum::<f32>()
}

/// The largest number; −∞ of none.
#[inline(always)]
pub(crate) fn largest(a: &[f32]) -> f32 {
    let mut tops = [f32::NEG_INFINITY; 16];
    let (whole, rest) = a.as_chunks::<16>();
    for part in whole {
        tops.iter_mut().zip(part).for_each(|(top, a)| *top = top.max(*a));
    }
    rest.iter().fold(folded(tops, f32::max), |top, a| top.max(*a))
}

/// ln Σ eˣ to 1e-6; −∞ of none.
pub fn log_sum_exp(level: Level, x: &[f32]) -> f64 {
    let (mut top, mut total) = (f32::NEG_INFINITY, 0.0);
    level.run(SumExp { x, top: &mut top, total: &mut total });
    f64::from(top) + total.ln()
}

struct SumExp<'a> {
    x: &'a [f32],
    top: &'a mut f32,
    total: &'a mut f64,
}

impl Work for SumExp<'_> {
    #[inline(always)]
    fn run(self) {
        let top = largest(self.x);
        // In f32 as far as that rounds less than exp does.
        for part in self.x.chunks(256) {
            let mut sums = [0.0f32; 16];
            let (whole, rest) = part.as_chunks::<16>();
            for part in whole {
                sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += exp(*x - top));
            }
            let rest: f32 = rest.iter().map(|x| exp(*x - top)).sum();
            *self.total += f64::from(folded(sums, |a, b| a + b) + rest);
        }
        *self.top = top;
    }
}

/// Turns each head of a token by cosines and sines; the halves of its first `2 · turns.len()` numbers are pairs, the rest stays.
///
/// **Shapes** `heads: [heads, head_dim]`, `turns: [rotary_dim / 2]`.
///
/// **Source** Su et al. 2021, "RoFormer", equation 34.
pub fn turn(heads: &mut [f32], head_dim: usize, turns: &[(f32, f32)]) {
    for head in heads.chunks_exact_mut(head_dim) {
        let (low, high) = head[..2 * turns.len()].split_at_mut(turns.len());
        for ((low, high), (cos, sin)) in low.iter_mut().zip(high).zip(turns) {
            (*low, *high) = (*low * cos - *high * sin, *high * cos + *low * sin);
        }
    }
}

/// `x += y`, number by number.
pub fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_are_their_formulas_at_every_level() {
        let width = 37;
        let x: Vec<f32> = (0..3 * width).map(|i| ((i * 7919) % 101) as f32 / 17.0 - 2.0).collect();
        let factor: Vec<f32> = (0..width).map(|i| 1.0 + i as f32 / 50.0).collect();
        let bias: Vec<f32> = (0..width).map(|i| i as f32 / 90.0).collect();
        for level in Level::available() {
            for (kind, bias) in [(NormKind::Layer, Some(&bias)), (NormKind::Rms, None)] {
                let norm = RowNorm { kind, factor: factor.clone(), bias: bias.cloned(), epsilon: 1e-5 };
                let mut got = Vec::new();
                norm.apply_to(level, &x, &mut got);
                for (row, got) in x.chunks(width).zip(got.chunks(width)) {
                    let wide: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
                    let mean = match kind {
                        NormKind::Layer => wide.iter().sum::<f64>() / width as f64,
                        NormKind::Rms => 0.0,
                    };
                    let square = wide.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                    for (at, got) in got.iter().enumerate() {
                        let expected = (wide[at] - mean) / (square + 1e-5).sqrt() * f64::from(factor[at])
                            + bias.map_or(0.0, |bias| f64::from(bias[at]));
                        assert!((f64::from(*got) - expected).abs() < 1e-5, "{kind:?} {at}: {got} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_logarithm_of_a_sum_of_exponentials_is_right_at_every_level() {
        for length in [1, 5, 16, 300, 5000] {
            let x: Vec<f32> = (0..length).map(|i| ((i * 7919) % 613) as f32 / 40.0 - 300.0).collect();
            let exact = x.iter().map(|x| f64::from(*x + 300.0).exp()).sum::<f64>().ln() - 300.0;
            for level in Level::available() {
                assert!((log_sum_exp(level, &x) - exact).abs() < 1e-6, "{level:?} {length}");
            }
        }
        let impossible = [f32::NEG_INFINITY, 2.0, f32::NEG_INFINITY];
        assert!(Level::available().iter().all(|level| log_sum_exp(*level, &impossible) == 2.0));
        assert!(Level::available().iter().all(|level| log_sum_exp(*level, &[f32::NAN, 0.0]).is_nan()));
    }

    #[test]
    fn reductions_are_right_at_every_length() {
        for length in [0, 1, 15, 16, 17, 40] {
            let a: Vec<f32> = (0..length).map(|i| i as f32 - 3.0).collect();
            assert_eq!(sum(&a), a.iter().sum::<f32>());
            assert_eq!(dot(&a, &a), a.iter().map(|a| a * a).sum::<f32>());
            assert_eq!(largest(&a), a.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
