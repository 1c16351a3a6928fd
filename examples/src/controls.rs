//! Does the language model read its soft tokens? What it costs when an item's vectors are another user's, or one side is
//! taken away: nothing, where a model writes from its prompt's form alone.

use anyhow::{Context, Result};
use rand::seq::SliceRandom;
use regen_fusion::DetailInputs;
use regen_metrics::{Bootstrap, Interval, Mean, MeanStats, Measurement, paired_bootstrap};
use regen_narrator::{Control, Controlled, NarrativeLoss, Narrator, Request, UserExamples, Withheld};
use regen_torch::seed;
use serde::Serialize;

use crate::arms::{ArmRun, Task};
use crate::cli::Session;
use crate::given::Given;
use crate::inputs::Inputs;

/// Prompts computed at once.
pub const BATCH: usize = 32;

/// The loss of one arm under its controls, on the test examples, in nats a token.
#[derive(Debug, Clone, Serialize)]
pub struct ControlRecord {
    /// The arm.
    pub arm: String,
    /// Its loss as it is.
    pub loss: f64,
    /// What each control costs it.
    pub costs: Vec<ControlCost>,
}

/// What one control costs.
#[derive(Debug, Clone, Serialize)]
pub struct ControlCost {
    /// What was changed.
    pub control: Control,
    /// By how much the loss rose, nats a token.
    pub cost: f64,
    /// Its 95 % bootstrap interval over users.
    pub interval: Option<Interval>,
    /// How likely such a difference is without a cause (paired bootstrap, two-sided), not corrected for how many are asked.
    pub p_value: f64,
}

/// What can be taken away from an arm; nothing from one without soft tokens.
pub fn of(given: Given, inputs: Inputs) -> Vec<Control> {
    let Some(sources) = given.vectors else { return Vec::new() };
    let mut controls = vec![Control::ShuffledItems, Control::OneItemSwapped];
    controls.extend(sources.cf().then_some(Control::Without(Withheld::Cf)));
    controls.extend(sources.semantic().then_some(Control::Without(Withheld::Semantic)));
    controls.extend((sources.cf() && sources.semantic()).then_some(Control::Without(Withheld::Vectors)));
    controls.extend((!inputs.details.is_none()).then_some(Control::Without(Withheld::Details)));
    controls.extend(inputs.of(sources).user.then_some(Control::Without(Withheld::User)));
    controls.extend(inputs.reviews.then_some(Control::Without(Withheld::Reviews)));
    controls
}

/// Whether narratives, too, are written under it: not where one item of many is changed, nor without what stands beside the vectors.
pub fn is_written(control: Control) -> bool {
    matches!(
        control,
        Control::ShuffledItems | Control::Without(Withheld::Cf | Withheld::Semantic | Withheld::Vectors)
    )
}

/// Places of all examples of some users, drawn by `seed`: user after user until there are `least` examples, in their order. Empty
/// where `least` is 0.
pub fn some_users(users: &[u32], least: usize, seed: u64) -> Vec<usize> {
    let mut known = users.to_vec();
    known.sort_unstable();
    known.dedup();
    known.shuffle(&mut seed::rng(seed, 81));
    let mut places: Vec<usize> = Vec::new();
    for user in known {
        if places.len() >= least {
            break;
        }
        places.extend((0..users.len()).filter(|&place| users[place] == user));
    }
    places.sort_unstable();
    places
}

/// The loss of every example under a control.
///
/// # Errors
/// If a request cannot be laid out.
pub fn losses(
    narrator: &Narrator,
    of_users: UserExamples<'_>,
    control: Control,
    seed: u64,
) -> Result<Vec<NarrativeLoss>> {
    let changed = of_users.under(control, seed);
    Ok(narrator.losses(&changed.examples, changed.withheld, BATCH)?)
}

