//! Controls: what is changed in prompts to see whether the language model reads its soft tokens. Items are exchanged among the
//! examples, which takes knowing whose they are; what is withheld, the narrator itself leaves out.

use std::borrow::Cow;
use std::collections::HashMap;

use rand::seq::SliceRandom;
use regen_torch::seed;
use serde::{Deserialize, Serialize};

use crate::narrator::stream;
use crate::{Error, Example, Request, Result};

/// A change of the prompts: whether the language model reads its soft tokens shows in what it costs. Made of examples by
/// [`UserExamples::under`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Every example is given history, with its details and reviews, and target of another user's example of its kind. A passage
    /// stays where it is. Each example gives once, wherever no user has more than half of a kind; a kind of one user alone is not
    /// changed.
    ShuffledItems,
    /// One item of every example, the target or else the last purchase, is another one: that of an example of its kind, whoever's.
    /// What stands beside a purchase stays. Where all of a kind have the same item, it is not changed.
    OneItemSwapped,
    /// Items stay where they are, and something is not shown of them.
    #[serde(untagged)]
    Without(Withheld),
}

/// What a narrator is not shown of a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Withheld {
    /// It is shown everything.
    #[default]
    #[serde(rename = "nothing")]
    Nothing,
    /// Every item, and the user, is said to have no collaborative vector.
    #[serde(rename = "without_cf")]
    Cf,
    /// Every item is said to have no semantic vector.
    #[serde(rename = "without_semantic")]
    Semantic,
    /// Every item is said to have neither vector, and the user none: only how many items there are, their details and their reviews,
    /// is left.
    #[serde(rename = "without_vectors")]
    Vectors,
    /// Nothing is said of purchases beside their items: no rating, recency or position.
    #[serde(rename = "without_details")]
    Details,
    /// The user is said to have no vector.
    #[serde(rename = "without_user")]
    User,
    /// The user is said to have written no reviews.
    #[serde(rename = "without_reviews")]
    Reviews,
}

impl Withheld {
    pub(crate) fn hides_cf(self) -> bool {
        matches!(self, Self::Cf | Self::Vectors)
    }

    pub(crate) fn hides_semantic(self) -> bool {
        matches!(self, Self::Semantic | Self::Vectors)
    }

    /// The user's vector is of the collaborative side too.
    pub(crate) fn hides_user(self) -> bool {
        self.hides_cf() || self == Self::User
    }
}

/// Examples and whose they are.
///
/// ```
/// use regen_narrator::{Control, Example, Request, UserExamples, Withheld};
///
/// let example = |item| {
///     let request = Request { kind: "purchase_reason".into(), history: vec![item], ..Request::default() };
///     Example { request, text: "It is blue.".into() }
/// };
/// let (examples, users) = ([example(3), example(4), example(5)], [0, 0, 1]);
/// let of_users = UserExamples::new(&examples, &users)?;
/// let changed = of_users.under(Control::ShuffledItems, 7);
/// // User 0 has two of the three, so both are given what user 1 bought.
/// assert_eq!((&changed.examples[0].request.history, &changed.examples[1].request.history), (&vec![5], &vec![5]));
/// assert_eq!((changed.exchanged, changed.withheld), (3, Withheld::Nothing));
/// // What it costs: narrator.losses(&changed.examples, changed.withheld, 32).
/// assert!(UserExamples::new(&examples, &users[1..]).is_err());
/// # Ok::<(), regen_narrator::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct UserExamples<'a> {
    examples: &'a [Example],
    users: &'a [u32],
}

/// Examples as a control changes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Controlled<'a> {
    /// In the order of those that they were made of, with their kinds, passages and texts.
    pub examples: Cow<'a, [Example]>,
    /// What a narrator is not to be shown of them, by [`Narrator::losses`](crate::Narrator::losses) or
    /// [`NarrativeWriter::without`](crate::NarrativeWriter::without).
    pub withheld: Withheld,
    /// How many were given items of another. 0 under a control that exchanges some says that there was nobody to exchange with, so
    /// that what it costs tells nothing.
    pub exchanged: usize,
}

impl<'a> UserExamples<'a> {
    /// `users[i]` is the user of example i.
    ///
    /// # Errors
    /// [`Error::UserCount`] if they are not as many.
    pub fn new(examples: &'a [Example], users: &'a [u32]) -> Result<Self> {
        if examples.len() != users.len() {
            return Err(Error::UserCount { got: users.len(), expected: examples.len() });
        }
        Ok(Self { examples, users })
    }

    /// What a control makes of them; `seed` decides who exchanges items with whom.
    pub fn under(&self, control: Control, seed: u64) -> Controlled<'a> {
        let (changed, withheld) = match control {
            Control::ShuffledItems => (shuffled(self.examples, self.users, seed), Withheld::Nothing),
            Control::OneItemSwapped => (swapped(self.examples, seed), Withheld::Nothing),
            Control::Without(withheld) => {
                return Controlled { examples: Cow::Borrowed(self.examples), withheld, exchanged: 0 };
            }
        };
        let exchanged = changed.iter().flatten().count();
        let requests = changed.into_iter().zip(self.examples);
        let examples = requests.map(|(request, example)| Example {
            request: request.unwrap_or_else(|| example.request.clone()),
            text: example.text.clone(),
        });
        Controlled { examples: Cow::Owned(examples.collect()), withheld, exchanged }
    }
}

