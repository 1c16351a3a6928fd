//! The k-core of a data set: users and items with enough of each other.

use serde::{Deserialize, Serialize};

use crate::{Interaction, ItemId, UserId};

/// What [`k_core`] left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KCoreReport {
    /// Users that are left.
    pub users: usize,
    /// Items that are left.
    pub items: usize,
    /// Interactions that went.
    pub removed_interactions: usize,
}

/// Removes users with fewer than `user_core` distinct items and items with fewer than `item_core` distinct users, again
/// and again until none is left to remove. The result is the largest such set, and does not depend on any order;
/// the order of what stays is kept. A core of 0 or 1 removes nothing by itself.
///
/// Runs in time proportional to the interactions (plus their sorting), however many rounds the removal has: every
/// pair is taken away once.
pub fn k_core(interactions: &mut Vec<Interaction>, user_core: usize, item_core: usize) -> KCoreReport {
    let users = interactions.iter().map(|one| one.user.index() + 1).max().unwrap_or(0);
    let items = interactions.iter().map(|one| one.item.index() + 1).max().unwrap_or(0);
    let mut pairs: Vec<(UserId, ItemId)> = interactions.iter().map(|one| (one.user, one.item)).collect();
    pairs.sort_unstable();
    pairs.dedup();

    let by_user = Neighbours::new(users, pairs.iter().map(|&(user, item)| (user.index(), item.index())));
    let by_item = Neighbours::new(items, pairs.iter().map(|&(user, item)| (item.index(), user.index())));
    let (mut user_degree, mut item_degree) = (by_user.degrees(), by_item.degrees());
    // Someone without any interaction is not there to be removed.
    let mut user_gone: Vec<bool> = user_degree.iter().map(|&degree| degree == 0).collect();
    let mut item_gone: Vec<bool> = item_degree.iter().map(|&degree| degree == 0).collect();

    let mut falling_users: Vec<usize> = (0..users).filter(|&user| user_degree[user] < user_core).collect();
    let mut falling_items: Vec<usize> = (0..items).filter(|&item| item_degree[item] < item_core).collect();
    while !(falling_users.is_empty() && falling_items.is_empty()) {
        fall(
            &mut falling_users,
            &mut user_gone,
            &by_user,
            &item_gone,
            &mut item_degree,
            item_core,
            &mut falling_items,
        );
        fall(
            &mut falling_items,
            &mut item_gone,
            &by_item,
            &user_gone,
            &mut user_degree,
            user_core,
            &mut falling_users,
        );
    }

    let before = interactions.len();
    interactions.retain(|one| !user_gone[one.user.index()] && !item_gone[one.item.index()]);
    // Counted from what stays: with a core of 0 a user whose items all went is nowhere, though never removed.
    let (mut user_stays, mut item_stays) = (vec![false; users], vec![false; items]);
    for one in interactions.iter() {
        user_stays[one.user.index()] = true;
        item_stays[one.item.index()] = true;
    }
    KCoreReport {
        users: user_stays.iter().filter(|&&stays| stays).count(),
        items: item_stays.iter().filter(|&&stays| stays).count(),
        removed_interactions: before - interactions.len(),
    }
}

/// Removes everyone in `falling` and notes who falls below `core` on the other side by that.
fn fall(
    falling: &mut Vec<usize>,
    gone: &mut [bool],
    neighbours: &Neighbours,
    other_gone: &[bool],
    other_degree: &mut [usize],
    core: usize,
    other_falling: &mut Vec<usize>,
) {
    while let Some(one) = falling.pop() {
        if std::mem::replace(&mut gone[one], true) {
            continue;
        }
        for &other in neighbours.of(one) {
            let other = other as usize;
            if other_gone[other] {
                continue;
            }
            // Those that start below the core stand in the list already.
            if other_degree[other] == core {
                other_falling.push(other);
            }
            other_degree[other] -= 1;
        }
    }
}

