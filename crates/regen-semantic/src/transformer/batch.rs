//! Tokens of several texts, one after another.

use regen_torch::try_range;
use tch::Tensor;

use super::encoder::Torch;

/// Texts of a batch that attention computes together: rows `[texts · seq]` of the batch, text by text.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) texts: i64,
    pub(crate) seq: i64,
    /// `[texts]` real tokens of each text if some are shorter than `seq` (padding on the right).
    pub(crate) lengths: Option<Tensor>,
}

impl Group {
    /// `[texts, 1, 1, seq]`, true at real tokens; `None` where all are.
    pub(crate) fn real(&self) -> Torch<Option<Tensor>> {
        let Some(lengths) = &self.lengths else { return Ok(None) };
        let positions = try_range(0, self.seq, lengths.device())?;
        positions.f_lt_tensor(&lengths.f_reshape([-1, 1, 1, 1])?).map(Some)
    }
}

/// Token ids and positions, `[tokens]` i64 each, of groups that follow one another.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) ids: Tensor,
    pub(crate) positions: Tensor,
    pub(crate) groups: Vec<Group>,
}
