//! Does the language model read its soft tokens? What it costs when an item's vectors are another user's, or one side is
//! taken away: nothing, where a model writes from its prompt's form alone.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use rand::seq::SliceRandom;
use regen_fusion::DetailInputs;
use regen_metrics::{Bootstrap, Interval, Mean, MeanStats, Measurement, paired_bootstrap};
use regen_narrator::{Control, Example, NarrativeLoss, Narrator, Request};
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
    controls.extend(sources.cf().then_some(Control::WithoutCf));
    controls.extend(sources.semantic().then_some(Control::WithoutSemantic));
    controls.extend((sources.cf() && sources.semantic()).then_some(Control::WithoutVectors));
    controls.extend((!inputs.details.is_none()).then_some(Control::WithoutDetails));
    controls.extend(inputs.of(sources).user.then_some(Control::WithoutUser));
    controls.extend(inputs.reviews.then_some(Control::WithoutReviews));
    controls
}

/// Whether narratives, too, are written under it: not where one item of many is changed, nor without what stands beside the vectors.
pub fn is_written(control: Control) -> bool {
    matches!(
        control,
        Control::ShuffledItems | Control::WithoutCf | Control::WithoutSemantic | Control::WithoutVectors
    )
}

/// The examples as a control changes them before they reach the narrator; `users[i]` is the user of example i. What a control hides
/// the narrator hides itself.
///
/// # Errors
/// If there are not as many users as examples.
pub fn under(examples: &[Example], users: &[u32], control: Control, seed: u64) -> Result<Vec<Example>> {
    ensure!(examples.len() == users.len(), "{} users of {} examples", users.len(), examples.len());
    if control != Control::ShuffledItems {
        return Ok(examples.to_vec());
    }
    let mut changed = examples.to_vec();
    for (example, giver) in changed.iter_mut().zip(givers(examples, users, seed)) {
        let Some(giver) = giver else { continue };
        let own = &mut example.request;
        let (kind, passage) = (std::mem::take(&mut own.kind), std::mem::take(&mut own.passage));
        *own = Request { kind, passage, ..examples[giver].request.clone() };
    }
    Ok(changed)
}