/// Adjacency lists in one piece.
struct Neighbours {
    starts: Vec<usize>,
    list: Vec<u32>,
}

impl Neighbours {
    fn new(count: usize, edges: impl Iterator<Item = (usize, usize)> + Clone) -> Self {
        let mut starts = vec![0; count + 1];
        for (from, _) in edges.clone() {
            starts[from + 1] += 1;
        }
        for at in 0..count {
            starts[at + 1] += starts[at];
        }
        let mut next = starts.clone();
        let mut list = vec![0; starts[count]];
        for (from, to) in edges {
            // Dense ids are 32-bit.
            list[next[from]] = to as u32;
            next[from] += 1;
        }
        Self { starts, list }
    }

    fn of(&self, one: usize) -> &[u32] {
        &self.list[self.starts[one]..self.starts[one + 1]]
    }

    fn degrees(&self) -> Vec<usize> {
        self.starts.windows(2).map(|ends| ends[1] - ends[0]).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn interactions(pairs: &[(usize, usize)]) -> Vec<Interaction> {
        let one = |&(user, item): &(usize, usize)| Interaction {
            user: UserId::from_index(user),
            item: ItemId::from_index(item),
            weight: 1.0,
            time: None,
            rating: None,
        };
        pairs.iter().map(one).collect()
    }

    /// The definition, executed: filter until nothing changes.
    fn by_definition(mut kept: Vec<Interaction>, user_core: usize, item_core: usize) -> Vec<Interaction> {
        loop {
            let mut users: HashMap<UserId, HashSet<ItemId>> = HashMap::new();
            let mut items: HashMap<ItemId, HashSet<UserId>> = HashMap::new();
            for one in &kept {
                users.entry(one.user).or_default().insert(one.item);
                items.entry(one.item).or_default().insert(one.user);
            }
            let before = kept.len();
            kept.retain(|one| users[&one.user].len() >= user_core && items[&one.item].len() >= item_core);
            if kept.len() == before {
                return kept;
            }
        }
    }

    #[test]
    fn one_removal_pulls_down_the_next() {
        // A chain: u0-i0-u1-i1-u2-i2, closed by nothing. No 2-core exists, and each round removes only its ends.
        let mut chain = interactions(&[(0, 0), (1, 0), (1, 1), (2, 1), (2, 2)]);
        assert_eq!(k_core(&mut chain, 2, 2), KCoreReport { users: 0, items: 0, removed_interactions: 5 });
        let mut square = interactions(&[(0, 5), (0, 6), (3, 5), (3, 6), (4, 6)]);
        assert_eq!(k_core(&mut square, 2, 2), KCoreReport { users: 2, items: 2, removed_interactions: 1 });
    }

    #[test]
    fn a_repeated_purchase_is_one_neighbour() {
        let mut repeated = interactions(&[(0, 0), (0, 0), (1, 0), (1, 1), (0, 1)]);
        assert_eq!(k_core(&mut repeated.clone(), 3, 1).users, 0);
        assert_eq!(k_core(&mut repeated, 2, 2).removed_interactions, 0);
    }

    #[test]
    fn it_equals_filtering_until_nothing_changes() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        for _ in 0..200 {
            let count = rng.random_range(0..120);
            let pairs: Vec<_> =
                (0..count).map(|_| (rng.random_range(0..25), rng.random_range(0..17))).collect();
            let (user_core, item_core) = (rng.random_range(0..6), rng.random_range(0..8));
            let expected = by_definition(interactions(&pairs), user_core, item_core);
            let mut kept = interactions(&pairs);
            let report = k_core(&mut kept, user_core, item_core);
            assert_eq!(kept, expected, "cores {user_core} and {item_core} of {pairs:?}");
            assert_eq!(report.users, kept.iter().map(|one| one.user).collect::<HashSet<_>>().len());
            assert_eq!(report.items, kept.iter().map(|one| one.item).collect::<HashSet<_>>().len());
        }
    }
}
