//! The leak audit: proof, from the data that was really used, that what a model learns from and what it is judged
//! by are apart. It checks the lists that go into training, not the code that made them.

use std::collections::HashMap;
use std::fmt;

use crate::{Dataset, Error, Example, Interaction, ItemId, Part, Result, Split, UserId};

/// One way in which the answer was given away. Users and items by name.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Leak {
    /// A user on two sides of a split that should be disjoint.
    UserInTwoParts {
        /// The user.
        user: String,
        /// One side.
        first: Part,
        /// The other.
        second: Part,
    },
    /// The item that a text is about stands in the history that the model sees.
    TargetInHistory {
        /// Index of the example.
        example: usize,
        /// Its user.
        user: String,
        /// Its target.
        item: String,
    },
    /// The text to be written stands word for word in an item text that the model sees. One of fewer than four words, and
    /// fewer than 24 characters (of languages that do not part words), stands there by chance and is no leak.
    ReferenceInItemText {
        /// Index of the example.
        example: usize,
        /// Its user.
        user: String,
        /// The item whose text gives it away.
        item: String,
    },
    /// An interaction of the validation or test part is among those that the factors are fitted to.
    ///
    /// This is the trap of the XRec release, where four fifths of the test pairs stand in the training interactions.
    HeldOutInteraction {
        /// The user.
        user: String,
        /// The item.
        item: String,
        /// The part to which the pair belongs.
        part: Part,
    },
    /// A text to be written nearly repeats one of an earlier part.
    NearDuplicate {
        /// Index of the example.
        example: usize,
        /// Its user.
        user: String,
        /// Its part.
        part: Part,
        /// Index of the example that it repeats.
        repeats: usize,
        /// That example's user.
        of_user: String,
        /// Jaccard similarity of their shingles, up to 1.
        similarity: f64,
    },
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserInTwoParts { user, first, second } => {
                write!(f, "user {user} is in both the {first} and the {second} part")
            }
            Self::TargetInHistory { example, user, item } => {
                write!(f, "example {example}: target {item} is in the history of user {user}")
            }
            Self::ReferenceInItemText { example, user, item } => {
                write!(f, "example {example} of user {user}: its reference stands in the text of item {item}")
            }
            Self::HeldOutInteraction { user, item, part } => {
                write!(
                    f,
                    "the {part} interaction of user {user} with item {item} is among the training interactions"
                )
            }
            Self::NearDuplicate { example, user, part, repeats, of_user, similarity } => write!(
                f,
                "{part} example {example} of user {user} repeats example {repeats} of user {of_user} (similarity {similarity:.2})"
            ),
        }
    }
}

/// What was checked by an audit that found no leak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LeakAudit {
    /// Users whose part was compared.
    pub users: usize,
    /// Examples whose target, history and item texts were compared.
    pub examples: usize,
    /// Training interactions that were looked up in the split.
    pub training_interactions: usize,
}

/// Checks that the split is disjoint where it should be, that no example shows its own answer, and that no held-out
/// interaction is in `training_interactions`, the very list that the factors are fitted to.
///
/// # Errors
/// [`Error::Leaks`] with every leak that was found.
pub fn audit_leaks(
    dataset: &Dataset,
    split: &Split,
    examples: &[Example],
    training_interactions: &[Interaction],
) -> Result<LeakAudit> {
    let mut leaks = Vec::new();
    let user_name = |user: UserId| dataset.users.name(user).to_owned();
    let item_name = |item: ItemId| dataset.items.name(item).to_owned();

    if split.is_user_disjoint() {
        let mut seen: HashMap<UserId, Part> = HashMap::new();
        for part in Part::ALL {
            for &user in split.users(part) {
                if let Some(first) = seen.insert(user, part) {
                    leaks.push(Leak::UserInTwoParts { user: user_name(user), first, second: part });
                }
            }
        }
    }

    let item_texts: Vec<Option<String>> =
        dataset.item_texts().into_iter().map(|text| text.map(|text| normalize(&text))).collect();
    for (index, example) in examples.iter().enumerate() {
        if let Some(target) = example.target.filter(|target| example.history.contains(target)) {
            leaks.push(Leak::TargetInHistory {
                example: index,
                user: user_name(example.user),
                item: item_name(target),
            });
        }
        let reference = normalize(&example.reference);
        if !can_be_a_copy(&reference) {
            continue;
        }
        let shown = example.history.iter().copied().chain(example.target);
        if let Some(item) = shown
            .into_iter()
            .find(|item| item_texts[item.index()].as_ref().is_some_and(|text| text.contains(&reference)))
        {
            leaks.push(Leak::ReferenceInItemText {
                example: index,
                user: user_name(example.user),
                item: item_name(item),
            });
        }
    }

    for interaction in training_interactions {
        match split.part_of_pair(interaction.user, interaction.item) {
            Some(Part::Train) => {}
            part => leaks.push(Leak::HeldOutInteraction {
                user: user_name(interaction.user),
                item: item_name(interaction.item),
                part: part.unwrap_or(Part::Test),
            }),
        }
    }

    if leaks.is_empty() {
        Ok(LeakAudit {
            users: dataset.users.len(),
            examples: examples.len(),
            training_interactions: training_interactions.len(),
        })
    } else {
        Err(Error::Leaks { leaks })
    }
}

