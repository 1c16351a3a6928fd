//! Ranking quality on held-out pairs, for users of the fit or for new ones who are folded in, and
//! the most-popular baseline that validates the code. [`HoldOut`](crate::HoldOut) takes the pairs
//! out, [`EarlyStopping`](crate::EarlyStopping) ends a fit at its best ranking.
//!
//! Every item competes except those of the user's training row (full ranking, no sampled
//! negatives); ties go to the lower item number. Only users with held-out pairs count, and each
//! counts the same. With R held-out items of a user, of which the hits stand at positions
//! r ≤ k of the list:
//!
//! - recall@k = hits / R, truncated recall@k = hits / min(k, R) (Liang et al. 2018),
//! - NDCG@k = Σ 1/log₂(r + 1) over the hits, divided by the same sum over 1..=min(k, R),
//! - HR@k = 1 if there is a hit, MRR@k = 1 / position of the first hit.

use ndarray::ArrayView2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::interactions::InteractionMatrix;
use crate::model::{Recommendation, WalsModel, check_shape};
use crate::ranking::{Factors, by_popularity, lists};

/// Means over users of the ranking metrics at a cut-off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RankingReport {
    /// The cut-off.
    pub k: usize,
    /// Users with at least one held-out pair.
    pub users: usize,
    /// Held-out pairs, duplicates counted once.
    pub pairs: usize,
    /// Held-out pairs that are in the training matrix too. They cannot be recommended and are
    /// left out of everything above and below; anything but zero calls for another split.
    pub already_seen: usize,
    /// Mean recall@k.
    pub recall: f64,
    /// Mean recall@k with the denominator min(k, R).
    pub truncated_recall: f64,
    /// Mean NDCG@k.
    pub ndcg: f64,
    /// Mean reciprocal rank of the first hit within k.
    pub mrr: f64,
    /// Share of users with a hit within k.
    pub hit_rate: f64,
}

/// One of the metrics of a [`RankingReport`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankingMetric {
    /// [`RankingReport::recall`].
    Recall,
    /// [`RankingReport::truncated_recall`].
    TruncatedRecall,
    /// [`RankingReport::ndcg`].
    Ndcg,
    /// [`RankingReport::mrr`].
    Mrr,
    /// [`RankingReport::hit_rate`].
    HitRate,
}

impl RankingMetric {
    /// The value of this metric in a report.
    pub fn of(self, report: &RankingReport) -> f64 {
        match self {
            Self::Recall => report.recall,
            Self::TruncatedRecall => report.truncated_recall,
            Self::Ndcg => report.ndcg,
            Self::Mrr => report.mrr,
            Self::HitRate => report.hit_rate,
        }
    }
}

/// Ranks all unseen items for every user with held-out pairs (per-user hold-out, see
/// [`HoldOut`](crate::HoldOut)).
///
/// `held_out` are (user, item) pairs in any order. The report does not depend on the order of
/// the pairs nor on the number of threads.
///
/// # Errors
/// [`Error::UserOutOfRange`], [`Error::ItemOutOfRange`], [`Error::InvalidSetting`] when `k` is
/// 0, [`Error::NothingHeldOut`], [`Error::FactorShape`] when the matrix is not
/// the model's.
pub fn evaluate(
    model: &WalsModel,
    train: &InteractionMatrix,
    held_out: &[(u32, u32)],
    k: usize,
) -> Result<RankingReport> {
    Judge::new(train, held_out, k)?.report(model.user_factors(), model.item_factors())
}

/// The protocol of users who were not in the fit: each is folded in from a part of their pairs,
/// and all other items are ranked for the rest (Liang et al. 2018).
///
/// `given` holds the pairs to fold in: users of its own, the items of the model. `held_out` are
/// (user of `given`, item) pairs.
///
/// # Errors
/// As [`evaluate`] and [`WalsModel::fold_in_users`].
pub fn evaluate_new_users(
    model: &WalsModel,
    given: &InteractionMatrix,
    held_out: &[(u32, u32)],
    k: usize,
) -> Result<RankingReport> {
    let judge = Judge::new(given, held_out, k)?;
    let folded = model.fold_in_users(given)?;
    judge.report(folded.view(), model.item_factors())
}

/// Held-out pairs that are ready to judge factors by, again and again.
pub(crate) struct Judge<'a> {
    train: &'a InteractionMatrix,
    relevant: Relevant,
    k: usize,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(train: &'a InteractionMatrix, held_out: &[(u32, u32)], k: usize) -> Result<Self> {
        Ok(Self { train, relevant: Relevant::collect(train, held_out, k)?, k })
    }

    /// **Shapes** `user_factors: [users, rank]`, `item_factors: [items, rank]`.
    pub(crate) fn report(
        &self,
        user_factors: ArrayView2<'_, f32>,
        item_factors: ArrayView2<'_, f32>,
    ) -> Result<RankingReport> {
        let rank = item_factors.ncols();
        check_shape("user factors", user_factors, self.train.users(), rank)?;
        check_shape("item factors", item_factors, self.train.items(), rank)?;
        let users = user_factors.as_standard_layout();
        let items = item_factors.as_standard_layout();
        let (Some(users), Some(items)) = (users.as_slice(), items.as_slice()) else {
            unreachable!("standard layout is contiguous");
        };
        let memory = |numbers| Factors::Memory { numbers, rank };
        self.report_of(memory(users), memory(items), |user| user)
    }

    /// The same of factors of the right shapes, wherever they are; `row_of` a user are their factors.
    pub(crate) fn report_of(
        &self,
        users: Factors<'_>,
        items: Factors<'_>,
        row_of: impl Fn(u32) -> u32,
    ) -> Result<RankingReport> {
        let (relevant, k) = (&self.relevant, self.k);
        // In chunks, so that the lists of a million users never stand in memory together.
        let mut scores = Vec::with_capacity(relevant.users.len());
        for chunk in relevant.users.chunks(4096) {
            let seen = |user: u32| self.train.user_row(user as usize).0;
            let asked: Vec<(u32, &[u32])> =
                chunk.iter().map(|&(user, ..)| (row_of(user), seen(user))).collect();
            let lists = lists(users, items, &asked, k)?;
            scores.extend(
                chunk.iter().zip(lists).map(|(range, list)| UserScore::new(&list, relevant.items(range), k)),
            );
        }
        Ok(relevant.report(&scores, k))
    }
}

