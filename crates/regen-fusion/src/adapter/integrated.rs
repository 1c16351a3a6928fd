//! Which side makes the soft token, for adapters whose parts do not add up: integrated gradients of every component.

use tch::Tensor;

use super::core::Adapter;
use super::maps::double;
use crate::error::{Torch, torch};
use crate::{Error, ItemVectors, Result, Sources};

/// What each side contributes to soft tokens, component by component: the integral of the derivative along the side's part of
/// the straight path from no vectors (zeros, after normalisation) to the item's, `∫₀¹ J_s(αx)·x_s dα`.
///
/// The two add up to what both change together (completeness), whatever the adapter. For a projection they are `W₁·e_i` and
/// `W₂·e_s`, so the share of their norms is the paper's. What is read beside the vectors (rating, recency, position) stands still
/// on the path and belongs to neither.
///
/// **Source** Sundararajan, Taly, Yan 2017, "Axiomatic Attribution for Deep Networks", equation 1, for each component of the
/// output.
#[derive(Debug)]
pub struct IntegratedGradients {
    /// `[.., hidden]` f64: what the collaborative side contributes to each soft token.
    pub cf: Tensor,
    /// `[.., hidden]` f64: what the semantic side contributes.
    pub semantic: Tensor,
    /// `[.., hidden]` f64: the soft tokens less what they are without vectors.
    pub change: Tensor,
    /// The largest relative miss of any real soft token: `‖cf + semantic − change‖ / ‖change‖`.
    pub residual: f64,
    /// Points of the path that were computed.
    pub nodes: usize,
}

/// A path is divided more finely until the contributions miss the change by less than this.
const AIM: f64 = 1e-7;
/// With the finest division they must not miss it by more.
const LIMIT: f64 = 1e-5;
/// Points of the coarsest and of the finest division.
const NODES: [usize; 2] = [8, 256];

impl IntegratedGradients {
    /// The share of the collaborative side in the norms, of the shape without `hidden`; 0 to 1.
    pub fn cf_share(&self) -> Tensor {
        let norm = |part: &Tensor| part.norm_scalaropt_dim(2, [-1i64], false);
        let (cf, semantic) = (norm(&self.cf), norm(&self.semantic));
        let total = (&cf + &semantic).clamp_min(f64::MIN_POSITIVE);
        cf / total
    }
}

impl Adapter {
    /// The contributions to the soft tokens of items, `[batch, seq, tokens_per_item, hidden]`. No gradient is recorded.
    ///
    /// # Errors
    /// [`Error::AttributionUndefined`] for an adapter that does not read both sides; [`Error::Incomplete`]; those of
    /// [`Adapter::forward`].
    pub fn integrated_gradients(&self, items: &ItemVectors) -> Result<IntegratedGradients> {
        let sides = self.path_end(items)?;
        let map = self.map.in_double();
        let shape = [self.config().tokens_per_item, self.config().hidden];
        integrate(&sides, &|sides| map.forward(sides)?.f_unflatten(-1, shape), &items.mask)
    }

    /// The contributions to the soft tokens of whole histories, `[batch, tokens, hidden]`; `None` unless the adapter makes
    /// such ([`Adapter::resample`]).
    ///
    /// # Errors
    /// As [`Adapter::integrated_gradients`].
    pub fn integrated_gradients_of_history(
        &self,
        items: &ItemVectors,
        history: &Tensor,
    ) -> Result<Option<IntegratedGradients>> {
        let Some(resampler) = &self.resampler else { return Ok(None) };
        let sides = self.path_end(items)?;
        items.check_history(history)?;
        let (resampler, history) = (resampler.in_double(), history.logical_and(&items.mask));
        let some = history.any_dim(1, false);
        integrate(&sides, &|sides| resampler.forward(sides, &history), &some).map(Some)
    }

    fn path_end(&self, items: &ItemVectors) -> Result<Vec<Tensor>> {
        let config = self.config();
        if config.sources != Sources::Fusion {
            return Err(Error::AttributionUndefined { kind: config.kind.as_str(), sources: config.sources });
        }
        Ok(self.prepared(items)?.iter().map(double).collect())
    }
}

