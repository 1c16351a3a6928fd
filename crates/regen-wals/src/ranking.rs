//! Exact top-k lists: every item is scored, the best are selected.
//!
//! Scores are a matrix product of users and items, in tiles that stay in registers, and each tile is looked through while it is in
//! the cache: what is not above the worst of a user's list so far is passed over, a vector at a time. A score is summed in one
//! order, whatever users and items stand beside it, so a list does not depend on batches, blocks or threads.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::factor_file::FactorFile;
use crate::interactions::InteractionMatrix;
use crate::kernel::product::{Panels, Table, gather_transposed, strip};
use crate::limits::all_finite;
use crate::model::{Recommendation, SeenItems};
use crate::simd::{Kernel, Lanes, Level, MOST_LANES, dispatch, flat_mut};

/// Factors of one side, `[rows, rank]`: in memory, contiguous, or on disk.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Factors<'a> {
    Memory { numbers: &'a [f32], rank: usize },
    File { file: &'a FactorFile, what: &'static str },
}

/// Numbers of a file that are in memory at a time.
const READ: usize = 1 << 21;

impl Factors<'_> {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Memory { numbers, rank } => numbers.len() / rank,
            Self::File { file, .. } => file.rows(),
        }
    }

    pub(crate) fn rank(&self) -> usize {
        match self {
            Self::Memory { rank, .. } => *rank,
            Self::File { file, .. } => file.rank(),
        }
    }

    /// Refuses users that have no row.
    pub(crate) fn check_users(&self, users: &[u32]) -> Result<()> {
        match users.iter().find(|&&user| user as usize >= self.rows()) {
            Some(&user) => Err(Error::UserOutOfRange { user: user as usize, users: self.rows() }),
            None => Ok(()),
        }
    }

    /// Rows that are looked at together.
    fn rows_at_once(&self) -> usize {
        match self {
            Self::Memory { .. } => self.rows().max(1),
            Self::File { .. } => (READ / self.rank().max(1)).max(1),
        }
    }

    /// Consecutive rows that exist.
    fn part<'a>(&'a self, range: Range<usize>, buffer: &'a mut Vec<f32>) -> Result<&'a [f32]> {
        match self {
            Self::Memory { numbers, rank } => Ok(&numbers[range.start * rank..range.end * rank]),
            Self::File { file, what } => {
                buffer.resize(range.len() * file.rank(), 0.0);
                file.read_into(range.start, buffer)?;
                check_finite(what, buffer, file.rank(), |row| range.start + row)?;
                Ok(buffer)
            }
        }
    }

    /// Rows that exist, `[rows.len(), rank]`.
    fn gather(&self, rows: &[u32]) -> Result<Vec<f32>> {
        let mut gathered = vec![0f32; rows.len() * self.rank()];
        match self {
            Self::Memory { numbers, rank } => {
                for (to, &row) in gathered.chunks_exact_mut(*rank).zip(rows) {
                    to.copy_from_slice(&numbers[row as usize * rank..][..*rank]);
                }
            }
            Self::File { file, what } => {
                file.gather_into(rows, 0, &mut gathered)?;
                check_finite(what, &gathered, file.rank(), |row| rows[row] as usize)?;
            }
        }
        Ok(gathered)
    }
}

/// The `k` best items for each of `users`, rows of their factors; `seen` was checked.
pub(crate) fn recommend(
    user_factors: Factors<'_>,
    items: Factors<'_>,
    users: &[u32],
    k: usize,
    seen: SeenItems<'_>,
) -> Result<Vec<Vec<Recommendation>>> {
    user_factors.check_users(users)?;
    let users: Vec<(u32, &[u32])> = users.iter().map(|&user| (user, seen_by(seen, user as usize))).collect();
    lists(user_factors, items, &users, k)
}

/// Refuses rows of a file with a number that is not finite.
fn check_finite(
    what: &'static str,
    numbers: &[f32],
    rank: usize,
    name: impl Fn(usize) -> usize,
) -> Result<()> {
    let Some(row) = numbers.chunks_exact(rank.max(1)).position(|row| !all_finite(row)) else { return Ok(()) };
    let numbers = &numbers[row * rank..][..rank];
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(column) => Err(Error::FactorValue { what, row: name(row), column, value: numbers[column] }),
        None => Ok(()),
    }
}

