//! Which sentence encoder made the vectors of reviews that a narrator was trained on.

use serde::{Deserialize, Serialize};

use crate::{Error, Narrator, Result};

/// A sentence encoder by name and content. Vectors of another are of another space, even where they are as wide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewEncoder {
    /// What people call it.
    pub name: String,
    /// Numbers of its vectors.
    pub dim: i64,
    /// SHA-256 of the files that its vectors depend on, in hexadecimal digits (`hash_model` of `regen-semantic`).
    pub sha256: String,
}

impl Narrator {
    /// Which encoder made the vectors of reviews that it was trained on; `None` where it reads none, or nothing is recorded.
    pub fn review_encoder(&self) -> Option<&ReviewEncoder> {
        self.review_encoder.as_ref()
    }

    /// Records which encoder that was, for the bundle and its card.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for an encoder whose vectors it does not read: of another width, or of any where it reads no reviews.
    pub fn set_review_encoder(&mut self, encoder: ReviewEncoder) -> Result<()> {
        self.reads_vectors_of(&encoder)?;
        self.review_encoder = Some(encoder);
        Ok(())
    }

    /// Refuses an encoder whose vectors of reviews are not those that it was trained on. Where it is not recorded which these are, all
    /// of the right width pass.
    ///
    /// # Errors
    /// [`Error::OtherReviewEncoder`] for one of other content, whatever it is called; [`Error::Mismatch`] as
    /// [`set_review_encoder`](Self::set_review_encoder).
    pub fn check_review_encoder(&self, given: &ReviewEncoder) -> Result<()> {
        match &self.review_encoder {
            Some(trained) if trained.sha256 != given.sha256 => Err(Error::OtherReviewEncoder {
                trained: Box::new(trained.clone()),
                given: Box::new(given.clone()),
            }),
            _ => self.reads_vectors_of(given),
        }
    }

    fn reads_vectors_of(&self, encoder: &ReviewEncoder) -> Result<()> {
        let read = self.config.adapter.as_ref().and_then(|adapter| adapter.details.review);
        let expected = match read {
            Some(review) if review.dim == encoder.dim => return Ok(()),
            Some(review) => format!("vectors of {} numbers", review.dim),
            None => "none, since it reads no reviews".to_owned(),
        };
        Err(Error::Mismatch {
            part: "the encoder of reviews",
            got: format!("vectors of {} numbers", encoder.dim),
            other: "the adapter",
            expected,
        })
    }
}
