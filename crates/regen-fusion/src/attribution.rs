//! Which part makes the soft token: the norms of the contributions to a projection.

use tch::{Kind, Tensor};

use crate::{Adapter, AdapterKind, Error, ItemVectors, Result, Sources};

/// The norms of what each vector contributes to each soft token, and their ratios.
///
/// For the projection a soft token is `W₁·e_i + W₂·e_s + b`, so its two parts are exact; the share is
/// `‖W₁e_i‖ / (‖W₁e_i‖ + ‖W₂e_s‖)`. Where the user's own reviews are read, `W_r·e_r` is a third part, and the norms are divided
/// by the sum of all three, so that shares add up to 1 whatever is read. Numbers beside the vectors (rating, recency, position)
/// have no share.
///
/// **Source** Sayana et al. 2024 (arXiv 2410.16780), the comparison of the norms of `W₁eᵢ` and `W₂eₛ`.
#[derive(Debug)]
pub struct Attribution {
    /// `[batch, seq, tokens_per_item]` f32: `‖W₁e_i‖`.
    pub cf_norm: Tensor,
    /// `[batch, seq, tokens_per_item]` f32: `‖W₂e_s‖`.
    pub semantic_norm: Tensor,
    /// `[batch, seq, tokens_per_item]` f32 in `[0, 1]`: the share of the collaborative side.
    pub cf_share: Tensor,
    /// `[batch, seq, tokens_per_item]` f32 in `[0, 1]`: the share of the semantic side.
    pub semantic_share: Tensor,
    /// The part of the user's own reviews; `None` for an adapter that reads none.
    pub review: Option<ReviewShare>,
    /// `[batch, seq]` bool: positions that are real and whose item has both vectors. Elsewhere a norm belongs to
    /// the learned "absent" vector or to padding and says nothing of the sides.
    pub both_present: Tensor,
}

/// What the vectors of reviews contribute to each soft token.
#[derive(Debug)]
pub struct ReviewShare {
    /// `[batch, seq, tokens_per_item]` f32: `‖W_r e_r‖`.
    pub norm: Tensor,
    /// `[batch, seq, tokens_per_item]` f32 in `[0, 1]`: its share in the norms of the three.
    pub share: Tensor,
    /// `[batch, seq]` bool: positions that are real and whose purchase has a review. Elsewhere the norm is that of the learned
    /// "absent" vector, as everywhere for a target.
    pub present: Tensor,
}

impl Adapter {
    /// The norm share of each vector in each soft token of a batch. No gradient is recorded.
    ///
    /// # Errors
    /// [`Error::AttributionUndefined`] unless the adapter is a projection over both sides; those of
    /// [`Adapter::forward`].
    pub fn attribution(&self, items: &ItemVectors) -> Result<Attribution> {
        let config = self.config();
        let undefined =
            || Error::AttributionUndefined { kind: config.kind.as_str(), sources: config.sources };
        if config.sources != Sources::Fusion || config.kind != AdapterKind::Projection {
            return Err(undefined());
        }
        tch::no_grad(|| {
            let parts = self.contributions(items)?.ok_or_else(undefined)?;
            let norm = |part: &Tensor| {
                part.unflatten(-1, [config.tokens_per_item, config.hidden]).norm_scalaropt_dim(
                    2,
                    [-1i64],
                    false,
                )
            };
            let (cf_norm, semantic_norm) = (norm(&parts[0]), norm(&parts[1]));
            // Reviews are the last of what is read.
            let review_norm = config.details.review.and_then(|_| parts.last()).map(norm);
            let mut total = &cf_norm + &semantic_norm;
            if let Some(review) = &review_norm {
                total += review;
            }
            let total = total.clamp_min(f64::from(f32::MIN_POSITIVE));
            let real = items.mask.to_kind(Kind::Bool);
            let mut both_present = real.shallow_clone();
            for side in [&items.cf, &items.semantic].into_iter().flatten() {
                both_present = both_present.logical_and(&side.present);
            }
            let review = review_norm.map(|norm| ReviewShare {
                share: &norm / &total,
                norm,
                present: match &items.details.review {
                    Some(side) => real.logical_and(&side.present),
                    None => real.zeros_like(),
                },
            });
            Ok(Attribution {
                cf_share: &cf_norm / &total,
                semantic_share: &semantic_norm / &total,
                cf_norm,
                semantic_norm,
                review,
                both_present,
            })
        })
    }
}