/// Users whose lists are in the making at the same time; items on disk are read once for all of them.
const USERS: usize = 4096;
/// The most users of a task: their factors are read from the cache again and again.
const BATCH: usize = 256;

/// One list for each of `users`: rows of their factors, with the numbers of the items that each has already, ascending. Rows
/// and numbers were checked.
pub(crate) fn lists(
    user_factors: Factors<'_>,
    items: Factors<'_>,
    users: &[(u32, &[u32])],
    k: usize,
) -> Result<Vec<Vec<Recommendation>>> {
    lists_at(Level::best(), user_factors, items, users, k)
}

fn lists_at(
    level: Level,
    user_factors: Factors<'_>,
    items: Factors<'_>,
    users: &[(u32, &[u32])],
    k: usize,
) -> Result<Vec<Vec<Recommendation>>> {
    let (rank, k) = (items.rank(), k.min(items.rows()));
    if k == 0 || rank == 0 {
        return Ok(vec![Vec::new(); users.len()]);
    }
    let mut lists = Vec::with_capacity(users.len());
    for users in users.chunks(USERS) {
        let rows: Vec<u32> = users.iter().map(|&(row, _)| row).collect();
        let factors = user_factors.gather(&rows)?;
        let mut tops: Vec<Top<'_>> = users.iter().map(|&(_, seen)| Top::new(k, seen)).collect();
        let batch = users.len().div_ceil(rayon::current_num_threads()).clamp(1, BATCH);
        let mut buffer = Vec::new();
        for first in (0..items.rows()).step_by(items.rows_at_once()) {
            let part = items.part(first..items.rows().min(first + items.rows_at_once()), &mut buffer)?;
            tops.par_chunks_mut(batch).zip(factors.par_chunks(batch * rank)).for_each(|(tops, users)| {
                dispatch(level, Ranking { users, items: part, first: first as u32, rank, tops });
            });
        }
        lists.par_extend(tops.into_par_iter().map(Top::finish));
    }
    Ok(lists)
}

/// A batch of users against consecutive items.
struct Ranking<'a, 'seen> {
    /// `[users, rank]`.
    users: &'a [f32],
    /// `[items, rank]`, the first of them item `first`.
    items: &'a [f32],
    first: u32,
    rank: usize,
    /// `[users]`.
    tops: &'a mut [Top<'seen>],
}

/// Bytes of items that stay in the nearest cache while all users of a batch are scored.
const NEAR: usize = 24 << 10;

impl Kernel for Ranking<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { users, items, first, rank, tops } = self;
        if let [top] = tops {
            return see_alone(l, users, items, first, top);
        }
        let one = {
            let mut block = L::Block::default();
            l.store(&mut block, l.splat(1.0));
            block
        };
        let weights = vec![one; rank.div_ceil(L::WIDTH)];
        let three = 3 * L::WIDTH;
        let at_once = (NEAR / (4 * rank * three)).max(1) * three;
        let scales = vec![1f32; at_once.max(tops.len())];
        let mut columns: Vec<u32> = (0..tops.len() as u32).collect();
        let (mut left, mut right) = (Panels::<L>::new(), Panels::<L>::new());
        let panels = tops.len().div_ceil(L::WIDTH);
        gather_transposed(l, Table::new(users, rank), &columns, &scales, &weights, panels, &mut left);
        let mut scores = vec![L::Block::default(); L::TILE_ROWS * at_once / L::WIDTH];
        let all = items.len() / rank;
        let mut start = 0;
        while start < all {
            let count = at_once.min(all - start);
            let panels = count.div_ceil(L::WIDTH);
            columns.clear();
            columns.extend(start as u32..(start + count) as u32);
            gather_transposed(l, Table::new(items, rank), &columns, &scales, &weights, panels, &mut right);
            let (left, right) = (left.view(), right.view());
            for (strip_number, tops) in tops.chunks_mut(L::TILE_ROWS).enumerate() {
                strip(l, left, strip_number * L::TILE_ROWS, right, &mut scores);
                for (r, top) in tops.iter_mut().enumerate() {
                    let scores = &mut flat_mut(&mut scores[r * panels..][..panels])[..count];
                    top.see(first + start as u32, scores);
                }
            }
            start += count;
        }
    }
}

