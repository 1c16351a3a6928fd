//! Why a text ended.

use serde::{Deserialize, Serialize};

/// Why a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// By this stop id, which is not among its ids.
    StopId(i64),
    /// By the stop string in this place of those that were given, whose ids are among its ids.
    StopString(usize),
    /// By `max_new_tokens`: it may break off in the middle of a sentence.
    Length,
    /// By the caller, who broke off in a callback.
    Caller,
}

impl Ending {
    /// Whether the model ended it, by an id or a string.
    pub fn is_own(self) -> bool {
        matches!(self, Self::StopId(_) | Self::StopString(_))
    }
}
