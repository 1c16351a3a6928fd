//! Data sets learned from together, of which one is judged.

use anyhow::{Context, Result};
use regen_data::xrec::PublishedOutput;
use regen_data::{Dataset, Split, UserId, joined, qualified};

use crate::input::Input;
use crate::pipeline;

/// The data set `judged` with `others` beside it, each under its label. Validation and test are those of the judged one by
/// itself with the same seed: the same users, narratives and order. Everybody of the others is in training.
///
/// # Errors
/// If a label stands there twice, or there are too few users to divide.
pub fn together(judged: (&str, Input), others: &[(&str, Input)], seed: u64) -> Result<(Input, Split)> {
    let (label, judged) = judged;
    let alone = pipeline::split(&judged.dataset, seed)?;
    let mut parts = vec![(label, &judged.dataset)];
    parts.extend(others.iter().map(|(label, input)| (*label, &input.dataset)));
    let beside: Vec<&str> = others.iter().map(|(_, input)| input.dataset.name.as_str()).collect();
    let name = format!("{} with {}", judged.dataset.name, beside.join(", "));
    let dataset = joined(&name, &parts)?;
    let renamed = |users: &[UserId]| -> Result<Vec<UserId>> {
        users.iter().map(|&user| same_user(&judged.dataset, user, label, &dataset)).collect()
    };
    let split = Split::from_held_out(&dataset, &renamed(alone.validation())?, &renamed(alone.test())?)?;
    let mut remarks = judged.remarks;
    remarks.push(format!(
        "Learned from together with {}: users of that are all in training. Vectors are of one factorisation of all \
         purchases, one vocabulary is of all training texts, and an item is to be told from those of all.",
        beside.join(", ")
    ));
    let published = judged.published.into_iter().map(|one| PublishedOutput {
        user: qualified(label, &one.user),
        item: qualified(label, &one.item),
        ..one
    });
    Ok((Input { dataset, truth: None, published: published.collect(), remarks }, split))
}

fn same_user(from: &Dataset, user: UserId, label: &str, to: &Dataset) -> Result<UserId> {
    let name = qualified(label, from.users.name(user));
    to.users.get(&name).with_context(|| format!("user {name:?} is lost"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::synthetic;
    use regen_data::synthetic::SyntheticConfig;
    use regen_data::{HistoryConfig, Part, audit_leaks, examples, training_interactions};

    fn world(seed: u64) -> Input {
        let config = SyntheticConfig { users: 40, items: 130, mean_history: 6.0, seed, ..Default::default() };
        synthetic(&config).unwrap()
    }

    #[test]
    fn the_same_narratives_are_judged_as_without_the_others_and_all_of_the_others_is_learned_from() {
        let (alone, beside) = (world(1), world(2));
        let split = pipeline::split(&alone.dataset, 9).unwrap();
        let config = HistoryConfig::default();
        let told = |part, split: &Split, data: &Dataset| -> Vec<(u32, String)> {
            let all = examples(data, &config).unwrap();
            let chosen = split.select(&all, part).into_iter();
            chosen.map(|one| (one.user.index() as u32, one.reference.clone())).collect()
        };
        let [test, validation, training] =
            [Part::Test, Part::Validation, Part::Train].map(|part| told(part, &split, &alone.dataset));
        let narratives = beside.dataset.narratives.len();

        let (both, of_both) = together(("a", alone), &[("b", beside)], 9).unwrap();
        assert_eq!(told(Part::Test, &of_both, &both.dataset), test);
        assert_eq!(told(Part::Validation, &of_both, &both.dataset), validation);
        assert_eq!(told(Part::Train, &of_both, &both.dataset).len(), training.len() + narratives);
        let all = examples(&both.dataset, &config).unwrap();
        let purchases = training_interactions(&both.dataset, &of_both);
        audit_leaks(&both.dataset, &of_both, &all, &purchases).unwrap();
    }
}
