//! How many test users there must be before anything is said of chance.

use std::collections::HashSet;

use super::findings::Setting;
use super::pooled::Pooled;

/// Test users below which a report gives no interval and no p value, and answers every claim with "not enough data".
///
/// The bootstrap draws users, and of few users it sees too little of how they differ: of 95 % percentile intervals of a mean, 93 of 100
/// hold it with 20 users, 90 with 10, 85 with 5 and 74 with 3 (counted over 1,200 draws of normal values; of skewed values fewer
/// do). From 20 on what is missing is less than what a few seeds leave open.
pub const LEAST_USERS: usize = 20;

/// Whether so many users are enough.
pub(super) fn enough(users: usize) -> bool {
    users >= LEAST_USERS
}

/// How many users are judged over all worlds, each given as its data and the users of its test examples: who is judged under several
/// seeds is one user.
pub(super) fn distinct_users<'a>(worlds: impl Iterator<Item = (&'a str, &'a [u32])>) -> usize {
    worlds.flat_map(|(data, users)| users.iter().map(move |user| (data, *user))).collect::<HashSet<_>>().len()
}

/// Why nothing is said of chance.
pub(super) fn too_few(users: usize) -> String {
    format!(
        "{users} test users in all, and of fewer than {LEAST_USERS} intervals and p values mean nothing: judge by more users, or by more \
         seeds that divide them anew"
    )
}

impl Setting {
    /// Whether its test users are enough for intervals and p values.
    pub(super) fn has_enough_users(&self) -> bool {
        enough(self.test_users)
    }

    /// Takes every interval and p value away where there are too few users for them. What is of a part of the users has lost its own
    /// already, where the part is too small.
    pub(super) fn without_chance(&mut self) {
        if self.has_enough_users() {
            return;
        }
        let forget = |pooled: &mut Pooled| pooled.interval = None;
        for variant in &mut self.variants {
            variant.scores.iter_mut().chain(&mut variant.loss).for_each(forget);
            for cost in &mut variant.costs {
                forget(&mut cost.added);
                (cost.p_value, cost.p_holm) = (None, None);
            }
            for score in &mut variant.controlled {
                forget(&mut score.change);
                (score.p_value, score.p_holm) = (None, None);
            }
            for kind in &mut variant.kinds {
                forget(&mut kind.cf);
                forget(&mut kind.semantic);
            }
            if let Some(told) = &mut variant.next_item {
                told.narrator.iter_mut().chain(&mut told.popularity).for_each(forget);
            }
            if let Some(cold) = &mut variant.cold {
                cold.cold.scores.iter_mut().chain(&mut cold.others.scores).for_each(forget);
            }
        }
        self.baselines.iter_mut().filter_map(|one| one.scores.as_mut()).flatten().for_each(forget);
        for contrast in &mut self.contrasts {
            (contrast.interval, contrast.relative_interval) = (None, None);
            (contrast.p_value, contrast.p_holm) = (None, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_who_is_judged_under_several_seeds_is_one_and_users_of_other_data_are_others() {
        let count = |worlds: &[(&str, &[u32])]| distinct_users(worlds.iter().copied());
        assert_eq!(count(&[("shop", &[1, 2, 2, 3]), ("shop", &[2, 3, 4])]), 4);
        assert_eq!(count(&[("world of seed 1", &[1, 2]), ("world of seed 2", &[1, 2])]), 4);
        assert!(enough(LEAST_USERS) && !enough(LEAST_USERS - 1));
        assert!(too_few(3).starts_with("3 test users") && too_few(3).contains("20"));
    }
}