/// For each example, the one of its kind whose items it is given: of another user, and each example gives once wherever no user has
/// more than half of a kind. `None` where a kind is of one user alone.
fn givers(examples: &[Example], users: &[u32], seed: u64) -> Vec<Option<usize>> {
    let mut rng = seed::rng(seed, 80);
    let mut order: Vec<usize> = (0..examples.len()).collect();
    order.shuffle(&mut rng);
    let mut givers = vec![None; examples.len()];
    let mut kinds: Vec<&str> = examples.iter().map(|example| example.request.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        // Users in random order, and the examples of each together: as far ahead as the longest such run, there is another user.
        let mut runs: Vec<Vec<usize>> = Vec::new();
        let mut run_of = HashMap::new();
        for &index in order.iter().filter(|&&index| examples[index].request.kind == kind) {
            let run = *run_of.entry(users[index]).or_insert(runs.len());
            if run == runs.len() {
                runs.push(Vec::new());
            }
            runs[run].push(index);
        }
        let longest = runs.iter().map(Vec::len).max().unwrap_or(0);
        let ring = runs.concat();
        for (place, &index) in ring.iter().enumerate() {
            let mut ahead = (longest..longest + ring.len()).map(|step| ring[(place + step) % ring.len()]);
            givers[index] = ahead.find(|&giver| users[giver] != users[index]);
        }
    }
    givers
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

/// What of a control is left to the narrator after [`under`]. The library exchanges items without knowing users, so those that are
/// exchanged between users are exchanged there.
fn left_of(control: Control) -> Control {
    if control == Control::ShuffledItems { Control::Nothing } else { control }
}

/// The loss of every example under a control; `users[i]` is the user of example i.
///
/// # Errors
/// If there are not as many users as examples, or a request cannot be laid out.
pub fn losses(
    narrator: &Narrator,
    examples: &[Example],
    users: &[u32],
    control: Control,
    seed: u64,
) -> Result<Vec<NarrativeLoss>> {
    let changed = under(examples, users, control, seed)?;
    Ok(narrator.losses(&changed, left_of(control), BATCH, seed)?)
}

/// What a narrator writes for requests, which [`under`] has changed, under a control.
///
/// # Errors
/// If a request cannot be laid out, or the user stops it.
pub fn write(
    narrator: &Narrator,
    requests: &[Request],
    control: Control,
    batch: usize,
    session: &Session,
) -> Result<Vec<String>> {
    let bar = session.bar(&format!("write: {}", in_words(control)), requests.len() as u64);
    let writer = narrator.writer()?.under(left_of(control))?;
    let written = writer.narrate(requests, &narrator.generate_options(), batch, &mut |progress| {
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
    let measure = |control: Control| -> Result<Measurement<Mean>> {
        let found = losses(&arm.narrator, &examples, &task.test_users, control, seed)?;
        mean_loss(&found, &task.test_users)
    };
    let plain = measure(Control::Nothing)?;
    let mut costs = Vec::new();
    for control in chosen {
        let comparison = paired_bootstrap(&plain, &measure(control)?, &Bootstrap::seeded(seed))?;
        let (cost, interval, p_value) = (comparison.difference, comparison.interval, comparison.p_value);
        costs.push(ControlCost { control, cost, interval, p_value });
    }
    Ok(Some(ControlRecord { arm: arm.given.to_string(), loss: plain.value(), costs }))
}

/// A control in words.
pub fn in_words(control: Control) -> &'static str {
    match control {
        Control::Nothing => "as it is",
        Control::ShuffledItems => "another user's items",
        Control::OneItemSwapped => "one item changed",
        Control::WithoutCf => "no collaborative vectors",
        Control::WithoutSemantic => "no semantic vectors",
        Control::WithoutVectors => "neither",
        Control::WithoutDetails => "no ratings, recencies, positions",
        Control::WithoutUser => "no vector of the user",
        Control::WithoutReviews => "no reviews of the user",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(kind: &str, item: u32) -> Example {
        let request = Request {
            kind: kind.into(),
            history: vec![item],
            target: Some(item),
            passage: vec![format!("passage {item}")],
            ..Request::default()
        };
        Example { request, text: format!("text {item}") }
    }

    #[test]
    fn everyone_is_given_the_items_of_another_user_and_all_items_are_given() {
        // Users with one to four narratives of a kind; a ring over requests alone would give some their own items.
        let users: Vec<u32> = vec![1, 1, 1, 1, 2, 2, 3, 3, 3, 4, 1, 2, 3, 3];
        let kinds = ["a"; 10].into_iter().chain(["b"; 4]);
        let examples: Vec<Example> = kinds.zip(0..).map(|(kind, item)| example(kind, item)).collect();
        let owner = |item: u32| users[item as usize];
        for seed in 0..50 {
            let changed = under(&examples, &users, Control::ShuffledItems, seed).unwrap();
            let mut given: Vec<u32> = Vec::new();
            for ((before, after), &user) in examples.iter().zip(&changed).zip(&users) {
                let item = after.request.target.unwrap();
                assert_ne!(owner(item), user, "seed {seed}");
                assert_eq!(after.request.history, [item]);
                assert_eq!(examples[item as usize].request.kind, before.request.kind);
                let kept = (&after.text, &after.request.kind, &after.request.passage);
                assert_eq!(kept, (&before.text, &before.request.kind, &before.request.passage));
                given.push(item);
            }
            given.sort_unstable();
            given.dedup();
            assert_eq!(given.len(), examples.len(), "seed {seed}");
        }
        assert_eq!(under(&examples, &users, Control::WithoutCf, 1).unwrap(), examples);
        assert!(under(&examples, &users[1..], Control::ShuffledItems, 1).is_err());
    }

    #[test]
    fn a_user_with_most_of_a_kind_still_gets_others_items_and_one_alone_keeps_its_own() {
        let users = [1, 1, 1, 1, 2, 7, 7];
        let kinds = ["a", "a", "a", "a", "a", "b", "b"];
        let examples: Vec<Example> = kinds.iter().zip(0..).map(|(kind, item)| example(kind, item)).collect();
        for seed in 0..20 {
            let changed = under(&examples, &users, Control::ShuffledItems, seed).unwrap();
            let given: Vec<u32> = changed.iter().filter_map(|example| example.request.target).collect();
            assert_eq!(given[..4], [4; 4]);
            assert!(given[4] < 4 && given[5..] == [5, 6]);
        }
    }

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
