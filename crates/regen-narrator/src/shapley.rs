//! What each side of the item vectors is worth to the loss, for any adapter: a game of two players.

use regen_fusion::Sources;
use serde::{Deserialize, Serialize};

use crate::{Error, Example, Narrator, Result, Withheld};

/// The loss by which sides of the item vectors are shown: of one narrative, or the mean of many, in nats. A number that is added to all
/// four changes nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SideLosses {
    /// With neither.
    pub neither: f64,
    /// With the collaborative side alone.
    pub cf: f64,
    /// With the semantic side alone.
    pub semantic: f64,
    /// With both.
    pub both: f64,
}

impl SideLosses {
    /// The Shapley values: what the collaborative side saves and what the semantic side does, each the mean of being added first and
    /// being added last. They add up to what both save together.
    ///
    /// **Source** Shapley 1953, "A Value for n-Person Games"; for two players the mean of both orders.
    ///
    /// ```
    /// use regen_narrator::SideLosses;
    ///
    /// // Added first the collaborative side saves 4 − 3, added last 1.5 − 1.
    /// let losses = SideLosses { neither: 4.0, cf: 3.0, semantic: 1.5, both: 1.0 };
    /// assert_eq!(losses.shapley(), [0.75, 2.25]);
    /// ```
    pub fn shapley(self) -> [f64; 2] {
        let Self { neither, cf, semantic, both } = self;
        [0.5 * ((neither - cf) + (semantic - both)), 0.5 * ((neither - semantic) + (cf - both))]
    }
}

/// How much less a narrative costs because of each side, in nats over all its tokens.
///
/// The two add up to what both sides together save against items without vectors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SideWorth {
    /// Of the collaborative vectors.
    pub cf: f64,
    /// Of the semantic vectors.
    pub semantic: f64,
    /// Tokens of the narrative, `<eos>` included.
    pub tokens: usize,
}

impl Narrator {
    /// The Shapley value of each side for the loss of each example ([`SideLosses::shapley`]).
    ///
    /// The absent vectors that stand for a missing side are learned from items that lack it; where no training item did, they
    /// are what they were at the start, and a side's worth includes that the model never met them.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] for a narrator that does not read both sides; those of [`Narrator::losses`].
    pub fn side_worth(&self, examples: &[Example], batch: usize) -> Result<Vec<SideWorth>> {
        let both = self.adapter.as_ref().is_some_and(|adapter| adapter.config().sources == Sources::Fusion);
        if !both {
            return Err(Error::NoAdapter);
        }
        let losses = |withheld| self.losses(examples, withheld, batch);
        let (both, neither) = (losses(Withheld::Nothing)?, losses(Withheld::Vectors)?);
        let (semantic, cf) = (losses(Withheld::Cf)?, losses(Withheld::Semantic)?);
        let worth = (0..examples.len()).map(|at| {
            let [neither, cf, semantic, whole] =
                [&neither, &cf, &semantic, &both].map(|losses| losses[at].nats);
            let [cf, semantic] = SideLosses { neither, cf, semantic, both: whole }.shapley();
            SideWorth { cf, semantic, tokens: both[at].tokens }
        });
        Ok(worth.collect())
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use regen_torch::seed;

    use super::*;

    #[test]
    fn two_worths_add_up_to_what_both_save_and_follow_their_sides() {
        let mut rng = seed::rng(3, 0);
        for _ in 0..1000 {
            let [neither, cf, semantic, both] = [(); 4].map(|()| rng.random_range(0.0..10.0));
            let losses = SideLosses { neither, cf, semantic, both };
            let [of_cf, of_semantic] = losses.shapley();
            let saved = neither - both;
            assert!((of_cf + of_semantic - saved).abs() <= 1e-5 * saved.abs().max(1e-3), "{losses:?}");
            // The sides are alike but for their names.
            let exchanged = SideLosses { cf: semantic, semantic: cf, ..losses };
            assert_eq!(exchanged.shapley(), [of_semantic, of_cf]);
            // A side that changes nothing is worth nothing, and the other all.
            let idle = SideLosses { cf: neither, semantic: both, ..losses };
            assert_eq!(idle.shapley(), [0.0, saved]);
            // What every loss has more of is nobody's.
            let [more_cf, more_semantic] = SideLosses {
                neither: neither + 1.0,
                cf: cf + 1.0,
                semantic: semantic + 1.0,
                both: both + 1.0,
            }
            .shapley();
            assert!((more_cf - of_cf).abs() + (more_semantic - of_semantic).abs() < 1e-12);
        }
    }
}
