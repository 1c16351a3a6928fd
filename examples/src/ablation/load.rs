//! From a data set of a plan to who bought what, who is judged, and which purchases a factorisation may see.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rand::seq::SliceRandom;
use regen_data::synthetic::SyntheticConfig;
use regen_data::xrec::Vertical;
use regen_data::{Example, Interaction, Split};
use regen_torch::seed;

use super::data::{DataSource, NamedData};
use crate::input::{self, Input};
use crate::pipeline;
use crate::purchase_reviews::PurchaseReviews;
use crate::together::together;

/// The data as `seed` draws (where they are made up) and divides them; `folder` is that of the XRec release.
pub(super) fn load(data: &NamedData, folder: Option<&Path>, seed: u64) -> Result<(Input, Split)> {
    let vertical = |vertical: Vertical| {
        let Some(folder) = folder else {
            bail!("data {:?} is read from a folder: name it with --data", data.name);
        };
        let one = input::load(folder, Some(vertical))?.pop();
        one.with_context(|| format!("{} holds no {vertical}", folder.display()))
    };
    let divided = |input: Input| {
        let split = pipeline::split(&input.dataset, seed)?;
        Ok((input, split))
    };
    match &data.source {
        DataSource::Synthetic(world) => {
            divided(input::synthetic(&SyntheticConfig { seed, ..world.clone() })?)
        }
        DataSource::Xrec(one) => divided(vertical(*one)?),
        DataSource::XrecTogether { judged, beside } => {
            let others = beside.iter().map(|&one| anyhow::Ok((one.as_str(), vertical(one)?)));
            together((judged.as_str(), vertical(*judged)?), &others.collect::<Result<Vec<_>>>()?, seed)
        }
        DataSource::Prepared(own) => {
            let input = own.load()?;
            let split = own.divide(&input.dataset, seed)?;
            Ok((input, split))
        }
    }
}

/// What the users wrote about the purchases in the histories of `examples`.
pub(super) fn reviews(
    data: &NamedData,
    input: &Input,
    examples: &[Example],
    seed: u64,
) -> Result<PurchaseReviews> {
    let dataset = &input.dataset;
    let found = match (&data.source, &input.truth) {
        (DataSource::Prepared(own), _) => PurchaseReviews::read(&own.reviews, dataset, examples)?,
        (DataSource::Synthetic(_), Some(truth)) => {
            PurchaseReviews::of(truth.reviews(dataset, seed), dataset, examples)?
        }
        _ => bail!("data {:?} come without reviews", data.name),
    };
    if found.is_empty() {
        bail!(
            "data {:?}: no purchase in a history comes with a review ({}): leave reviews out of the inputs",
            data.name,
            found.told()
        );
    }
    Ok(found)
}

/// What is left of the interactions that a factorisation may see: none with a `cold` item, and of the others a share that `seed`
/// draws. They keep their order, and of a smaller share all are in a larger one.
pub(super) fn seen(
    interactions: Vec<Interaction>,
    data: &NamedData,
    cold: &HashSet<usize>,
    seed: u64,
) -> Vec<Interaction> {
    let mut seen = super::cold::without(interactions, cold);
    if data.kept_purchases < 1.0 {
        let mut places: Vec<usize> = (0..seen.len()).collect();
        places.shuffle(&mut seed::rng(seed, 82));
        // Without any there is nothing to factorise.
        places.truncate(((data.kept_purchases * seen.len() as f64).round() as usize).max(1));
        let kept: HashSet<usize> = places.into_iter().collect();
        let mut place = 0..;
        seen.retain(|_| place.next().is_some_and(|place| kept.contains(&place)));
    }
    seen
}

#[cfg(test)]
mod tests {
    use regen_data::{HistoryConfig, Part, examples, training_interactions};

    use super::*;
    use crate::arms::Task;

    fn data(more: &str) -> NamedData {
        let world = "synthetic = { users = 40, items = 130, mean_history = 8.0, targets_per_user = 3 }";
        toml::from_str(&format!("name = \"world\"\n{world}\n{more}")).unwrap()
    }

    #[test]
    fn of_the_purchases_a_share_is_kept_and_less_is_a_part_of_more() {
        let (input, split) = load(&data(""), None, 3).unwrap();
        let all = training_interactions(&input.dataset, &split);
        let kept = |more: &str, seed| seen(all.clone(), &data(more), &HashSet::new(), seed);
        assert_eq!(kept("", 3), all);
        let (half, quarter) = (kept("kept_purchases = 0.5", 3), kept("kept_purchases = 0.25", 3));
        assert_eq!(half.len(), (all.len() as f64 / 2.0).round() as usize);
        assert_eq!(quarter.len(), (all.len() as f64 / 4.0).round() as usize);
        assert_ne!(kept("kept_purchases = 0.5", 4), half);
        // In order, and each of the fewer among the more.
        let mut more = half.iter();
        assert!(quarter.iter().all(|one| more.any(|other| other == one)));
        assert_eq!(kept("kept_purchases = 0.000001", 3).len(), 1);
        let cold: HashSet<usize> = [all[0].item.index()].into();
        assert!(seen(all.clone(), &data(""), &cold, 3).iter().all(|one| one.item != all[0].item));
    }

    #[test]
    fn of_no_example_a_review_is_read_that_was_not_written_before_its_purchase() {
        let data = data("");
        let (input, split) = load(&data, None, 3).unwrap();
        let dataset = &input.dataset;
        let examples = examples(dataset, &HistoryConfig::default()).unwrap();
        let said = reviews(&data, &input, &examples, 3).unwrap();
        let pair = |user: usize, item: usize| vec![user as f32, item as f32];
        let vectors = said.texts().map(|((user, item), _)| pair(user.index(), item.index()));
        let vectors = said.with_vectors(vectors, 2);
        let task = Task::with_reviews(dataset, &split, &examples, false, 3, Some(&vectors));
        let time = |user, item| {
            let bought = dataset.interactions.iter().find(|one| one.user == user && one.item == item);
            bought.unwrap().time.unwrap()
        };
        let mut read = 0;
        let parts =
            [(Part::Train, &task.training), (Part::Validation, &task.validation), (Part::Test, &task.test)];
        for (part, of_part) in parts {
            for (source, example) in split.select(&examples, part).into_iter().zip(of_part) {
                assert_eq!(example.request.details.len(), source.history.len());
                for (detail, &item) in example.request.details.iter().zip(&source.history) {
                    let Some(review) = &detail.review else { continue };
                    read += 1;
                    assert_eq!(review.values(), pair(source.user.index(), item.index()), "its buyer's own");
                    let Some(target) = source.target else { continue };
                    assert!(item != target && time(source.user, item) < time(source.user, target));
                }
            }
        }
        assert!(read > 300, "{read}");
    }
}
