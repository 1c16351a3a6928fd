//! Whose norm the soft tokens have: the collaborative share over all of them, and by how often their items were bought. Of a
//! projection the two parts are exact; of another adapter they are its integrated gradients.

use anyhow::Result;
use regen_data::Interaction;
use regen_fusion::{AdapterKind, Sources};
use regen_narrator::{Narrator, Request};
use regen_torch::tensor_to_vec_f32;
use serde::{Deserialize, Serialize};
use tch::Kind;

/// Requests computed at once.
const BATCH: usize = 64;

/// Bins of the histogram over `[0, 1]`.
pub(super) const BINS: usize = 40;

/// The collaborative share of the soft tokens of the test examples whose items have both vectors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shares {
    /// How many soft tokens.
    pub tokens: u64,
    /// Mean share, 0 to 1.
    pub mean: f64,
    /// How many have a share in each fortieth of `[0, 1]`.
    pub histogram: Vec<u64>,
    /// The mean share by the popularity of the item, from the least bought tenth of the soft tokens to the most bought.
    pub by_popularity: Vec<f64>,
    /// The same by the kind of narrative that the soft tokens were given to, in the order of first appearance.
    #[serde(default)]
    pub by_kind: Vec<KindShare>,
    /// What the share is of.
    #[serde(default)]
    pub measure: Measure,
    /// By how much, of the change of a soft token, its parts miss adding up to it, at most.
    #[serde(default)]
    pub residual: f64,
}

/// What the norms of two sides are taken of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Of `W₁·e_i` and `W₂·e_s`.
    #[default]
    Norms,
    /// Of the integrated gradients of both sides.
    IntegratedGradients,
}

/// The collaborative share in the soft tokens of one kind of narrative.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KindShare {
    /// The kind.
    pub kind: String,
    /// How many soft tokens.
    pub tokens: u64,
    /// Mean share, 0 to 1.
    pub mean: f64,
}

/// One soft token whose item has both vectors.
struct Found<'a> {
    kind: &'a str,
    popularity: u32,
    share: f32,
}

/// The shares as [`shares`] gives them, or, where integrated gradients do not add up to what they are of, why there are none: what an
/// adapter came to may be too uneven for them, and the rest of a cell is worth keeping.
///
/// # Errors
/// As [`shares`].
pub(super) fn shares_or_why(
    narrator: &Narrator,
    requests: &[Request],
    bought: &[Interaction],
    items: usize,
) -> Result<(Option<Shares>, Option<String>)> {
    match shares(narrator, requests, bought, items) {
        Ok(found) => Ok((found, None)),
        Err(error) if incomplete(&error) => Ok((None, Some(format!("{error:#}")))),
        Err(error) => Err(error),
    }
}

fn incomplete(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<regen_narrator::Error>();
    matches!(cause, Some(regen_narrator::Error::Fusion(regen_fusion::Error::Incomplete { .. })))
}

/// The shares of a narrator on `requests`, or `None` where soft tokens are not made of two sides or no item has both.
///
/// Where a history is read as a whole, its soft tokens are of no item; the shares are then those of the narrated items, whose
/// soft tokens stand for themselves.
///
/// # Errors
/// If a request cannot be laid out.
fn shares(
    narrator: &Narrator,
    requests: &[Request],
    bought: &[Interaction],
    items: usize,
) -> Result<Option<Shares>> {
    let Some(adapter) = narrator.config().adapter.filter(|adapter| adapter.sources == Sources::Fusion) else {
        return Ok(None);
    };
    let measure = match adapter.kind {
        AdapterKind::Projection => Measure::Norms,
        _ => Measure::IntegratedGradients,
    };
    let whole = adapter.tokens_per_history() > 0;
    let mut residual = 0f64;
    let mut popularity = vec![0u32; items];
    for purchase in bought {
        popularity[purchase.item.index()] += 1;
    }
    let max_history = narrator.config().max_history;
    let mut found: Vec<Found> = Vec::new();
    for requests in requests.chunks(BATCH) {
        let (shares, both) = match measure {
            Measure::Norms => {
                let found = narrator.attribution(requests)?;
                (found.cf_share, found.both_present)
            }
            Measure::IntegratedGradients => {
                let found = narrator.integrated_gradients(requests)?;
                residual = residual.max(found.items.residual);
                (found.items.cf_share(), found.both_present)
            }
        };
        let shares = shares.f_mean_dim([-1i64].as_slice(), false, Kind::Float)?;
        let seq = shares.size()[1] as usize;
        let (shares, both) = (tensor_to_vec_f32(&shares)?, tensor_to_vec_f32(&both)?);
        for (row, request) in requests.iter().enumerate() {
            let history = request.history.len().min(max_history);
            for (position, item) in request.items_read(max_history).enumerate() {
                if whole && position < history {
                    continue;
                }
                let place = row * seq + position;
                if both[place] != 0.0 {
                    let (kind, popularity) = (request.kind.as_str(), popularity[item as usize]);
                    found.push(Found { kind, popularity, share: shares[place] });
                }
            }
        }
    }
    Ok((!found.is_empty()).then(|| Shares { measure, residual, ..summarise(found) }))
}

