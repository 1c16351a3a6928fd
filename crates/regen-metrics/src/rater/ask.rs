//! Asking once, and once more where the answer cannot be read.

use regen_chat::{ChatModel, ChatRequest, Stop};

use super::prompt::repair;
use crate::error::{Error, Result};

/// What became of one question.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<T> {
    /// A valid answer.
    Answered {
        /// The answer.
        answer: T,
        /// Whether the first try had to be repaired.
        repaired: bool,
    },
    /// The model refused.
    Refused {
        /// In these words, if any.
        text: String,
    },
    /// Neither the first answer nor the second could be read.
    Malformed {
        /// What was wrong with the second.
        reason: String,
        /// The second answer.
        text: String,
    },
}

impl<T> Outcome<T> {
    /// The answer, if there is a valid one.
    pub fn answer(&self) -> Option<&T> {
        match self {
            Self::Answered { answer, .. } => Some(answer),
            Self::Refused { .. } | Self::Malformed { .. } => None,
        }
    }

    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Answered { answer, repaired } => Outcome::Answered { answer: change(answer), repaired },
            Self::Refused { text } => Outcome::Refused { text },
            Self::Malformed { reason, text } => Outcome::Malformed { reason, text },
        }
    }
}

/// Asks, validates, and asks again with the error once.
///
/// # Errors
/// [`Error::Chat`] where the model could not be asked at all.
pub(super) fn ask<T>(
    model: &impl ChatModel,
    mut request: ChatRequest,
    parse: impl Fn(&str) -> std::result::Result<T, String>,
) -> Result<Outcome<T>> {
    let mut repaired = false;
    loop {
        let answer = model.ask(&request).map_err(|source| Error::Chat { source })?;
        if answer.stop == Stop::Refused {
            return Ok(Outcome::Refused { text: answer.text });
        }
        let mut reason = match parse(&answer.text) {
            Ok(answer) => return Ok(Outcome::Answered { answer, repaired }),
            Err(reason) => reason,
        };
        if answer.stop == Stop::Length {
            reason.push_str(", because it was cut off: use shorter reasons");
        }
        if repaired {
            return Ok(Outcome::Malformed { reason, text: answer.text });
        }
        repaired = true;
        request.messages.extend(repair(&answer.text, &reason));
    }
}
