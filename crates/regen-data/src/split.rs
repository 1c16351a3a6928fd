//! Who is learned from, who is tuned on, who is judged by. A [`Split`] is a value that cannot be built with one
//! user on two sides where its rule forbids it, and everything downstream takes the split, not three lists.

use std::collections::{HashMap, HashSet};
use std::fmt;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Dataset, Error, Example, Interaction, ItemId, Result, UserId};

/// One side of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Learned from.
    Train,
    /// Tuned on.
    Validation,
    /// Judged by, once.
    Test,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a data set is divided.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", rename_all_fields = "snake_case", deny_unknown_fields)]
pub enum SplitRule {
    /// Every user on one side, with all that they bought: narratives are written for users never seen.
    ///
    /// Where the data set has narratives, the users who have one are divided by these shares and everyone else is in
    /// training (nothing could be measured on them). Where it has none, all users are divided.
    ///
    /// **Source** the split of the REGEN experiments (Sayana et al. 2024, section 5.1).
    UserDisjoint {
        /// Share of the users to tune on, in `[0, 1)`.
        validation: f64,
        /// Share of the users to judge by, in `[0, 1)`.
        test: f64,
    },
    /// Every user's last purchase is for the test, the one before for validation, the rest for training; users with
    /// fewer than three purchases are in training only.
    LeaveLastOut,
    /// Purchases before `validation_from` are for training, from `test_from` on for the test.
    TemporalCut {
        /// Seconds since 1970-01-01 UTC.
        validation_from: i64,
        /// Seconds since 1970-01-01 UTC, not before `validation_from`.
        test_from: i64,
    },
}

/// A data set divided. See [`SplitRule`].
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    disjoint: bool,
    users: [Vec<UserId>; 3],
    /// For each user the parts in which they stand.
    parts: Vec<[bool; 3]>,
    /// Pairs that are not for training although their user is: leave-last-out and temporal cuts only.
    held_out: HashMap<(UserId, ItemId), Part>,
    hash: String,
}

impl SplitRule {
    /// Divides `dataset`. The same data, rule and seed give the same split, whatever the order of the users in the
    /// file; only [`SplitRule::UserDisjoint`] draws from the seed.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for shares outside their range or cuts in the wrong order; [`Error::EmptyPart`] when
    /// there are too few users for the shares; [`Error::NoTimes`] for a temporal cut of data without times.
    pub fn split(&self, dataset: &Dataset, seed: u64) -> Result<Split> {
        match *self {
            Self::UserDisjoint { validation, test } => user_disjoint(dataset, validation, test, seed),
            Self::LeaveLastOut => Ok(leave_last_out(dataset)),
            Self::TemporalCut { validation_from, test_from } => {
                temporal_cut(dataset, validation_from, test_from)
            }
        }
    }
}

impl Split {
    /// A user-disjoint split that someone else published. Users in none of the lists are in training.
    ///
    /// # Errors
    /// [`Error::OverlappingUser`] if a user is in both lists; [`Error::EmptyPart`] if nobody is left for training.
    pub fn from_held_out(dataset: &Dataset, validation: &[UserId], test: &[UserId]) -> Result<Self> {
        let mut part = vec![Part::Train; dataset.users.len()];
        for (users, wanted) in [(validation, Part::Validation), (test, Part::Test)] {
            for &user in users {
                let current = &mut part[user.index()];
                if *current != Part::Train && *current != wanted {
                    return Err(Error::OverlappingUser {
                        user: dataset.users.name(user).to_owned(),
                        first: *current,
                        second: wanted,
                    });
                }
                *current = wanted;
            }
        }
        if !part.contains(&Part::Train) {
            return Err(Error::EmptyPart { part: Part::Train, available: part.len() });
        }
        let parts = part.iter().map(|&part| Part::ALL.map(|each| each == part)).collect();
        Ok(Self::assemble(dataset, true, parts, HashMap::new()))
    }

    fn assemble(
        dataset: &Dataset,
        disjoint: bool,
        parts: Vec<[bool; 3]>,
        held_out: HashMap<(UserId, ItemId), Part>,
    ) -> Self {
        let users = Part::ALL.map(|part| {
            dataset.users.ids().filter(|user| parts[user.index()][part as usize]).collect::<Vec<_>>()
        });
        let mut hasher = Sha256::new();
        let mut lines: Vec<String> = dataset
            .users
            .iter()
            .map(|(user, name)| format!("{name}\t{:?}\n", parts[user.index()]))
            .chain(held_out.iter().map(|(&(user, item), part)| {
                format!("{}\t{}\t{part}\n", dataset.users.name(user), dataset.items.name(item))
            }))
            .collect();
        lines.sort_unstable();
        for line in &lines {
            hasher.update(line.as_bytes());
        }
        let hash = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { disjoint, users, parts, held_out, hash }
    }

