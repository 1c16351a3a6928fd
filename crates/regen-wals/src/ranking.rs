//! Exact top-k lists: every item is scored, the best are selected.

use rayon::prelude::*;

use crate::interactions::InteractionMatrix;
use crate::model::{Recommendation, SeenItems};

/// Item factors to rank by, `[items, rank]`, contiguous.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ranker<'a> {
    pub(crate) items: &'a [f32],
    pub(crate) rank: usize,
}

impl Ranker<'_> {
    /// One list for each of the given users; their numbers index `user_factors` and the matrix
    /// of seen items, and were checked against both.
    pub(crate) fn lists(
        &self,
        user_factors: &[f32],
        users: &[u32],
        k: usize,
        seen: SeenItems<'_>,
    ) -> Vec<Vec<Recommendation>> {
        users
            .par_iter()
            .map_init(Vec::new, |scores, &user| {
                let seen: &[u32] = match seen {
                    SeenItems::Exclude(matrix) => matrix.user_row(user as usize).0,
                    SeenItems::Keep => &[],
                };
                let factor = &user_factors[user as usize * self.rank..][..self.rank];
                self.best_items(factor, seen, k, scores)
            })
            .collect()
    }

    /// The best items for a factor, without those in `seen`.
    pub(crate) fn best_items(
        &self,
        factor: &[f32],
        seen: &[u32],
        k: usize,
        scores: &mut Vec<f32>,
    ) -> Vec<Recommendation> {
        scores.clear();
        scores.extend(self.items.chunks_exact(self.rank).map(|item| dot(factor, item)));
        for &item in seen {
            scores[item as usize] = f32::NEG_INFINITY;
        }
        best(scores, k)
    }
}

/// All items by popularity, most popular first, ties to the lower number.
pub(crate) fn by_popularity(matrix: &InteractionMatrix) -> Vec<Recommendation> {
    let mut ranked: Vec<Recommendation> = (0..matrix.items())
        .map(|item| Recommendation { item: item as u32, score: matrix.item_row(item).0.len() as f32 })
        .collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    ranked
}

/// x·y in f32 with sixteen partial sums: one vector register on wide machines.
fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let (x_chunks, x_rest) = x.as_chunks::<16>();
    let (y_chunks, y_rest) = y.as_chunks::<16>();
    for (a, b) in x_chunks.iter().zip(y_chunks) {
        for k in 0..16 {
            sums[k] += a[k] * b[k];
        }
    }
    let rest: f32 = x_rest.iter().zip(y_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// The k highest scores, best first, ties to the lower index; -∞ marks what is excluded.
fn best(scores: &[f32], k: usize) -> Vec<Recommendation> {
    let mut candidates: Vec<Recommendation> = scores
        .iter()
        .enumerate()
        .filter(|&(_, &score)| score != f32::NEG_INFINITY)
        .map(|(item, &score)| Recommendation { item: item as u32, score })
        .collect();
    let order =
        |a: &Recommendation, b: &Recommendation| b.score.total_cmp(&a.score).then(a.item.cmp(&b.item));
    if k == 0 {
        return Vec::new();
    }
    if k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, order);
        candidates.truncate(k);
    }
    candidates.sort_unstable_by(order);
    candidates
}