fn summarise(mut found: Vec<Found>) -> Shares {
    let mut histogram = vec![0u64; BINS];
    let mut by_kind: Vec<KindShare> = Vec::new();
    for Found { kind, share, .. } in &found {
        let share = f64::from(*share);
        histogram[((share * BINS as f64) as usize).min(BINS - 1)] += 1;
        match by_kind.iter_mut().find(|known| known.kind == *kind) {
            // A sum until all are counted.
            Some(known) => (known.tokens, known.mean) = (known.tokens + 1, known.mean + share),
            None => by_kind.push(KindShare { kind: (*kind).to_owned(), tokens: 1, mean: share }),
        }
    }
    by_kind.iter_mut().for_each(|kind| kind.mean /= kind.tokens as f64);
    let mean = |part: &[Found]| {
        part.iter().map(|found| f64::from(found.share)).sum::<f64>() / part.len().max(1) as f64
    };
    let overall = mean(&found);
    // Ties keep the order of the test examples, which has nothing to do with the shares.
    found.sort_by_key(|found| found.popularity);
    let cut = |tenth: usize| found.len() * tenth / 10;
    let tenths = (0..10).map(|tenth| &found[cut(tenth)..cut(tenth + 1)]).filter(|part| !part.is_empty());
    let by_popularity = tenths.map(mean).collect();
    Shares {
        tokens: found.len() as u64,
        mean: overall,
        histogram,
        by_popularity,
        by_kind,
        measure: Measure::Norms,
        residual: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gradients_that_do_not_add_up_leave_the_rest_of_a_cell_standing() {
        let error = |fusion: regen_fusion::Error| anyhow::Error::from(regen_narrator::Error::from(fusion));
        assert!(incomplete(&error(regen_fusion::Error::Incomplete { nodes: 256, residual: 1e-3 })));
        assert!(!incomplete(&anyhow::Error::from(regen_narrator::Error::NoAdapter)));
    }

    #[test]
    fn shares_are_ordered_by_popularity_and_counted_once() {
        // The more often bought, the larger the share.
        let token = |n: u32| Found {
            kind: if n < 20 { "reason" } else { "summary" },
            popularity: n,
            share: n as f32 / 100.0,
        };
        let shares = summarise((0..100u32).rev().map(token).collect());
        assert_eq!((shares.tokens, shares.histogram.iter().sum::<u64>()), (100, 100));
        assert!((shares.mean - 0.495).abs() < 1e-6);
        assert!(shares.by_popularity.is_sorted() && shares.by_popularity.len() == 10);
        assert!((shares.by_popularity[0] - 0.045).abs() < 1e-6);
        assert_eq!(summarise(vec![token(100)]).by_popularity, [1.0]);

        let kinds: Vec<_> = shares.by_kind.iter().map(|kind| (kind.kind.as_str(), kind.tokens)).collect();
        assert_eq!(kinds, [("summary", 80), ("reason", 20)]);
        assert!((shares.by_kind[1].mean - 0.095).abs() < 1e-6);
    }
}