    /// The users of one part, in the order of their ids.
    pub fn users(&self, part: Part) -> &[UserId] {
        &self.users[part as usize]
    }

    /// The users to learn from, in the order of their ids.
    pub fn train(&self) -> &[UserId] {
        self.users(Part::Train)
    }

    /// The users to tune on.
    pub fn validation(&self) -> &[UserId] {
        self.users(Part::Validation)
    }

    /// The users to judge by.
    pub fn test(&self) -> &[UserId] {
        self.users(Part::Test)
    }

    /// Whether every user stands on one side only.
    pub fn is_user_disjoint(&self) -> bool {
        self.disjoint
    }

    /// The part in which `user` stands, or `None` if the user is unknown or stands in several (possible only where
    /// the rule is not user-disjoint).
    pub fn part_of(&self, user: UserId) -> Option<Part> {
        let parts = self.parts.get(user.index())?;
        let mut present = Part::ALL.into_iter().filter(|&part| parts[part as usize]);
        match (present.next(), present.next()) {
            (Some(part), None) => Some(part),
            _ => None,
        }
    }

    /// The part to which a purchase belongs, or `None` for an unknown user.
    pub fn part_of_pair(&self, user: UserId, item: ItemId) -> Option<Part> {
        if self.disjoint {
            return self.part_of(user);
        }
        let known = self.parts.get(user.index()).is_some();
        known.then(|| self.held_out.get(&(user, item)).copied().unwrap_or(Part::Train))
    }

    /// The part to which an example belongs: its user's where users are disjoint, else its target's. `None` for a
    /// user summary where users are not disjoint: it tells of the whole history, so it is on neither side.
    pub fn part_of_example(&self, example: &Example) -> Option<Part> {
        match example.target {
            _ if self.disjoint => self.part_of(example.user),
            Some(target) => self.part_of_pair(example.user, target),
            None => None,
        }
    }

    /// The examples of one part, in their order.
    pub fn select<'a>(&self, examples: &'a [Example], part: Part) -> Vec<&'a Example> {
        examples.iter().filter(|example| self.part_of_example(example) == Some(part)).collect()
    }

    /// SHA-256 (lower-case hex) of who stands where, by name: two runs with the same hash judged the same users.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// What a model of interactions may see: the purchases of the training part, in the order of the data set. Of users
/// in validation and test it sees nothing at all; where users are not disjoint, a held-out pair is left out
/// wherever it occurs, so that an earlier purchase of the same item does not give it away.
pub fn training_interactions(dataset: &Dataset, split: &Split) -> Vec<Interaction> {
    dataset
        .interactions
        .iter()
        .filter(|interaction| split.part_of_pair(interaction.user, interaction.item) == Some(Part::Train))
        .copied()
        .collect()
}

fn user_disjoint(dataset: &Dataset, validation: f64, test: f64, seed: u64) -> Result<Split> {
    for (field, share) in
        [("validation", validation), ("test", test), ("validation + test", validation + test)]
    {
        if !(0.0..1.0).contains(&share) {
            return Err(Error::InvalidConfig {
                field,
                expected: "at least 0 and less than 1",
                got: share.to_string(),
            });
        }
    }
    let mut users: Vec<UserId> = if dataset.narratives.is_empty() {
        dataset.users.ids().collect()
    } else {
        let told: HashSet<UserId> = dataset.narratives.iter().map(|narrative| narrative.user).collect();
        told.into_iter().collect()
    };
    // By name, so that the order in which files were read does not matter.
    users.sort_unstable_by_key(|&user| dataset.users.name(user));
    users.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));

    let available = users.len();
    let count = |share: f64| (share * available as f64).round() as usize;
    let (validation_users, test_users) = (count(validation), count(test));
    for (part, share, users) in
        [(Part::Validation, validation, validation_users), (Part::Test, test, test_users)]
    {
        if share > 0.0 && users == 0 {
            return Err(Error::EmptyPart { part, available });
        }
    }
    if validation_users + test_users >= available {
        return Err(Error::EmptyPart { part: Part::Train, available });
    }
    let (test, rest) = users.split_at(test_users);
    Split::from_held_out(dataset, &rest[..validation_users], test)
}

