//! How well ranked lists of items meet what users turned out to want.
//!
//! All are means over users of a value in 0..=1 that looks at the first `k` places. Relevance is binary. An item
//! that a list repeats counts at its first place only.

use std::collections::HashSet;
use std::hash::Hash;

use crate::aggregate::{Mean, MeanStats};
use crate::error::{Error, Result};
use crate::measurement::Measurement;

/// What to ask of a ranked list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankingMetric {
    /// Relevant items among the first `k`, over all relevant items.
    Recall,
    /// The same over the smaller of `k` and the number of relevant items, so that 1 can always be reached.
    TruncatedRecall,
    /// Discounted gain 1 / log₂(1 + place) of the relevant items among the first `k`, over the gain of the best
    /// possible list.
    Ndcg,
    /// 1 / place of the first relevant item among the first `k`, and 0 without one.
    ReciprocalRank,
    /// 1 if any of the first `k` is relevant.
    HitRate,
}

impl RankingMetric {
    fn name(self) -> &'static str {
        match self {
            Self::Recall => "Recall",
            Self::TruncatedRecall => "truncated Recall",
            Self::Ndcg => "NDCG",
            Self::ReciprocalRank => "MRR",
            Self::HitRate => "HR",
        }
    }

    /// The value of a list that holds the only relevant item at `place`, counted from 1.
    fn of_place(self, place: Option<usize>, k: usize) -> f64 {
        let Some(place) = place.filter(|place| *place <= k) else { return 0.0 };
        match self {
            Self::Recall | Self::TruncatedRecall | Self::HitRate => 1.0,
            Self::Ndcg => 1.0 / ((place + 1) as f64).log2(),
            Self::ReciprocalRank => 1.0 / place as f64,
        }
    }

    /// The value of one list, best item first, for a user who wants the `relevant` items (at least one).
    fn value<T: Eq + Hash>(self, ranked: &[T], relevant: &HashSet<&T>, k: usize) -> f64 {
        let gain = |place: usize| 1.0 / ((place + 2) as f64).log2();
        let mut seen = HashSet::new();
        let mut hits = (0..)
            .zip(ranked.iter().filter(|item| seen.insert(*item)).take(k))
            .filter_map(|(place, item): (usize, &T)| relevant.contains(item).then_some(place));
        let possible = relevant.len().min(k);
        match self {
            Self::Recall => hits.count() as f64 / relevant.len() as f64,
            Self::TruncatedRecall => hits.count() as f64 / possible as f64,
            Self::Ndcg => hits.map(gain).sum::<f64>() / (0..possible).map(gain).sum::<f64>(),
            Self::ReciprocalRank => hits.next().map_or(0.0, |place| 1.0 / (place + 1) as f64),
            Self::HitRate => f64::from(u8::from(hits.next().is_some())),
        }
    }
}

/// Scores the lists of all users: `ranked[u]`, best item first, against the set `relevant[u]`.
///
/// # Errors
/// [`Error::CountMismatch`], [`Error::Empty`] without users, [`Error::NoReference`] naming a user without
/// relevant items, [`Error::OutOfRange`] for `k` = 0.
pub fn ranking<T, L, R>(
    metric: RankingMetric,
    ranked: &[L],
    relevant: &[R],
    k: usize,
) -> Result<Measurement<Mean>>
where
    T: Eq + Hash,
    L: AsRef<[T]>,
    R: AsRef<[T]>,
{
    if ranked.len() != relevant.len() {
        return Err(Error::CountMismatch {
            what: "sets of relevant items",
            expected: ranked.len(),
            got: relevant.len(),
        });
    }
    let segments = ranked
        .iter()
        .zip(relevant)
        .enumerate()
        .map(|(segment, (list, wanted))| {
            let wanted: HashSet<&T> = wanted.as_ref().iter().collect();
            if wanted.is_empty() {
                return Err(Error::NoReference { segment });
            }
            Ok(MeanStats::of(metric.value(list.as_ref(), &wanted, k)))
        })
        .collect::<Result<Vec<_>>>()?;
    measurement(metric, segments, k)
}

