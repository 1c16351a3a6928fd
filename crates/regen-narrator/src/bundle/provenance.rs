//! Where a narrator comes from.

use serde::{Deserialize, Serialize};

/// What a bundle says of its training to those who find it: enough to know whom it may be judged by, and to do it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The data set, by its name.
    pub data: String,
    /// Hash of the division of users. One whose hash differs may have users to judge by whom this narrator was trained on.
    pub split: String,
    /// The seed of weights and order.
    pub seed: u64,
    /// Updates in all stages.
    pub updates: u64,
    /// Lowest loss on the validation users, in nats a token, where one was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
}

/// What wrote a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Versions {
    regen_narrator: String,
}

impl Versions {
    pub(super) fn here() -> Self {
        Self { regen_narrator: env!("CARGO_PKG_VERSION").to_owned() }
    }
}
