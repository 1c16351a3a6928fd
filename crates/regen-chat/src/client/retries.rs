//! How long to wait before asking again.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};

/// When to give up, and how long to wait before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retries {
    /// How often a question is sent at most, the first time included; at least 1.
    pub attempts: u32,
    /// The wait before the second attempt; it doubles from then on.
    pub first_wait: Duration,
    /// The longest wait. An endpoint that asks for more is given up at once.
    pub longest_wait: Duration,
    /// Seed of the jitter that keeps many clients from returning together.
    pub seed: u64,
}

impl Retries {
    /// Six attempts, waits from one second to one minute, under the given seed.
    pub fn seeded(seed: u64) -> Self {
        Self { attempts: 6, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(60), seed }
    }

    pub(super) fn validate(&self) -> Result<()> {
        if self.attempts == 0 {
            return Err(Error::OutOfRange { field: "attempts", expected: "at least 1", got: 0.0 });
        }
        Ok(())
    }

    /// The wait after attempt `attempt` (from 1) of the question `question`: half to all of the doubled wait, or what
    /// the endpoint asked for; `None` to give up.
    pub(super) fn wait(&self, attempt: u32, question: u64, asked: Option<Duration>) -> Option<Duration> {
        if attempt >= self.attempts || asked.is_some_and(|asked| asked > self.longest_wait) {
            return None;
        }
        let doubled = self.first_wait.saturating_mul(1 << (attempt - 1).min(20)).min(self.longest_wait);
        // A stream per question: waits do not depend on what else is being asked.
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(question ^ u64::from(attempt));
        let jitter = 0.5 + 0.5 * f64::from(rng.next_u32()) / f64::from(u32::MAX);
        Some(doubled.mul_f64(jitter).max(asked.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_follow_from_the_seed() {
        let retries = Retries { attempts: 9, ..Retries::seeded(3) };
        for attempt in 1..9 {
            let wait = retries.wait(attempt, 5, None).unwrap();
            let doubled = Duration::from_secs(1 << (attempt - 1)).min(retries.longest_wait);
            assert!(doubled / 2 <= wait && wait <= doubled, "{attempt}: {wait:?}");
            assert_eq!(Some(wait), retries.wait(attempt, 5, None));
        }
        assert_ne!(retries.wait(1, 5, None), retries.wait(1, 6, None));
        assert_eq!(retries.wait(9, 5, None), None);
    }

    #[test]
    fn an_endpoint_that_asks_for_too_long_a_wait_is_given_up() {
        let retries = Retries::seeded(3);
        assert_eq!(retries.wait(1, 0, Some(Duration::from_secs(61))), None);
        assert_eq!(retries.wait(1, 0, Some(Duration::from_secs(30))), Some(Duration::from_secs(30)));
    }
}
