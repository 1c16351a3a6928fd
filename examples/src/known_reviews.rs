//! Reviews of purchases that a data set knows, from raw files.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use regen_data::amazon::{Review, Reviews};
use regen_data::{Dataset, ItemId, OnError, UserId};

/// Shows `take` every review of a known user and a known item, in the order of the files. It says whether the review is of those that
/// are looked for, which `what` names.
///
/// # Errors
/// If a file cannot be read, or holds no review that is looked for.
pub fn each_known(
    paths: &[PathBuf],
    dataset: &Dataset,
    what: &str,
    mut take: impl FnMut(UserId, ItemId, &Review) -> bool,
) -> Result<()> {
    for path in paths {
        let mut found = false;
        for review in Reviews::open(path, OnError::Fail)? {
            let review = review?;
            let known = (dataset.users.get(&review.user), dataset.items.get(&review.item));
            if let (Some(user), Some(item)) = known {
                found |= take(user, item, &review);
            }
        }
        ensure!(found, "{} holds no review of {what}: is it of another data set?", path.display());
    }
    Ok(())
}