/// The request of each example with the items of its giver; `None` where nobody gives.
fn shuffled(examples: &[Example], users: &[u32], seed: u64) -> Vec<Option<Request>> {
    let given = examples.iter().zip(givers(examples, users, seed)).map(|(example, giver)| {
        let (kind, passage) = (example.request.kind.clone(), example.request.passage.clone());
        // All else is of the purchases, whatever a request may come to say of them.
        Some(Request { kind, passage, ..examples[giver?].request.clone() })
    });
    given.collect()
}

/// For each example, the one of its kind whose items it is given: of another user, and each example gives once wherever no user has
/// more than half of a kind. `None` where a kind is of one user alone.
fn givers(examples: &[Example], users: &[u32], seed: u64) -> Vec<Option<usize>> {
    let mut rng = seed::rng(seed, stream::EXCHANGE);
    let mut order: Vec<usize> = (0..examples.len()).collect();
    order.shuffle(&mut rng);
    let mut givers = vec![None; examples.len()];
    for kind in kinds(examples) {
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

/// The request of each example with one item of another, the next of a random ring through its kind whose item is another one; `None`
/// where there is none.
fn swapped(examples: &[Example], seed: u64) -> Vec<Option<Request>> {
    let item = |index: usize| {
        let request = &examples[index].request;
        request.target.or(request.history.last().copied())
    };
    let mut rng = seed::rng(seed, stream::CONTROLS);
    let mut swapped = vec![None; examples.len()];
    for kind in kinds(examples) {
        let mut ring: Vec<usize> =
            (0..examples.len()).filter(|&index| examples[index].request.kind == kind).collect();
        ring.shuffle(&mut rng);
        for (place, &index) in ring.iter().enumerate() {
            let mut others = (1..ring.len()).filter_map(|step| item(ring[(place + step) % ring.len()]));
            let Some(other) = others.find(|other| Some(*other) != item(index)) else { continue };
            let mut request = examples[index].request.clone();
            match (&mut request.target, request.history.last_mut()) {
                (Some(target), _) => *target = other,
                (None, Some(last)) => *last = other,
                (None, None) => continue,
            }
            swapped[index] = Some(request);
        }
    }
    swapped
}

/// The kinds of the examples, in alphabetical order.
fn kinds(examples: &[Example]) -> Vec<&str> {
    let mut kinds: Vec<&str> = examples.iter().map(|example| example.request.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

#[cfg(test)]
mod tests {
    use crate::{Detail, ReviewVector};

    use super::*;

    /// Everything of it is known by its number.
    fn example(kind: &str, item: u32) -> Example {
        let detail = Detail {
            rating: Some(1.0 + item as f32 % 5.0),
            days: Some(item as f32),
            review: Some(ReviewVector::new(vec![item as f32])),
        };
        let request = Request {
            kind: kind.into(),
            history: vec![item],
            target: Some(item),
            passage: vec![format!("passage {item}")],
            details: vec![detail],
        };
        Example { request, text: format!("text {item}") }
    }

    /// Items that the examples of these users, kind by kind, are given.
    fn given(users: &[u32], kinds: &[(&str, usize)], seed: u64) -> Vec<u32> {
        let kinds = kinds.iter().flat_map(|&(kind, times)| std::iter::repeat_n(kind, times));
        let examples: Vec<Example> = kinds.zip(0..).map(|(kind, item)| example(kind, item)).collect();
        let changed = UserExamples::new(&examples, users).unwrap().under(Control::ShuffledItems, seed);
        let mut given = Vec::new();
        for (before, after) in examples.iter().zip(changed.examples.iter()) {
            let item = after.request.target.unwrap();
            let giver = &examples[item as usize].request;
            let kept = (&before.text, &before.request.kind, &before.request.passage);
            assert_eq!((&after.text, &after.request.kind, &after.request.passage), kept);
            let moved = (&giver.kind, &giver.history, &giver.details);
            assert_eq!((&after.request.kind, &after.request.history, &after.request.details), moved);
            given.push(item);
        }
        let exchanged = given.iter().zip(0..).filter(|(given, own)| **given != *own).count();
        assert_eq!((changed.exchanged, changed.withheld), (exchanged, Withheld::Nothing));
        given
    }

    #[test]
    fn everyone_is_given_the_items_of_another_user_with_what_is_known_of_them_and_all_items_are_given() {
        // Users with one to four narratives of a kind; a ring over requests alone would give some their own items.
        let users = [1, 1, 1, 1, 2, 2, 3, 3, 3, 4, 1, 2, 3, 3];
        for seed in 0..50 {
            let mut given = given(&users, &[("a", 10), ("b", 4)], seed);
            for (item, user) in given.iter().zip(users) {
                assert_ne!(users[*item as usize], user, "seed {seed}");
            }
            given.sort_unstable();
            assert!(given.iter().copied().eq(0..14), "seed {seed}: {given:?}");
        }
    }

    #[test]
    fn a_seed_gives_the_exchange_that_it_gave_before_so_that_experiments_stay_comparable() {
        let users = [1, 1, 1, 1, 2, 2, 3, 3, 3, 4, 1, 2, 3, 3, 1, 9];
        for (seed, expected) in [
            (0, [6, 7, 8, 5, 1, 0, 9, 2, 4, 3, 13, 12, 11, 10, 15, 14]),
            (1, [4, 5, 7, 8, 9, 6, 2, 1, 0, 3, 13, 12, 11, 10, 15, 14]),
            (7, [7, 5, 4, 8, 9, 6, 3, 2, 1, 0, 12, 13, 10, 11, 15, 14]),
        ] {
            assert_eq!(given(&users, &[("a", 10), ("b", 4), ("c", 2)], seed), expected, "seed {seed}");
        }
    }

    #[test]
    fn a_user_with_most_of_a_kind_still_gets_others_items_and_one_alone_keeps_its_own() {
        for seed in 0..20 {
            let given = given(&[1, 1, 1, 1, 2, 7, 7], &[("a", 5), ("b", 2)], seed);
            assert_eq!(given[..4], [4; 4]);
            assert!(given[4] < 4 && given[5..] == [5, 6]);
        }
        let examples = [example("a", 0), example("a", 1)];
        let alone = UserExamples::new(&examples, &[3, 3]).unwrap().under(Control::ShuffledItems, 1);
        assert_eq!((&alone.examples[..], alone.exchanged), (&examples[..], 0));
        let nobody = UserExamples::new(&[], &[]).unwrap().under(Control::ShuffledItems, 1);
        assert!(nobody.examples.is_empty());
    }

    #[test]
    fn what_is_withheld_leaves_the_examples_as_they_are() {
        let examples = [example("a", 0), example("a", 1)];
        let of_users = UserExamples::new(&examples, &[3, 4]).unwrap();
        let changed = of_users.under(Control::Without(Withheld::Cf), 1);
        assert_eq!((&changed.examples[..], changed.withheld), (&examples[..], Withheld::Cf));
        let refused = UserExamples::new(&examples, &[3]).unwrap_err();
        assert!(matches!(refused, Error::UserCount { got: 1, expected: 2 }), "{refused}");
    }

    #[test]
    fn one_item_is_swapped_for_another_that_differs_and_all_else_stays() {
        let example = |kind: &str, history: &[u32], target| Example {
            request: Request { kind: kind.into(), history: history.to_vec(), target, ..Request::default() },
            text: "the lamp".into(),
        };
        let examples = [
            example("reason", &[1, 2], Some(3)),
            example("reason", &[2], Some(3)),
            example("reason", &[5], Some(4)),
            example("summary", &[1, 2], None),
            example("summary", &[7, 8], None),
            example("alone", &[1], Some(9)),
            example("passage", &[], None),
            example("passage", &[], None),
        ];
        let of_users = UserExamples::new(&examples, &[0; 8]).unwrap();
        let changed = of_users.under(Control::OneItemSwapped, 3);
        for (before, after) in examples.iter().zip(changed.examples.iter()) {
            let (mut after, before) = (after.clone(), before.clone());
            match before.request.kind.as_str() {
                "reason" => {
                    assert_ne!(after.request.target, before.request.target);
                    assert!([Some(3), Some(4)].contains(&after.request.target));
                    after.request.target = before.request.target;
                }
                "summary" => {
                    assert_ne!(after.request.history.pop(), before.request.history.last().copied());
                    after.request.history.extend(before.request.history.last());
                }
                _ => {}
            }
            assert_eq!(after, before);
        }
        assert_eq!((changed.exchanged, changed.withheld), (5, Withheld::Nothing));
    }

    /// Experiments keep losses by the names of their controls.
    #[test]
    fn controls_keep_their_names_on_disk() {
        for (control, name) in [
            (Control::ShuffledItems, "shuffled_items"),
            (Control::OneItemSwapped, "one_item_swapped"),
            (Control::Without(Withheld::Nothing), "nothing"),
            (Control::Without(Withheld::Cf), "without_cf"),
            (Control::Without(Withheld::Semantic), "without_semantic"),
            (Control::Without(Withheld::Vectors), "without_vectors"),
            (Control::Without(Withheld::Details), "without_details"),
            (Control::Without(Withheld::User), "without_user"),
            (Control::Without(Withheld::Reviews), "without_reviews"),
        ] {
            let json = serde_json::to_string(&control).unwrap();
            assert_eq!(json, format!("{name:?}"));
            assert_eq!(serde_json::from_str::<Control>(&json).unwrap(), control);
        }
        assert!(serde_json::from_str::<Control>("\"without_everything\"").is_err());
    }
}
