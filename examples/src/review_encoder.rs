//! Which sentence encoder made the vectors of reviews that a narrator reads, and whether those of requests are of the same.

use std::path::Path;

use anyhow::{Context, Result};
use regen_narrator::{Narrator, ReviewEncoder};
use regen_semantic::{SentenceEncoder, hash_model};

use crate::cli::Session;
use crate::encoder::tell_doubts;
use crate::features::encoder_name;

/// The encoder in `dir`, whose vectors have `dim` numbers, by name and content.
///
/// # Errors
/// If a file of it cannot be read.
pub fn of_folder(dir: &Path, dim: i64) -> Result<ReviewEncoder> {
    let sha256 = hash_model(dir).with_context(|| format!("cannot hash the encoder in {}", dir.display()))?;
    Ok(ReviewEncoder { name: encoder_name(dir), dim, sha256 })
}

/// Refuses to give a narrator vectors of the encoder in `given` where it was trained on those of another. What cannot be made sure,
/// since the encoder is not given or the bundle is older than this record, the session is told, if there are `reviews` to be read.
///
/// # Errors
/// [`regen_narrator::Error::OtherReviewEncoder`]; if `given` is no encoder, or its vectors are not as wide as those that are read.
pub fn check(narrator: &Narrator, given: Option<&Path>, reviews: bool, session: &Session) -> Result<()> {
    let reads = narrator.config().adapter.is_some_and(|adapter| adapter.details.review.is_some());
    let Some(folder) = given else {
        match narrator.review_encoder() {
            _ if !(reads && reviews) => {}
            Some(ReviewEncoder { name, sha256, .. }) => session.note(&format!(
                "the vectors of reviews are taken to be of {name} (SHA-256 {sha256}), which the narrator was trained with: with \
                 --review-encoder DIR that is made sure"
            )),
            None => session.note(
                "the narrator's bundle does not say which encoder made the vectors of reviews that it was trained on: those of the \
                 requests are taken to be of the same",
            ),
        }
        return Ok(());
    };
    let encoder = SentenceEncoder::load(folder, session.placement).with_context(|| {
        format!("--review-encoder {} is not a sentence encoder's folder", folder.display())
    })?;
    tell_doubts(&encoder, folder);
    let found = of_folder(folder, encoder.dim())?;
    narrator.check_review_encoder(&found).map_err(|error| match error {
        // A copy of the same encoder may have files more or less.
        regen_narrator::Error::OtherReviewEncoder { .. } => anyhow::Error::from(error).context(format!(
            "--review-encoder {}: every .json and .safetensors file of the folder counts; if it differs only in files that no encoder \
             reads, leave the flag out",
            folder.display()
        )),
        other => other.into(),
    })?;
    if narrator.review_encoder().is_none() {
        session.note(&format!(
            "the narrator's bundle does not say which encoder made the vectors of reviews that it was trained on: {} is taken for it",
            found.name
        ));
    }
    Ok(())
}
