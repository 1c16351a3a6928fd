//! What is asked of a narrator.

use serde::{Deserialize, Serialize};

/// What a narrative is asked to be about. Items are rows of the narrator's tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// One of the narrator's kinds.
    pub kind: String,
    /// Past purchases, oldest first. Only the last `max_history` are read.
    pub history: Vec<u32>,
    /// The purchase that the narrative is about; `None` where it speaks of the history alone.
    pub target: Option<u32>,
    /// Phrases to read before writing, such as the target's title and what its description says. Only a narrator with
    /// [`NarratorConfig::passage`](crate::NarratorConfig::passage) takes any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passage: Vec<String>,
}

impl Request {
    /// The items that a narrator of `max_history` makes soft tokens of, in their order: the last purchases of the history,
    /// then the target.
    pub fn items_read(&self, max_history: usize) -> impl Iterator<Item = u32> + '_ {
        self.recent(max_history).iter().copied().chain(self.target)
    }

    pub(super) fn recent(&self, max_history: usize) -> &[u32] {
        &self.history[self.history.len().saturating_sub(max_history)..]
    }
}

/// A request and the narrative that answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// The request.
    pub request: Request,
    /// The reference narrative.
    pub text: String,
}
