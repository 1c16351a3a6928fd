//! Reviews of purchases that a data set knows, from raw files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use regen_data::amazon::{Review, Reviews};
use regen_data::mapping::Mapping;
use regen_data::{Dataset, ItemId, OnError, UserId};

/// Shows `take` every review of a known user and a known item, in the order of the files. It says whether the review is of those that
/// are looked for, which `what` names. A file is one of a review release, or, where its name ends in `.toml`, the column mapping of an
/// own catalogue with `review_text`.
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
        let mut look = |review: &Review| {
            let known = (dataset.users.get(&review.user), dataset.items.get(&review.item));
            if let (Some(user), Some(item)) = known {
                found |= take(user, item, review);
            }
        };
        if let Some(mapping) = mapping(path)? {
            mapping.reviews(|review| {
                look(&review);
                Ok(())
            })?;
        } else {
            for review in Reviews::open(path, OnError::Fail)? {
                look(&review?);
            }
        }
        ensure!(found, "{} holds no review of {what}: is it of another data set?", path.display());
    }
    Ok(())
}

/// The column mapping at `path`, if it is one by its name.
///
/// # Errors
/// If it cannot be read, or says of no field that it holds reviews.
pub fn mapping(path: &Path) -> Result<Option<Mapping>> {
    if path.extension().is_none_or(|extension| extension != "toml") {
        return Ok(None);
    }
    let mapping = Mapping::load(path).with_context(|| format!("{} is no column mapping", path.display()))?;
    let fields = &mapping.interactions;
    ensure!(
        fields.review_title.is_some() || fields.review_text.is_some(),
        "{} does not say which field holds reviews: give `review_text` among its [interactions]",
        path.display()
    );
    Ok(Some(mapping))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn reviews_of_an_own_catalogue_are_read_through_its_mapping() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop.toml");
        fs::write(dir.path().join("orders.csv"), "who,sku,said\nann,pen,It writes.\nbob,ink,Blue.\n")
            .unwrap();
        let fields = "[interactions]\nfiles = [\"orders.csv\"]\nuser = \"who\"\nitem = \"sku\"\n";
        fs::write(&path, fields).unwrap();
        let mut dataset = Mapping::load(&path).unwrap().read().unwrap().0;
        let mut said = Vec::new();
        let mut read = |dataset: &Dataset| {
            each_known(std::slice::from_ref(&path), dataset, "a purchase", |user, _, review| {
                said.push((dataset.users.name(user).to_owned(), review.text.clone().unwrap_or_default()));
                true
            })
        };
        let refused = read(&dataset).unwrap_err().to_string();
        assert!(refused.contains("shop.toml") && refused.contains("review_text"), "{refused}");

        fs::write(&path, format!("{fields}review_text = \"said\"\n")).unwrap();
        read(&dataset).unwrap();
        dataset.items = Default::default();
        let refused = read(&dataset).unwrap_err().to_string();
        assert!(refused.contains("another data set"), "{refused}");
        let expected = [("ann", "It writes."), ("bob", "Blue.")];
        assert_eq!(said, expected.map(|(user, text)| (user.to_owned(), text.to_owned())));
    }
}