fn measurement(metric: RankingMetric, segments: Vec<MeanStats>, k: usize) -> Result<Measurement<Mean>> {
    if k == 0 {
        let (field, expected) = ("k", "at least 1");
        return Err(Error::OutOfRange { metric: metric.name(), field, expected, got: 0.0 });
    }
    let signature = format!("relevance:binary|k:{k}|agg:users|version:regen.{}", env!("CARGO_PKG_VERSION"));
    Measurement::new(Mean::named(format!("{}@{k}", metric.name())), segments, signature)
}

/// Scores users who want one item each, by its place in their list, 1 for the best: what [`ranking`] gives for the lists
/// themselves, where only the place is known. `None` for an item that the list does not hold.
///
/// # Errors
/// [`Error::Empty`] without users, [`Error::OutOfRange`] for `k` = 0 or a place 0.
pub fn ranking_of_places(
    metric: RankingMetric,
    places: &[Option<usize>],
    k: usize,
) -> Result<Measurement<Mean>> {
    if places.contains(&Some(0)) {
        let (field, expected) = ("places", "places counted from 1");
        return Err(Error::OutOfRange { metric: metric.name(), field, expected, got: 0.0 });
    }
    let segments = places.iter().map(|place| MeanStats::of(metric.of_place(*place, k))).collect();
    measurement(metric, segments, k)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(metric: RankingMetric, k: usize, expected: [f64; 2]) {
        let ranked = [vec![5, 3, 9, 1, 7], vec![2, 2, 4]];
        let relevant = [vec![3, 1, 8], vec![4]];
        let got = ranking(metric, &ranked, &relevant, k).unwrap().segment_scores();
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-12, "{metric:?}@{k}: {got} {expected}");
        }
    }

    #[test]
    fn values_equal_those_by_hand() {
        let gain = |place: f64| 1.0 / (place + 1.0).log2();
        check(RankingMetric::Recall, 3, [1.0 / 3.0, 1.0]);
        check(RankingMetric::Recall, 1, [0.0, 0.0]);
        check(RankingMetric::TruncatedRecall, 2, [0.5, 1.0]);
        check(RankingMetric::HitRate, 1, [0.0, 0.0]);
        check(RankingMetric::HitRate, 2, [1.0, 1.0]);
        check(RankingMetric::ReciprocalRank, 5, [0.5, 0.5]);
        let ideal = gain(1.0) + gain(2.0) + gain(3.0);
        check(RankingMetric::Ndcg, 5, [(gain(2.0) + gain(4.0)) / ideal, gain(2.0)]);
        check(RankingMetric::Ndcg, 2, [gain(2.0) / (gain(1.0) + gain(2.0)), gain(2.0)]);
    }

    #[test]
    fn users_without_relevant_items_are_named() {
        let error = ranking(RankingMetric::Ndcg, &[[1], [2]], &[vec![1], vec![]], 5).unwrap_err();
        assert!(matches!(error, Error::NoReference { segment: 1 }));
        assert!(ranking(RankingMetric::Ndcg, &[[1]], &[[1]], 0).is_err());
        assert!(ranking(RankingMetric::Ndcg, &[[1]], &[[1], [2]], 3).is_err());
    }

    #[test]
    fn a_place_scores_as_the_list_that_it_is_the_place_in() {
        let metrics = [
            RankingMetric::Recall,
            RankingMetric::TruncatedRecall,
            RankingMetric::Ndcg,
            RankingMetric::ReciprocalRank,
            RankingMetric::HitRate,
        ];
        let places = [Some(1), Some(3), Some(4), Some(9), None];
        let lists: Vec<Vec<usize>> = places
            .iter()
            .map(|place| (1..=9).map(|at| if Some(at) == *place { 0 } else { at }).collect())
            .collect();
        let wanted = vec![vec![0]; places.len()];
        for metric in metrics {
            for k in [1, 3, 10] {
                let of_lists = ranking(metric, &lists, &wanted, k).unwrap();
                let of_places = ranking_of_places(metric, &places, k).unwrap();
                assert_eq!(of_places.segment_scores(), of_lists.segment_scores(), "{metric:?}@{k}");
            }
        }
        assert!(matches!(ranking_of_places(metrics[0], &[Some(0)], 5), Err(Error::OutOfRange { .. })));
        assert!(matches!(ranking_of_places(metrics[0], &[Some(1)], 0), Err(Error::OutOfRange { .. })));
        assert!(matches!(ranking_of_places(metrics[0], &[], 5), Err(Error::Empty)));
    }
}
