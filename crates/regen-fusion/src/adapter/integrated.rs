//! Which side makes the soft token, for adapters whose parts do not add up: integrated gradients of every component.

use regen_torch::Numbers;
use tch::{Kind, Tensor};

use super::core::Adapter;
use super::kinks::Rectified;
use super::maps::{Map, double};
use super::path::{Integral, Path, norm};
use crate::config::HiddenActivation;
use crate::error::{Torch, torch};
use crate::{Error, ItemVectors, Result, Sources};

/// What each side contributes to soft tokens, component by component: the integral of the derivative along the side's part of
/// the straight path from no vectors (zeros, after normalisation) to the item's, `∫₀¹ J_s(αx)·x_s dα`.
///
/// They add up to what all change together (completeness), whatever the adapter. For a projection they are `W₁·e_i` and
/// `W₂·e_s`, so the share of their norms is the paper's. The vectors of reviews are a third part where they are read. Numbers that
/// are read beside the vectors (rating, recency, position) stand still on the path and belong to none.
///
/// **Source** Sundararajan, Taly, Yan 2017, "Axiomatic Attribution for Deep Networks", equation 1, for each component of the
/// output.
#[derive(Debug)]
pub struct IntegratedGradients {
    /// `[.., hidden]` f64: what the collaborative side contributes to each soft token.
    pub cf: Tensor,
    /// `[.., hidden]` f64: what the semantic side contributes.
    pub semantic: Tensor,
    /// `[.., hidden]` f64: what the user's own reviews contribute; `None` for an adapter that reads none.
    pub review: Option<Tensor>,
    /// `[.., hidden]` f64: the soft tokens less what they are without vectors.
    pub change: Tensor,
    /// The largest relative miss of any real soft token: `‖cf + semantic + review − change‖ / ‖change‖`.
    pub residual: f64,
    /// The most points of a path that were computed; of an MLP of rectified units, pieces between two switches.
    pub nodes: usize,
}

/// The contributions must not miss the change by more.
const LIMIT: f64 = 1e-5;

/// Gives the parts of sides, told which of them move.
type Whole<'a> = &'a dyn Fn(&[Tensor], &[usize]) -> Torch<Integral>;

impl IntegratedGradients {
    /// The share of the collaborative side in the norms of all parts, of the shape without `hidden`; 0 to 1.
    pub fn cf_share(&self) -> Tensor {
        let norm = |part: &Tensor| part.norm_scalaropt_dim(2, [-1i64], false);
        let (cf, mut total) = (norm(&self.cf), norm(&self.cf) + norm(&self.semantic));
        if let Some(review) = &self.review {
            total += norm(review);
        }
        cf / total.clamp_min(f64::MIN_POSITIVE)
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
        let (tokens, hidden) = (self.config().tokens_per_item, self.config().hidden);
        let whole = |sides: &[Tensor], moving: &[usize]| match &map {
            // What switches has a derivative that jumps, which no rule for smooth ones finds in reasonable time.
            Map::Mlp { hidden: layers, activation: HiddenActivation::Relu, output } => {
                let found = Rectified { hidden: layers, output }.integrate(sides, moving)?;
                let tokens = |part: &Tensor| part.f_unflatten(-1, [tokens, hidden]);
                let parts = found.parts.iter().map(tokens).collect::<Torch<_>>()?;
                Ok(Integral { parts, change: tokens(&found.change)?, nodes: found.nodes })
            }
            map => {
                let output =
                    |sides: &[Tensor], _: &Tensor| map.forward(sides)?.f_unflatten(-1, [tokens, hidden]);
                Path { sides, moving, output: &output }.integrate()
            }
        };
        let flat = sides.iter().map(|side| side.f_flatten(0, 1)).collect::<Torch<Vec<_>>>();
        let rows = flat.and_then(|flat| Ok((flat, items.mask.f_flatten(0, 1)?)));
        let (flat, real) = rows.map_err(torch("prepare the vectors of items"))?;
        let (batch, seq) = items.mask.size2().unwrap_or((0, 0));
        let shape = [batch, seq, tokens, hidden];
        self.attribute(&flat, &real, &shape, &whole)
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
        let resampler = resampler.in_double();
        let masks = history.f_logical_and(&items.mask).and_then(|seen| Ok((seen.f_any_dim(1, false)?, seen)));
        let (some, seen) = masks.map_err(torch("prepare the vectors of items"))?;
        let output =
            |sides: &[Tensor], rows: &Tensor| resampler.forward(sides, &seen.f_index_select(0, rows)?);
        let whole = |sides: &[Tensor], moving: &[usize]| Path { sides, moving, output: &output }.integrate();
        let shape = [some.numel() as i64, self.config().tokens_per_history(), self.config().hidden];
        self.attribute(&sides, &some, &shape, &whole).map(Some)
    }

    /// The parts that `whole` gives when it is told which sides move, asked whether they add up for every row that is `real`, in the
    /// shape `[outer.., tokens, hidden]`.
    fn attribute(
        &self,
        sides: &[Tensor],
        real: &Tensor,
        shape: &[i64],
        whole: Whole<'_>,
    ) -> Result<IntegratedGradients> {
        // Numbers stand still between the two sides and the reviews.
        let review = self.config().details.review.is_some();
        let moving: Vec<usize> = [0, 1].into_iter().chain(review.then(|| sides.len() - 1)).collect();
        let attributed = || -> Torch<_> {
            if real.numel() == 0 {
                let zeros = || Tensor::f_zeros(shape, (Kind::Double, real.device()));
                let parts = moving.iter().map(|_| zeros()).collect::<Torch<Vec<_>>>()?;
                return Ok((Integral { parts, change: zeros()?, nodes: 0 }, 0.0));
            }
            let found = whole(sides, &moving)?;
            let residual = miss(&found, real)?;
            let shaped = |part: &Tensor| part.f_reshape(shape);
            let parts = found.parts.iter().map(shaped).collect::<Torch<_>>()?;
            Ok((Integral { parts, change: shaped(&found.change)?, nodes: found.nodes }, residual))
        };
        let (Integral { parts, change, nodes }, residual) =
            tch::no_grad(attributed).map_err(torch("compute soft tokens"))?;
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(cf), Some(semantic), review) if residual <= LIMIT => {
                Ok(IntegratedGradients { cf, semantic, review, change, residual, nodes })
            }
            _ => Err(Error::Incomplete { nodes, residual }),
        }
    }

    fn path_end(&self, items: &ItemVectors) -> Result<Vec<Tensor>> {
        let config = self.config();
        if config.sources != Sources::Fusion {
            return Err(Error::AttributionUndefined { kind: config.kind.as_str(), sources: config.sources });
        }
        Ok(self.prepared(items)?.iter().map(double).collect())
    }
}

/// The largest of `‖Σ parts − change‖ / ‖change‖` over the soft tokens of real rows.
fn miss(found: &Integral, real: &Tensor) -> Torch<f64> {
    let off = found.parts.iter().try_fold(found.change.f_neg()?, |off, part| off.f_add(part))?;
    let (off, change) = (norm(&off)?, norm(&found.change)?);
    // A soft token that does not change has nothing to be divided.
    let floor = change.f_max()?.f_double_value(&[])? * 1e-6;
    let relative = off.f_div(&change.try_clamp_min(floor.max(f64::MIN_POSITIVE))?)?;
    relative.try_masked_fill(&real.f_logical_not()?.f_unsqueeze(1)?, 0.0)?.f_max()?.f_double_value(&[])
}
