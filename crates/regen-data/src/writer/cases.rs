//! What is to be written: for each user and kind, about which purchase, and what the writer may see.

use serde::{Deserialize, Serialize};

use crate::{Dataset, Error, ItemId, NarrativeKind, Result, UserId};

/// One text that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WritingCase {
    /// Whom it is about.
    pub user: UserId,
    /// What kind of text it is.
    pub kind: NarrativeKind,
    /// What it is about; `None` exactly for user summaries. Of a critique the item that it leads to, which the text must not
    /// name.
    pub item: Option<ItemId>,
    /// Of a critique, the purchase before, which it criticises.
    pub previous: Option<ItemId>,
    /// The purchases before, oldest first.
    pub history: Vec<ItemId>,
}

/// Which texts are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CasesConfig {
    /// The kinds.
    pub kinds: Vec<NarrativeKind>,
    /// How many of the last purchases of each user get a text of each kind that is about an item; of critiques, how many of
    /// the last pairs.
    pub targets_per_user: usize,
    /// The longest history that is shown, in items.
    pub max_history: usize,
    /// Users with fewer purchases get nothing: there is nothing to say about them. At least 2.
    pub min_purchases: usize,
}

impl Default for CasesConfig {
    /// Every kind, about the last purchase, with histories of 50 as in REGEN.
    fn default() -> Self {
        Self { kinds: NarrativeKind::ALL.to_vec(), targets_per_user: 1, max_history: 50, min_purchases: 2 }
    }
}

/// The texts to write, user by user in the order of their ids. A critique exists only where two purchases follow one
/// another whose categories end in the same level. An item's last purchase counts, and it is never in its own history.
///
/// # Errors
/// [`Error::InvalidConfig`] for a `max_history` of 0 or `min_purchases` below 2.
pub fn writing_cases(dataset: &Dataset, config: &CasesConfig) -> Result<Vec<WritingCase>> {
    for (field, value, least, expected) in [
        ("max_history", config.max_history, 1, "at least 1"),
        ("min_purchases", config.min_purchases, 2, "at least 2"),
    ] {
        if value < least {
            return Err(Error::InvalidConfig { field, expected, got: value.to_string() });
        }
    }
    let mut cases = Vec::new();
    for (user, timeline) in dataset.users.ids().zip(dataset.timelines()) {
        let mut bought: Vec<ItemId> = Vec::new();
        for item in timeline.iter().map(|&at| dataset.interactions[at].item) {
            bought.retain(|&earlier| earlier != item);
            bought.push(item);
        }
        if bought.len() < config.min_purchases {
            continue;
        }
        let shown = |end: usize| bought[end.saturating_sub(config.max_history)..end].to_vec();
        for &kind in &config.kinds {
            if !kind.uses_immediate_context() {
                cases.push(WritingCase {
                    user,
                    kind,
                    item: None,
                    previous: None,
                    history: shown(bought.len()),
                });
                continue;
            }
            let places = (1..bought.len()).rev().filter(|&at| {
                kind != NarrativeKind::Critique || share_category(dataset, bought[at - 1], bought[at])
            });
            cases.extend(places.take(config.targets_per_user).map(|at| WritingCase {
                user,
                kind,
                item: Some(bought[at]),
                previous: (kind == NarrativeKind::Critique).then_some(bought[at - 1]),
                history: shown(at),
            }));
        }
    }
    Ok(cases)
}

fn share_category(dataset: &Dataset, one: ItemId, other: ItemId) -> bool {
    let category = |item: ItemId| dataset.catalogue.get(item.index())?.as_ref()?.category.last();
    category(one).is_some_and(|last| category(other) == Some(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ItemMetadata;
    use crate::testing::dataset;

    #[test]
    fn critiques_stand_between_adjacent_purchases_of_one_category_alone() {
        let mut data = dataset(
            3,
            4,
            &[(0, 0, None), (0, 1, None), (0, 2, None), (1, 0, None), (1, 3, None), (2, 1, None)],
        );
        for (item, category) in ["Pens", "Pens", "Ink", "Ink"].iter().enumerate() {
            data.catalogue[item] = Some(ItemMetadata {
                category: vec!["Office".into(), (*category).into()],
                ..Default::default()
            });
        }
        let config = CasesConfig { kinds: vec![NarrativeKind::Critique], ..Default::default() };
        let cases = writing_cases(&data, &config).unwrap();
        assert_eq!(cases.len(), 1, "the shared top level does not count");
        let item = ItemId::from_index;
        assert_eq!((cases[0].previous, cases[0].item), (Some(item(0)), Some(item(1))));
        assert_eq!(cases[0].history, [item(0)]);
    }

    #[test]
    fn summaries_see_everything_and_texts_about_an_item_what_came_before() {
        let data = dataset(
            2,
            5,
            &[(0, 3, Some(3)), (0, 1, Some(1)), (0, 4, Some(9)), (0, 1, Some(4)), (1, 0, None)],
        );
        let kinds = vec![NarrativeKind::PurchaseReason, NarrativeKind::UserSummaryShort];
        let config = CasesConfig { kinds, targets_per_user: 5, max_history: 2, ..Default::default() };
        let cases = writing_cases(&data, &config).unwrap();
        let seen: Vec<(Option<usize>, Vec<usize>)> = cases
            .iter()
            .map(|case| {
                (case.item.map(|item| item.index()), case.history.iter().map(|item| item.index()).collect())
            })
            .collect();
        assert_eq!(seen, [(Some(4), vec![3, 1]), (Some(1), vec![3]), (None, vec![1, 4])]);
        assert!(writing_cases(&data, &CasesConfig { max_history: 0, ..config }).is_err());
    }
}