/// `sides` are the two sides, then what stands still. `real` says which of the first dimensions of the output count.
fn integrate(
    sides: &[Tensor],
    output: &dyn Fn(&[Tensor]) -> Torch<Tensor>,
    real: &Tensor,
) -> Result<IntegratedGradients> {
    tch::no_grad(|| {
        let at = |cf: f64, semantic: f64| -> Result<Tensor> {
            let mut moved = vec![&sides[0] * cf, &sides[1] * semantic];
            moved.extend(sides[2..].iter().map(Tensor::shallow_clone));
            output(&moved).map_err(torch("compute soft tokens"))
        };
        let change = at(1.0, 1.0)? - at(0.0, 0.0)?;
        let mut nodes = NODES[0];
        loop {
            let (mut cf, mut semantic) = (change.zeros_like(), change.zeros_like());
            for (place, weight) in gauss_legendre(nodes) {
                cf += along(&|step| at(place + step, place))? * weight;
                semantic += along(&|step| at(place, place + step))? * weight;
            }
            let residual = miss(&(&cf + &semantic - &change), &change, real);
            if residual <= AIM || nodes >= NODES[1] {
                if residual.is_nan() || residual > LIMIT {
                    return Err(Error::Incomplete { nodes, residual });
                }
                return Ok(IntegratedGradients { cf, semantic, change, residual, nodes });
            }
            nodes *= 2;
        }
    })
}

/// The derivative of `output` at 0.
///
/// A central difference in f64 rather than a backward pass: one directional derivative of every component at once is what is
/// wanted, and libtorch has that in two backward passes, of which attention has but the first. The step leaves an error of about
/// 10⁻¹⁰, far below what is asked of completeness, which checks it each time.
fn along(output: &dyn Fn(f64) -> Result<Tensor>) -> Result<Tensor> {
    const STEP: f64 = 1e-5;
    Ok((output(STEP)? - output(-STEP)?) / (2.0 * STEP))
}

/// The largest of `‖off‖ / ‖change‖` over real soft tokens.
fn miss(off: &Tensor, change: &Tensor, real: &Tensor) -> f64 {
    if change.numel() == 0 {
        return 0.0;
    }
    let norm = |part: &Tensor| part.norm_scalaropt_dim(2, [-1i64], false);
    let (off, change) = (norm(off), norm(change));
    // A soft token that does not change has nothing to be divided.
    let floor = change.max().double_value(&[]) * 1e-6;
    let mut real = real.shallow_clone();
    while real.dim() < off.dim() {
        real = real.unsqueeze(-1);
    }
    let relative = off / change.clamp_min(floor.max(f64::MIN_POSITIVE));
    relative.masked_fill(&real.logical_not(), 0.0).max().double_value(&[])
}

/// Places in `[0, 1]` and weights of the quadrature that integrates polynomials of degree `2n − 1` exactly.
///
/// **Source** Abramowitz, Stegun 1964, 25.4.29: the places are the zeros of the Legendre polynomial, here by Newton's method.
fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let legendre = |x: f64| {
        let (mut previous, mut value) = (1.0, x);
        for k in 2..=n {
            let k = k as f64;
            (previous, value) = (value, ((2.0 * k - 1.0) * x * value - (k - 1.0) * previous) / k);
        }
        let slope = n as f64 * (x * value - previous) / (x * x - 1.0);
        (value, slope)
    };
    (0..n)
        .map(|index| {
            let mut x = (std::f64::consts::PI * (index as f64 + 0.75) / (n as f64 + 0.5)).cos();
            for _ in 0..20 {
                let (value, slope) = legendre(x);
                x -= value / slope;
            }
            let (_, slope) = legendre(x);
            (0.5 * (1.0 - x), 1.0 / ((1.0 - x * x) * slope * slope))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn the_quadrature_is_exact_for_polynomials() {
        for n in [2, 8, 64] {
            let nodes = gauss_legendre(n);
            for degree in 0..(2 * n as i32).min(30) {
                let sum: f64 = nodes.iter().map(|(x, w)| w * x.powi(degree)).sum();
                assert!((sum * f64::from(degree + 1) - 1.0).abs() < 1e-12, "{n} {degree}: {sum}");
            }
        }
    }

    /// Of the product of two numbers, each has half: the gradient along the path is the other number times α.
    #[test]
    fn a_product_is_shared_evenly_and_a_jump_is_refused() {
        let one = |value: f64| Tensor::from_slice(&[value]).reshape([1, 1, 1]);
        let real = Tensor::ones([1, 1], (Kind::Bool, Device::Cpu));
        let product = |sides: &[Tensor]| Ok(&sides[0] * &sides[1]);
        let found = integrate(&[one(3.0), one(5.0)], &product, &real).unwrap();
        assert!((found.cf.double_value(&[0, 0, 0]) - 7.5).abs() < 1e-8);
        assert!((found.semantic.double_value(&[0, 0, 0]) - 7.5).abs() < 1e-8);

        let jump = |sides: &[Tensor]| Ok(sides[0].gt(1.0).to_kind(Kind::Double));
        assert!(matches!(integrate(&[one(3.0), one(5.0)], &jump, &real), Err(Error::Incomplete { .. })));
    }
}
