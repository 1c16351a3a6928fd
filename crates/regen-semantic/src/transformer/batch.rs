//! Tokens of several texts, one after another.

use tch::{Kind, Tensor};

/// Texts of a batch that attention computes together: rows `[texts · seq]` of the batch, text by text.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) texts: i64,
    pub(crate) seq: i64,
    /// `[texts]` real tokens of each text if some are shorter than `seq` (padding on the right).
    pub(crate) lengths: Option<Tensor>,
}

impl Group {
    /// `[texts, seq]`, true at real tokens.
    pub(crate) fn real(&self) -> Option<Tensor> {
        let lengths = self.lengths.as_ref()?;
        let positions = Tensor::arange(self.seq, (Kind::Int64, lengths.device()));
        Some(positions.unsqueeze(0).lt_tensor(&lengths.unsqueeze(1)))
    }
}

/// Token ids and positions, `[tokens]` i64 each, of groups that follow one another.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) ids: Tensor,
    pub(crate) positions: Tensor,
    pub(crate) groups: Vec<Group>,
}
