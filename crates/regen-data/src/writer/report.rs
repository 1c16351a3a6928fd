//! What became of the questions.

use std::collections::BTreeMap;

use serde::Serialize;

use super::checks::Rejection;
use crate::Narrative;

/// What became of one case.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A text that passed every check.
    Written {
        /// The text.
        narrative: Narrative,
        /// Whether it is that of the second attempt.
        repaired: bool,
    },
    /// No answer that passes.
    Rejected {
        /// What was wrong with the last one.
        rejection: Rejection,
    },
    /// The model could not be asked, in these words; asking again in another run may succeed.
    Unanswered {
        /// The error.
        reason: String,
    },
}

/// The account of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WriteReport {
    /// Which prompts were used: [`PROMPT_VERSION`](super::PROMPT_VERSION).
    pub prompt_version: u32,
    /// How many texts were to be written.
    pub cases: usize,
    /// How many were, by kind.
    pub written: BTreeMap<String, usize>,
    /// How many of them only at the second attempt.
    pub repaired: usize,
    /// How many were not, by [`Rejection::as_str`].
    pub rejected: BTreeMap<String, usize>,
    /// How many could not be asked.
    pub unanswered: usize,
    /// The reasons for the first ten that are missing.
    pub samples: Vec<String>,
}

impl WriteReport {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.cases += 1;
        let reason = match outcome {
            Outcome::Written { narrative, repaired } => {
                *self.written.entry(narrative.kind.to_string()).or_insert(0) += 1;
                self.repaired += usize::from(*repaired);
                return;
            }
            Outcome::Rejected { rejection } => {
                *self.rejected.entry(rejection.as_str().to_owned()).or_insert(0) += 1;
                format!("{rejection:?}")
            }
            Outcome::Unanswered { reason } => {
                self.unanswered += 1;
                reason.clone()
            }
        };
        if self.samples.len() < 10 {
            self.samples.push(reason);
        }
    }
}
