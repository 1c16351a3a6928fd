//! What each side of the item vectors is worth to the loss, for any adapter: a game of two players.

use regen_fusion::Sources;
use serde::{Deserialize, Serialize};

use crate::losses::Control;
use crate::{Error, Example, Narrator, Result};

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
    /// The Shapley value of each side for the loss of each example: what a side saves, averaged over being added first and
    /// being added last.
    ///
    /// The absent vectors that stand for a missing side are learned from items that lack it; where no training item did, they
    /// are what they were at the start, and a side's worth includes that the model never met them.
    ///
    /// **Source** Shapley 1953, "A Value for n-Person Games"; for two players the mean of both orders.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] for a narrator that does not read both sides; those of [`Narrator::losses`].
    pub fn side_worth(&self, examples: &[Example], batch: usize) -> Result<Vec<SideWorth>> {
        let both = self.adapter.as_ref().is_some_and(|adapter| adapter.config().sources == Sources::Fusion);
        if !both {
            return Err(Error::NoAdapter);
        }
        // Nothing is drawn by these controls, so the seed does not matter.
        let losses = |control| self.losses(examples, control, batch, 0);
        let (whole, none) = (losses(Control::Nothing)?, losses(Control::WithoutVectors)?);
        let (semantic, cf) = (losses(Control::WithoutCf)?, losses(Control::WithoutSemantic)?);
        let worth = (0..examples.len()).map(|at| {
            let tokens = whole[at].tokens;
            let [whole, none, cf, semantic] = [&whole, &none, &cf, &semantic].map(|losses| losses[at].nats);
            SideWorth {
                cf: 0.5 * ((none - cf) + (semantic - whole)),
                semantic: 0.5 * ((none - semantic) + (cf - whole)),
                tokens,
            }
        });
        Ok(worth.collect())
    }
}