/// Panels of items that are summed together for one user: a sum waits for its own last step, not for those of others.
const ALONE: usize = 4;

/// As [`Ranking`] does it, number by number, for one user: items that nobody reads again are not worth packing.
///
/// **Shapes** `user: [rank]`, `items: [items, rank]`, the first of them item `first`.
#[inline(always)]
fn see_alone<L: Lanes>(l: L, user: &[f32], items: &[f32], first: u32, top: &mut Top<'_>) {
    let rank = user.len();
    let whole = rank / L::WIDTH * L::WIDTH;
    let together = ALONE * L::WIDTH;
    for (part, items) in items.chunks(together * rank).enumerate() {
        let count = items.len() / rank;
        let mut sums = [l.splat(0.0); ALONE];
        for start in (0..whole).step_by(L::WIDTH) {
            for (panel, sum) in sums.iter_mut().enumerate() {
                let mut steps = [l.splat(0.0); MOST_LANES];
                l.transpose(
                    #[inline(always)]
                    |row| {
                        let item = panel * L::WIDTH + row;
                        if item < count { l.load_slice(&items[item * rank + start..]) } else { l.splat(0.0) }
                    },
                    #[inline(always)]
                    |step, numbers| steps[step] = numbers,
                );
                for (&number, &items) in user[start..][..L::WIDTH].iter().zip(&steps) {
                    *sum = l.fma(l.splat(number), items, *sum);
                }
            }
        }
        for (step, &number) in user.iter().enumerate().skip(whole) {
            for (panel, sum) in sums.iter_mut().enumerate() {
                let mut block = L::Block::default();
                let rows = items.chunks_exact(rank).skip(panel * L::WIDTH);
                for (to, item) in block.as_mut().iter_mut().zip(rows) {
                    *to = item[step];
                }
                *sum = l.fma(l.splat(number), l.load(&block), *sum);
            }
        }
        let mut scores = [L::Block::default(); ALONE];
        for (to, &sum) in scores.iter_mut().zip(&sums) {
            l.store(to, sum);
        }
        top.see(first + (part * together) as u32, &mut flat_mut(&mut scores)[..count]);
    }
}

/// The best items of a user among those that were seen so far, which come in the order of their numbers.
struct Top<'a> {
    k: usize,
    /// Items that may not be recommended and are still to come, ascending.
    excluded: &'a [u32],
    /// What may be among the best k: all of them are there.
    candidates: Vec<Recommendation>,
    /// What is not above it cannot be.
    threshold: f32,
}

impl<'a> Top<'a> {
    fn new(k: usize, excluded: &'a [u32]) -> Self {
        Self { k, excluded, candidates: Vec::new(), threshold: f32::NEG_INFINITY }
    }

    /// Looks at the scores of consecutive items from `first` on.
    #[inline(always)]
    fn see(&mut self, first: u32, scores: &mut [f32]) {
        while let [item, later @ ..] = self.excluded {
            let at = (item - first) as usize;
            if at >= scores.len() {
                break;
            }
            scores[at] = f32::NEG_INFINITY;
            self.excluded = later;
        }
        /// Scores that are passed over together.
        const PART: usize = 32;
        for (part, scores) in scores.chunks(PART).enumerate() {
            // An equal score is no reason either: the item before has the lower number.
            let above: u32 = scores.iter().map(|&score| u32::from(score > self.threshold)).sum();
            if above > 0 {
                self.take(first + (part * PART) as u32, scores);
            }
        }
    }

    /// Not in line: it is seldom called, and its loops are not vector code.
    #[inline(never)]
    fn take(&mut self, first: u32, scores: &[f32]) {
        for (item, &score) in (first..).zip(scores) {
            if score > self.threshold {
                self.candidates.push(Recommendation { item, score });
            }
        }
        if self.candidates.len() >= 2 * self.k + 32 {
            self.candidates.select_nth_unstable_by(self.k - 1, order);
            self.candidates.truncate(self.k);
            self.threshold = self.candidates[self.k - 1].score;
        }
    }

    fn finish(mut self) -> Vec<Recommendation> {
        self.candidates.sort_unstable_by(order);
        self.candidates.truncate(self.k);
        // Of a long list in the making at most this much is kept for good.
        self.candidates.shrink_to_fit();
        self.candidates
    }
}

