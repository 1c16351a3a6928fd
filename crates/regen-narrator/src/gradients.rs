//! Whose work the soft tokens are, for any adapter over both sides.

use regen_fusion::IntegratedGradients;
use tch::{Kind, Tensor};

use crate::prompt::Padding;
use crate::{Error, Narrator, Request, Result, Withheld};

/// What each side contributes to the soft tokens of requests.
#[derive(Debug)]
pub struct SideGradients {
    /// To the soft tokens of items, `[batch, items, tokens_per_item, hidden]`: history first, then target. Where a history is read
    /// as a whole, only the target's stand in the prompt.
    pub items: IntegratedGradients,
    /// To those of histories as a whole, `[batch, tokens, hidden]`, where there are such.
    pub history: Option<IntegratedGradients>,
    /// `[batch, items]` bool: positions that are real and whose item has both vectors.
    pub both_present: Tensor,
}

impl Narrator {
    /// Integrated gradients of the soft tokens of each request; of what is read beside items' vectors, nothing is attributed.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] for a narrator that reads no items, [`regen_fusion::Error::AttributionUndefined`] unless the adapter
    /// reads both sides, [`regen_fusion::Error::Incomplete`], and those of laying out the requests.
    pub fn integrated_gradients(&self, requests: &[Request]) -> Result<SideGradients> {
        let adapter = self.adapter.as_ref().ok_or(Error::NoAdapter)?;
        let sequences = self.prompts(requests)?;
        let batch = self.batch(&sequences.iter().collect::<Vec<_>>(), Padding::Right)?;
        let vectors = self.item_vectors(&batch, Withheld::Nothing)?;
        let items = adapter.integrated_gradients(&vectors)?;
        let history = adapter.integrated_gradients_of_history(&vectors, &batch.history)?;
        let mut both_present = vectors.mask.to_kind(Kind::Bool);
        for side in [&vectors.cf, &vectors.semantic].into_iter().flatten() {
            both_present = both_present.logical_and(&side.present);
        }
        Ok(SideGradients { items, history, both_present })
    }
}
