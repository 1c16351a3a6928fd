//! Cross entropy of rows of scores, and its gradient.

use crate::level::{Level, Work};
use crate::math::exp;
use crate::rows::{folded, largest};

/// −ln of the share that softmax gives each row's target, summed; the scores become the gradient of `share` times that.
///
/// With a cap, scores are cap · tanh(score / cap) first (Gemma 2), and the gradient is that of the scores before.
///
/// **Shapes** `scores: [rows, width]`, `targets: [rows]`.
///
/// # Panics
/// If a target is no place of a row, or there are fewer rows than targets.
pub fn cross_entropy(
    level: Level,
    scores: &mut [f32],
    targets: &[usize],
    softcap: Option<f32>,
    share: f32,
) -> f64 {
    let mut loss = 0.0;
    if let Some(width) = scores.len().checked_div(targets.len()) {
        assert_eq!(scores.len(), width * targets.len(), "as many rows of scores as targets");
        level.run(Entropy { scores, width, targets, softcap, share, loss: &mut loss });
    }
    loss
}

struct Entropy<'a> {
    scores: &'a mut [f32],
    width: usize,
    targets: &'a [usize],
    softcap: Option<f32>,
    share: f32,
    loss: &'a mut f64,
}

impl Work for Entropy<'_> {
    #[inline(always)]
    fn run(self) {
        let mut slopes = Vec::new();
        for (row, target) in self.scores.chunks_exact_mut(self.width).zip(self.targets) {
            if let Some(cap) = self.softcap {
                slopes.clear();
                for score in row.iter_mut() {
                    let bounded = (*score / cap).tanh();
                    *score = bounded * cap;
                    slopes.push(1.0 - bounded * bounded);
                }
            }
            let own = row[*target];
            let top = largest(row);
            // In f32 as far as that rounds less than exp does.
            let mut total = 0.0;
            for part in row.chunks_mut(256) {
                let mut sums = [0.0f32; 16];
                let (whole, rest) = part.as_chunks_mut::<16>();
                for part in whole {
                    for (sum, score) in sums.iter_mut().zip(part) {
                        *score = exp(*score - top);
                        *sum += *score;
                    }
                }
                let mut left = 0.0;
                for score in rest {
                    *score = exp(*score - top);
                    left += *score;
                }
                total += f64::from(folded(sums, |a, b| a + b) + left);
            }
            *self.loss += f64::from(top) + total.ln() - f64::from(own);
            let factor = (f64::from(self.share) / total) as f32;
            row.iter_mut().for_each(|score| *score *= factor);
            row[*target] -= self.share;
            if self.softcap.is_some() {
                row.iter_mut().zip(&slopes).for_each(|(score, slope)| *score *= slope);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_and_its_gradient_are_their_formulas_at_every_level() {
        for width in [1, 7, 16, 300, 1000] {
            let rows = 3;
            let scores: Vec<f32> =
                (0..rows * width).map(|i| ((i * 7919) % 613) as f32 / 40.0 - 7.0).collect();
            let targets: Vec<usize> = (0..rows).map(|row| (row * 5 + 1) % width).collect();
            for softcap in [None, Some(4.0f32)] {
                let capped = |score: f32| match softcap {
                    Some(cap) => (f64::from(score) / f64::from(cap)).tanh() * f64::from(cap),
                    None => f64::from(score),
                };
                let (mut loss, mut gradient) = (0.0, Vec::new());
                for (row, target) in scores.chunks(width).zip(&targets) {
                    let total: f64 = row.iter().map(|score| capped(*score).exp()).sum();
                    loss += total.ln() - capped(row[*target]);
                    for (at, score) in row.iter().enumerate() {
                        let slope =
                            softcap.map_or(1.0, |cap| 1.0 - (capped(*score) / f64::from(cap)).powi(2));
                        let one = if at == *target { 1.0 } else { 0.0 };
                        gradient.push(0.25 * slope * (capped(*score).exp() / total - one));
                    }
                }
                for level in Level::available() {
                    let mut own = scores.clone();
                    let got = cross_entropy(level, &mut own, &targets, softcap, 0.25);
                    assert!((got - loss).abs() < 1e-5 * loss.max(1.0), "{width} {softcap:?}: {got} {loss}");
                    for (got, expected) in own.iter().zip(&gradient) {
                        assert!((f64::from(*got) - expected).abs() < 1e-6, "{width} {softcap:?}");
                    }
                }
            }
        }
        assert!(Level::available().iter().all(|level| cross_entropy(*level, &mut [], &[], None, 1.0) == 0.0));
    }
}