/// Best first, ties to the lower number. No score is NaN: that is above nothing.
fn order(a: &Recommendation, b: &Recommendation) -> std::cmp::Ordering {
    b.score.partial_cmp(&a.score).unwrap_or(std::cmp::Ordering::Equal).then(a.item.cmp(&b.item))
}

/// The items that a user has already, by what may be recommended.
fn seen_by(seen: SeenItems<'_>, user: usize) -> &[u32] {
    match seen {
        SeenItems::Exclude(matrix) => matrix.user_row(user).0,
        SeenItems::Keep => &[],
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

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn lists_are_those_of_sorting_all_scores_at_every_level_rank_and_length() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        // More users than are listed at a time, too.
        let shapes =
            [(1, 3, 5), (7, 1, 40), (16, 70, 333), (65, 21, 1000), (200, 9, 130), (2, USERS + 300, 9)];
        for (rank, users, items) in shapes {
            // Few different numbers, so that there are ties.
            let mut factors = |rows: usize| -> Vec<f32> {
                (0..rows * rank).map(|_| rng.random_range(-3..4) as f32).collect()
            };
            let (x, y) = (factors(users), factors(items));
            let seen: Vec<Vec<u32>> = (0..users)
                .map(|user| {
                    (0..items as u32).filter(|item| (item * 7 + user as u32).is_multiple_of(5)).collect()
                })
                .collect();
            let asked: Vec<(u32, &[u32])> =
                (0..users).rev().map(|user| (user as u32, seen[user].as_slice())).collect();
            let memory = |numbers| Factors::Memory { numbers, rank };
            for level in Level::available() {
                for k in [1, 10, items, usize::MAX] {
                    let got = lists_at(level, memory(&x), memory(&y), &asked, k).unwrap();
                    for ((user, seen), got) in asked.iter().zip(got) {
                        let x = &x[*user as usize * rank..][..rank];
                        // Sums of small whole numbers are exact in any order.
                        let mut all: Vec<Recommendation> = y
                            .chunks(rank)
                            .enumerate()
                            .map(|(item, y)| Recommendation {
                                item: item as u32,
                                score: x.iter().zip(y).map(|(a, b)| a * b).sum(),
                            })
                            .filter(|one| !seen.contains(&one.item))
                            .collect();
                        all.sort_by(order);
                        all.truncate(k);
                        assert_eq!(got, all, "{level:?} {rank} {k} {user}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_user_alone_gets_the_scores_of_a_user_among_others_bit_for_bit() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for (rank, items) in [(1, 3), (5, 64), (16, 65), (37, 130), (64, 700)] {
            let mut factors =
                |rows: usize| -> Vec<f32> { (0..rows * rank).map(|_| rng.random::<f32>() - 0.5).collect() };
            let (x, y) = (factors(3), factors(items));
            let memory = |numbers| Factors::Memory { numbers, rank };
            let seen: &[u32] = &[0, 2, items as u32 - 1];
            for level in Level::available() {
                let lists =
                    |users: &[(u32, &[u32])]| lists_at(level, memory(&x), memory(&y), users, 40).unwrap();
                // One task of three, whatever the number of threads.
                let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
                let together = pool.install(|| lists(&[(0, seen), (1, &[]), (2, seen)]));
                let alone = [lists(&[(0, seen)]), lists(&[(1, &[])]), lists(&[(2, seen)])].concat();
                assert_eq!(alone, together, "{level:?} {rank} {items}");
            }
        }
    }

    #[test]
    fn a_score_that_is_not_a_number_is_never_recommended() {
        let (x, y) = ([f32::MAX, f32::MAX], [1.0, 1.0, f32::MAX, f32::MIN, -1.0, 0.5]);
        let memory = |numbers| Factors::Memory { numbers, rank: 2 };
        for level in Level::available() {
            let lists = lists_at(level, memory(&x), memory(&y), &[(0, &[])], 3).unwrap();
            // The second is ∞ - ∞, or ∞ where a product is added before it is rounded.
            assert!(lists[0].iter().all(|one| !one.score.is_nan()), "{level:?}: {lists:?}");
            assert_eq!((lists[0][0].item, lists[0][lists[0].len() - 1].item), (0, 2), "{level:?}");
        }
    }
}