/// The same protocol for the list of most popular items: what any model must beat.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_most_popular(
    train: &InteractionMatrix,
    held_out: &[(u32, u32)],
    k: usize,
) -> Result<RankingReport> {
    let relevant = Relevant::collect(train, held_out, k)?;
    let ranked = by_popularity(train);
    let scores: Vec<UserScore> = relevant
        .users
        .par_iter()
        .map(|range| {
            let seen = train.user_row(range.0 as usize).0;
            let list: Vec<Recommendation> = ranked
                .iter()
                .filter(|candidate| seen.binary_search(&candidate.item).is_err())
                .take(k)
                .copied()
                .collect();
            UserScore::new(&list, relevant.items(range), k)
        })
        .collect();
    Ok(relevant.report(&scores, k))
}

/// Held-out items grouped by user: (user, start, end) into `items`.
struct Relevant {
    users: Vec<(u32, usize, usize)>,
    items: Vec<u32>,
    already_seen: usize,
}

impl Relevant {
    fn collect(train: &InteractionMatrix, held_out: &[(u32, u32)], k: usize) -> Result<Self> {
        let (users, items) = (train.users(), train.items());
        if k == 0 {
            return Err(Error::InvalidSetting { field: "k", expected: "at least 1", got: 0.0 });
        }
        let mut pairs = held_out.to_vec();
        pairs.sort_unstable();
        pairs.dedup();
        let given = pairs.len();
        let mut already_seen = 0;
        let mut grouped = Self { users: Vec::new(), items: Vec::with_capacity(pairs.len()), already_seen: 0 };
        for (user, item) in pairs {
            if user as usize >= users {
                return Err(Error::UserOutOfRange { user: user as usize, users });
            }
            if item as usize >= items {
                return Err(Error::ItemOutOfRange { item: item as usize, items });
            }
            if train.user_row(user as usize).0.binary_search(&item).is_ok() {
                already_seen += 1;
                continue;
            }
            grouped.items.push(item);
            let end = grouped.items.len();
            match grouped.users.last_mut() {
                Some(last) if last.0 == user => last.2 = end,
                _ => grouped.users.push((user, end - 1, end)),
            }
        }
        if grouped.items.is_empty() {
            return Err(Error::NothingHeldOut { given, already_seen });
        }
        grouped.already_seen = already_seen;
        Ok(grouped)
    }

    fn items(&self, range: &(u32, usize, usize)) -> &[u32] {
        &self.items[range.1..range.2]
    }

    fn report(&self, scores: &[UserScore], k: usize) -> RankingReport {
        let users = scores.len() as f64;
        let mean = |field: fn(&UserScore) -> f64| scores.iter().map(field).sum::<f64>() / users;
        RankingReport {
            k,
            users: scores.len(),
            pairs: self.items.len(),
            already_seen: self.already_seen,
            recall: mean(|score| score.recall),
            truncated_recall: mean(|score| score.truncated_recall),
            ndcg: mean(|score| score.ndcg),
            mrr: mean(|score| score.mrr),
            hit_rate: mean(|score| score.hit),
        }
    }
}

/// The metrics of one user.
struct UserScore {
    recall: f64,
    truncated_recall: f64,
    ndcg: f64,
    mrr: f64,
    hit: f64,
}

impl UserScore {
    /// `relevant` ascends.
    fn new(list: &[Recommendation], relevant: &[u32], k: usize) -> Self {
        let gain = |position: usize| 1.0 / (position as f64 + 2.0).log2();
        let mut hits = 0usize;
        let mut gained = 0.0;
        let mut first = None;
        for (position, recommendation) in list.iter().take(k).enumerate() {
            if relevant.binary_search(&recommendation.item).is_ok() {
                hits += 1;
                gained += gain(position);
                first.get_or_insert(position);
            }
        }
        let reachable = k.min(relevant.len());
        Self {
            recall: hits as f64 / relevant.len() as f64,
            truncated_recall: hits as f64 / reachable as f64,
            ndcg: gained / (0..reachable).map(gain).sum::<f64>(),
            mrr: first.map_or(0.0, |position| 1.0 / (position as f64 + 1.0)),
            hit: f64::from(u8::from(hits > 0)),
        }
    }
}
