//! What each side of the soft tokens is worth to each kind of narrative.

use anyhow::Result;
use regen_metrics::{Bootstrap, Measurement};
use regen_narrator::{Control, NarrativeLoss, SideLosses, Withheld};
use serde::Serialize;

use super::pooled::{Pooled, pool, same_users};
use super::records::{CellRecord, WorldRecord};
use crate::controls::mean_loss;

/// Nats a token that each side saves in narratives of one kind ([`SideLosses::shapley`]).
#[derive(Debug, Clone, Serialize)]
pub struct KindWorth {
    /// The kind.
    pub kind: String,
    /// Test narratives, of all seeds together.
    pub narratives: usize,
    /// Of the collaborative side.
    pub cf: Pooled,
    /// Of the semantic side.
    pub semantic: Pooled,
    /// Mean collaborative share of the norms in soft tokens that such narratives are given, where it is defined.
    pub norm_share: Option<f64>,
}

/// The worth of both sides by kind, in the order in which kinds first appear; nothing where a side was not taken away.
///
/// # Errors
/// If losses and test examples are not as many, or the resampling is refused.
pub(super) fn worth_by_kind(
    runs: &[(&WorldRecord, &CellRecord)],
    bootstrap: &Bootstrap,
) -> Result<Vec<KindWorth>> {
    let mut kinds: Vec<&str> = Vec::new();
    for kind in runs.iter().flat_map(|(world, _)| &world.kinds) {
        if !kinds.contains(&kind.as_str()) {
            kinds.push(kind);
        }
    }
    let mut found = Vec::new();
    let same = same_users(runs.iter().map(|(world, _)| *world));
    for kind in kinds {
        let (mut cf, mut semantic, mut judged, mut narratives) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (world, run) in runs {
            let Some(worths) = worths(&run.losses) else { return Ok(Vec::new()) };
            let (of_kind, users) = of_kind(kind, &worths, world);
            if of_kind.is_empty() {
                continue;
            }
            narratives += of_kind.len();
            let losses = |side: fn(&[NarrativeLoss; 2]) -> NarrativeLoss| -> Result<Measurement<_>> {
                mean_loss(&of_kind.iter().map(side).collect::<Vec<_>>(), &users)
            };
            cf.push(losses(|worth| worth[0])?);
            semantic.push(losses(|worth| worth[1])?);
            judged.push(users);
        }
        let judged: Vec<&[u32]> = judged.iter().map(Vec::as_slice).collect();
        found.push(KindWorth {
            kind: kind.to_owned(),
            narratives,
            cf: pool(&cf, &judged, same, bootstrap)?,
            semantic: pool(&semantic, &judged, same, bootstrap)?,
            norm_share: norm_share(kind, runs),
        });
    }
    Ok(found)
}

/// The worth of both sides in each test narrative, from its losses with and without them.
fn worths(losses: &[(Control, Vec<NarrativeLoss>)]) -> Option<Vec<[NarrativeLoss; 2]>> {
    let without = |wanted| {
        let found = losses.iter().find(|(control, _)| *control == Control::Without(wanted));
        found.map(|(_, losses)| losses)
    };
    let (both, neither) = (without(Withheld::Nothing)?, without(Withheld::Vectors)?);
    let (semantic, cf) = (without(Withheld::Cf)?, without(Withheld::Semantic)?);
    let worth = |index: usize| {
        let nats = |losses: &[NarrativeLoss]| losses.get(index).map(|loss| loss.nats);
        let tokens = both.get(index)?.tokens;
        let (both, neither) = (nats(both)?, nats(neither)?);
        let losses = SideLosses { neither, cf: nats(cf)?, semantic: nats(semantic)?, both };
        Some(losses.shapley().map(|nats| NarrativeLoss { nats, tokens }))
    };
    (0..both.len()).map(worth).collect()
}

fn of_kind(
    kind: &str,
    worths: &[[NarrativeLoss; 2]],
    world: &WorldRecord,
) -> (Vec<[NarrativeLoss; 2]>, Vec<u32>) {
    let examples = worths.iter().zip(&world.kinds).zip(&world.users);
    examples.filter(|((_, of), _)| *of == kind).map(|((worth, _), user)| (*worth, *user)).unzip()
}

/// Over the soft tokens of all seeds.
fn norm_share(kind: &str, runs: &[(&WorldRecord, &CellRecord)]) -> Option<f64> {
    let shares = runs.iter().filter_map(|(_, run)| run.shares.as_ref());
    let of_kind = shares.flat_map(|shares| &shares.by_kind).filter(|share| share.kind == kind);
    let (sum, tokens) = of_kind.fold((0.0, 0), |(sum, tokens), share| {
        (sum + share.mean * share.tokens as f64, tokens + share.tokens)
    });
    (tokens > 0).then(|| sum / tokens as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sides_of_every_narrative_add_up_to_what_both_save() {
        let under =
            |control, nats: [f64; 2]| (control, nats.map(|nats| NarrativeLoss { nats, tokens: 3 }).to_vec());
        let mut losses = vec![
            under(Control::Without(Withheld::Nothing), [1.0, 2.0]),
            under(Control::ShuffledItems, [9.0, 9.0]),
            under(Control::Without(Withheld::Cf), [1.5, 2.0]),
            under(Control::Without(Withheld::Semantic), [3.0, 2.5]),
            under(Control::Without(Withheld::Vectors), [4.0, 2.5]),
        ];
        let found = worths(&losses).unwrap();
        let nats: Vec<[f64; 2]> = found.iter().map(|worth| worth.map(|side| side.nats)).collect();
        // Added first, the collaborative side saves 4.0 − 3.0; added last, 1.5 − 1.0.
        assert_eq!(nats, [[0.75, 2.25], [0.0, 0.5]]);
        assert!(found.iter().flatten().all(|worth| worth.tokens == 3));
        losses.remove(2);
        assert!(worths(&losses).is_none(), "without the control there is no worth");
    }
}