fn leave_last_out(dataset: &Dataset) -> Split {
    let mut held_out = HashMap::new();
    let parts = dataset
        .timelines()
        .into_iter()
        .map(|timeline| {
            let [.., before_last, last] = timeline[..] else { return [true, false, false] };
            if timeline.len() < 3 {
                return [true, false, false];
            }
            let mut hold = |at: usize, part| {
                let Interaction { user, item, .. } = dataset.interactions[at];
                held_out.insert((user, item), part);
            };
            hold(before_last, Part::Validation);
            hold(last, Part::Test);
            [true; 3]
        })
        .collect();
    Split::assemble(dataset, false, parts, held_out)
}

fn temporal_cut(dataset: &Dataset, validation_from: i64, test_from: i64) -> Result<Split> {
    if test_from < validation_from {
        return Err(Error::InvalidConfig {
            field: "test_from",
            expected: "not before validation_from",
            got: test_from.to_string(),
        });
    }
    let without_time = dataset.interactions.iter().filter(|interaction| interaction.time.is_none()).count();
    if without_time > 0 || dataset.interactions.is_empty() {
        return Err(Error::NoTimes {
            rule: "a temporal cut",
            without_time,
            interactions: dataset.interactions.len(),
        });
    }
    let mut parts = vec![[false; 3]; dataset.users.len()];
    let mut held_out = HashMap::new();
    for interaction in &dataset.interactions {
        let part = match interaction.time {
            Some(time) if time >= test_from => Part::Test,
            Some(time) if time >= validation_from => Part::Validation,
            _ => Part::Train,
        };
        parts[interaction.user.index()][part as usize] = true;
        if part != Part::Train {
            let latest = held_out.entry((interaction.user, interaction.item)).or_insert(part);
            *latest = part.max(*latest);
        }
    }
    Ok(Split::assemble(dataset, false, parts, held_out))
}

/// Which of each user's interactions to hold out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HoldOut {
    /// The last `n` items in chronological order.
    Last(usize),
    /// This share of the items, in `(0, 1)`, drawn at random, at least one of every user with two items.
    Fraction(f64),
}

/// Divides every user's interactions into `(training, held out)`, for Recall and NDCG on data without narratives.
/// Repeated purchases of one item stay together; every user keeps at least one item in training, and users with a
/// single item hold nothing out.
///
/// # Errors
/// [`Error::InvalidConfig`] for zero items or a share outside `(0, 1)`.
pub fn per_user_hold_out(
    dataset: &Dataset,
    hold_out: HoldOut,
    seed: u64,
) -> Result<(Vec<Interaction>, Vec<Interaction>)> {
    let invalid = |expected, got: String| Err(Error::InvalidConfig { field: "hold_out", expected, got });
    match hold_out {
        HoldOut::Last(0) => return invalid("at least one item", "0".to_owned()),
        HoldOut::Fraction(share) if !(share > 0.0 && share < 1.0) => {
            return invalid("between 0 and 1, both excluded", share.to_string());
        }
        _ => {}
    }
    let mut is_held = vec![false; dataset.interactions.len()];
    for (user, timeline) in dataset.timelines().into_iter().enumerate() {
        // Distinct items by their last purchase.
        let mut items: Vec<ItemId> = Vec::new();
        let mut seen = HashSet::new();
        for &at in timeline.iter().rev() {
            let item = dataset.interactions[at].item;
            if seen.insert(item) {
                items.push(item);
            }
        }
        let held = match hold_out {
            HoldOut::Last(count) => count,
            HoldOut::Fraction(share) => ((share * items.len() as f64).round() as usize).max(1),
        }
        .min(items.len().saturating_sub(1));
        if let HoldOut::Fraction(_) = hold_out {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            // One stream per user: what one user loses does not depend on who else is there.
            rng.set_stream(user as u64);
            for place in 0..held {
                let other = rng.random_range(place..items.len());
                items.swap(place, other);
            }
        }
        let held: HashSet<ItemId> = items[..held].iter().copied().collect();
        for at in timeline {
            is_held[at] = held.contains(&dataset.interactions[at].item);
        }
    }
    let (mut train, mut held) = (Vec::new(), Vec::new());
    for (interaction, is_held) in dataset.interactions.iter().zip(is_held) {
        if is_held { &mut held } else { &mut train }.push(*interaction);
    }
    Ok((train, held))
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