/// Whether a text is long enough that finding it in another says that it was taken from there: "a gift" is in many item texts.
fn can_be_a_copy(normalized: &str) -> bool {
    normalized.split(' ').count() >= 4 || normalized.chars().count() >= 24
}

/// Lower case and single spaces: a copy is a copy however it was set.
pub(crate) fn normalize(text: &str) -> String {
    let mut normalized = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !normalized.is_empty() {
            normalized.push(' ');
        }
        normalized.extend(word.chars().flat_map(char::to_lowercase));
    }
    normalized
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::dataset;
    use crate::{
        HistoryConfig, ItemMetadata, Narrative, NarrativeKind, SplitRule, examples, training_interactions,
    };

    fn world() -> (Dataset, Split) {
        let purchases: Vec<_> =
            (0..10).flat_map(|user| [(user, user % 3, None), (user, 3 + user % 2, None)]).collect();
        let mut data = dataset(10, 5, &purchases);
        data.narratives = (0..10)
            .map(|user| Narrative {
                user: UserId::from_index(user),
                item: Some(ItemId::from_index(3 + user % 2)),
                kind: NarrativeKind::PurchaseReason,
                text: format!("because of reason {user}"),
            })
            .collect();
        let split = SplitRule::UserDisjoint { validation: 0.2, test: 0.3 }.split(&data, 5).unwrap();
        (data, split)
    }

    fn leaks(data: &Dataset, split: &Split, examples: &[Example], wals: &[Interaction]) -> Vec<Leak> {
        match audit_leaks(data, split, examples, wals) {
            Err(Error::Leaks { leaks }) => leaks,
            other => panic!("expected leaks, got {other:?}"),
        }
    }

    #[test]
    fn a_clean_pipeline_passes_and_says_what_was_checked() {
        let (data, split) = world();
        let made = examples(&data, &HistoryConfig::default()).unwrap();
        let wals = training_interactions(&data, &split);
        let audit = audit_leaks(&data, &split, &made, &wals).unwrap();
        assert_eq!(audit, LeakAudit { users: 10, examples: 10, training_interactions: 10 });
    }

    #[test]
    fn all_interactions_instead_of_the_training_ones_are_caught_and_named() {
        let (data, split) = world();
        let found = leaks(&data, &split, &[], &data.interactions);
        assert_eq!(found.len(), 10, "five held-out users bought two items each");
        let Leak::HeldOutInteraction { user, part, .. } = &found[0] else { panic!("{found:?}") };
        assert_eq!(split.part_of(data.users.get(user).unwrap()), Some(*part));
    }

    #[test]
    fn a_target_in_its_history_is_caught() {
        let (data, split) = world();
        let mut made = examples(&data, &HistoryConfig::default()).unwrap();
        let target = made[4].target.unwrap();
        made[4].history.push(target);
        let found = leaks(&data, &split, &made, &[]);
        assert!(matches!(&found[..], [Leak::TargetInHistory { example: 4, .. }]), "{found:?}");
    }

    #[test]
    fn a_reference_inside_an_item_text_is_caught_whatever_its_case_and_spacing() {
        let (mut data, split) = world();
        let made = examples(&data, &HistoryConfig::default()).unwrap();
        let shown = made[7].history[0];
        data.catalogue[shown.index()] = Some(ItemMetadata {
            title: Some("Bought Because  of\nReason 7, they say".into()),
            ..Default::default()
        });
        let found = leaks(&data, &split, &made, &[]);
        assert!(matches!(&found[..], [Leak::ReferenceInItemText { example: 7, .. }]), "{found:?}");
    }

    #[test]
    fn a_reference_of_a_word_or_two_stands_in_an_item_text_by_chance() {
        let (mut data, split) = world();
        let mut made = examples(&data, &HistoryConfig::default()).unwrap();
        let shown = made[7].history[0];
        let titled = |title: &str| Some(ItemMetadata { title: Some(title.into()), ..Default::default() });
        data.catalogue[shown.index()] = titled("The wrapping of a gift for children");
        made[7].reference = "A gift".into();
        assert!(audit_leaks(&data, &split, &made, &[]).is_ok());

        let without_spaces = "送给孩子们的生日礼物包装纸非常漂亮而且价格便宜质量好";
        data.catalogue[shown.index()] = titled(without_spaces);
        made[7].reference = without_spaces.into();
        let found = leaks(&data, &split, &made, &[]);
        assert!(matches!(&found[..], [Leak::ReferenceInItemText { example: 7, .. }]), "{found:?}");
    }
}