/// What a narrator writes for the examples at `places` of those that a control, named by `label`, has changed.
///
/// # Errors
/// If there is no such place, a request cannot be laid out, or the user stops it.
pub fn write(
    narrator: &Narrator,
    changed: &Controlled<'_>,
    places: &[usize],
    label: &str,
    batch: usize,
    session: &Session,
) -> Result<Vec<String>> {
    let request = |&place: &usize| {
        let example = changed.examples.get(place).with_context(|| format!("there is no example {place}"))?;
        Ok(example.request.clone())
    };
    let requests = places.iter().map(request).collect::<Result<Vec<Request>>>()?;
    let bar = session.bar(&format!("write: {label}"), requests.len() as u64);
    let writer = narrator.writer()?.without(changed.withheld);
    let written = writer.narrate(&requests, &narrator.generate_options(), batch, &mut |progress| {
        bar.set_position(progress.done as u64);
        session.flow()
    })?;
    bar.finish();
    session.check("writing under a control")?;
    Ok(written.into_iter().map(|narrative| narrative.map_or(String::new(), |one| one.text)).collect())
}

fn inputs_of(narrator: &Narrator) -> Inputs {
    let adapter = narrator.config().adapter.as_ref();
    adapter.map_or(Inputs::default(), |adapter| Inputs {
        details: DetailInputs { review: None, ..adapter.details },
        user: adapter.user,
        reviews: adapter.details.review.is_some(),
    })
}

/// Losses as a mean over tokens whose unit of resampling is the user; `users[i]` is that of example i.
///
/// # Errors
/// If the lists differ in length or are empty.
pub fn mean_loss(losses: &[NarrativeLoss], users: &[u32]) -> Result<Measurement<Mean>> {
    let segments = losses.iter().map(|loss| MeanStats { sum: loss.nats, count: loss.tokens as u64 });
    let loss = Measurement::new(Mean::named("loss"), segments.collect(), "nats a token".to_owned())?;
    Ok(loss.grouped(users)?)
}

/// The controls of an arm, or `None` for one without soft tokens.
///
/// # Errors
/// If a request cannot be laid out, or the resampling is refused.
pub fn controls(arm: &ArmRun, task: &Task, seed: u64) -> Result<Option<ControlRecord>> {
    let chosen = of(arm.given, inputs_of(&arm.narrator));
    if chosen.is_empty() {
        return Ok(None);
    }
    let examples = arm.given.show_all(&task.test);
    let of_users = UserExamples::new(&examples, &task.test_users)?;
    let measure = |control: Control| -> Result<Measurement<Mean>> {
        mean_loss(&losses(&arm.narrator, of_users, control, seed)?, &task.test_users)
    };
    let plain = measure(Control::Without(Withheld::Nothing))?;
    let mut costs = Vec::new();
    for control in chosen {
        let exchanges = !matches!(control, Control::Without(_));
        if exchanges && of_users.under(control, seed).exchanged == 0 {
            // Of one user alone there are no other items, and a cost of nothing would say that they are not read.
            continue;
        }
        let comparison = paired_bootstrap(&plain, &measure(control)?, &Bootstrap::seeded(seed))?;
        let (cost, interval, p_value) = (comparison.difference, comparison.interval, comparison.p_value);
        costs.push(ControlCost { control, cost, interval, p_value });
    }
    Ok(Some(ControlRecord { arm: arm.given.to_string(), loss: plain.value(), costs }))
}

/// A control in words.
pub fn in_words(control: Control) -> &'static str {
    match control {
        Control::Without(Withheld::Nothing) => "as it is",
        Control::ShuffledItems => "another user's items",
        Control::OneItemSwapped => "one item changed",
        Control::Without(Withheld::Cf) => "no collaborative vectors",
        Control::Without(Withheld::Semantic) => "no semantic vectors",
        Control::Without(Withheld::Vectors) => "neither",
        Control::Without(Withheld::Details) => "no ratings, recencies, positions",
        Control::Without(Withheld::User) => "no vector of the user",
        Control::Without(Withheld::Reviews) => "no reviews of the user",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_users_come_with_all_their_examples() {
        let users = [5, 1, 5, 2, 3, 1, 2, 2];
        for seed in 0..20 {
            let places = some_users(&users, 3, seed);
            assert!(places.is_sorted() && (3..=5).contains(&places.len()), "{places:?}");
            let chosen: Vec<u32> = places.iter().map(|&place| users[place]).collect();
            for (place, user) in users.iter().enumerate() {
                assert_eq!(places.contains(&place), chosen.contains(user));
            }
        }
        assert!(some_users(&users, 0, 1).is_empty());
        assert_eq!(some_users(&users, 99, 1), (0..8).collect::<Vec<_>>());
        assert!((0..9).any(|seed| some_users(&users, 1, seed) != some_users(&users, 1, 9)));
    }
}
