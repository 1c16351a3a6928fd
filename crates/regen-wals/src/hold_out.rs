//! Splitting the pairs of users into those to learn from and those to judge by.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::interactions::InteractionMatrix;

/// Per-user hold-out: a share of each user's pairs is taken out at random.
///
/// A user with fewer than two pairs keeps them; any other keeps at least one and loses at least
/// one. What is drawn for a user depends on the seed and the user's number and pairs alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldOut {
    /// Share of a user's pairs to take out, above 0 and below 1; rounded down.
    pub share: f64,
    /// Take pairs out of at most this many users, chosen at random: judging is a product of all
    /// items with each of them, and for large matrices a sample says enough. `None` means all.
    pub users: Option<usize>,
    /// Seed of both choices.
    pub seed: u64,
}

impl HoldOut {
    /// The matrix without the held-out pairs, and those pairs as (user, item), ascending.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a share out of range or no users, [`Error::NothingHeldOut`] when no
    /// user has two pairs.
    pub fn split(&self, matrix: &InteractionMatrix) -> Result<(InteractionMatrix, Vec<(u32, u32)>)> {
        if !(self.share > 0.0 && self.share < 1.0) {
            let expected = "above 0, below 1";
            return Err(Error::InvalidSetting { field: "share", expected, got: self.share });
        }
        if self.users == Some(0) {
            return Err(Error::InvalidSetting { field: "users", expected: "at least 1", got: 0.0 });
        }
        let mut candidates: Vec<u32> =
            (0..matrix.users()).filter(|&u| matrix.user_row(u).0.len() > 1).map(|u| u as u32).collect();
        if let Some(most) = self.users
            && most < candidates.len()
        {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            let (chosen, _) = candidates.partial_shuffle(&mut rng, most);
            candidates = chosen.to_vec();
            candidates.sort_unstable();
        }
        let mut held_out = Vec::new();
        for &user in &candidates {
            let items = matrix.user_row(user as usize).0;
            let count = ((items.len() as f64 * self.share) as usize).clamp(1, items.len() - 1);
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            // Stream 0 chose the users.
            rng.set_stream(u64::from(user) + 1);
            let mut order: Vec<u32> = items.to_vec();
            // Fisher and Yates, only as far as needed.
            for k in 0..count {
                let other = rng.random_range(k..order.len());
                order.swap(k, other);
            }
            order.truncate(count);
            order.sort_unstable();
            held_out.extend(order.into_iter().map(|item| (user, item)));
        }
        if held_out.is_empty() {
            return Err(Error::NothingHeldOut { given: 0, already_seen: 0 });
        }
        Ok((matrix.without(&held_out), held_out))
    }
}
