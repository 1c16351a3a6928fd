//! What is asked of a narrator.

use serde::{Deserialize, Serialize};

use super::review::ReviewVector;
use crate::{Error, Result};

/// What is known of a past purchase beside its item.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Detail {
    /// How the buyer rated it, 1 to 5 stars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rating: Option<f32>,
    /// How many days before the request it was, at least 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<f32>,
    /// The vector of what its buyer wrote about it; `None` where nothing was written, or nothing of it is known.
    ///
    /// Only of purchases before the one that is narrated, and only what was written before it: there is no place for a review of
    /// the target, since that is what a narrative may be judged by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewVector>,
}

/// What a narrative is asked to be about. Items are rows of the narrator's tables.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// One of the narrator's kinds.
    pub kind: String,
    /// Past purchases, oldest first. Only the last `max_history` have places in the prompt; the user's own vector is folded in from
    /// all of them.
    pub history: Vec<u32>,
    /// The purchase that the narrative is about; `None` where it speaks of the history alone.
    pub target: Option<u32>,
    /// Phrases to read before writing, such as the target's title and what its description says. Only a narrator with
    /// [`NarratorConfig::passage`](crate::NarratorConfig::passage) takes any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passage: Vec<String>,
    /// What is known of each purchase of the history, in its order; none where nothing is known of any. Read by a narrator whose
    /// adapter reads details; the target has none, since it is what happens now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
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

    /// The details of [`Request::recent`], checked; those reviews among them that a narrator reads as vectors of `review_dim`
    /// numbers. `index` is the request's place in the caller's list, for messages.
    pub(super) fn recent_details(
        &self,
        max_history: usize,
        review_dim: Option<i64>,
        index: usize,
    ) -> Result<Vec<Detail>> {
        let (got, expected) = (self.details.len(), self.history.len());
        let known = |value: Option<f32>, least: f32| value.is_none_or(|it| it.is_finite() && it >= least);
        if got != 0 && got != expected {
            return Err(Error::DetailCount { request: index, got, expected });
        }
        let wrong = |detail: &Detail| !known(detail.rating, f32::MIN) || !known(detail.days, 0.0);
        if let Some(place) = self.details.iter().position(wrong) {
            return Err(Error::Detail { request: index, place, detail: self.details[place].clone() });
        }
        let first = expected.saturating_sub(max_history);
        let mut recent = match got {
            0 => vec![Detail::default(); expected - first],
            _ => self.details[first..].to_vec(),
        };
        for (place, detail) in (first..).zip(&mut recent) {
            match (&detail.review, review_dim) {
                (Some(review), Some(dim)) => check_review(review, dim, index, place)?,
                _ => detail.review = None,
            }
        }
        Ok(recent)
    }
}

fn check_review(review: &ReviewVector, dim: i64, request: usize, place: usize) -> Result<()> {
    let got = review.values().len();
    if got as i64 != dim {
        return Err(Error::ReviewWidth { request, place, got, expected: dim });
    }
    match review.values().iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => Err(Error::ReviewNumber { request, place }),
    }
}

/// A request and the narrative that answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The request.
    pub request: Request,
    /// The reference narrative.
    pub text: String,
}
