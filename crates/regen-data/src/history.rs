//! From narratives to examples: what a model may look at (the history before the target), and what it should write.

use serde::{Deserialize, Serialize};

use crate::{Chronology, Dataset, Error, Interaction, ItemId, NarrativeKind, Result, UserId};

/// Seconds.
const DAY: f64 = 86_400.0;

/// How much of the past an example carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryConfig {
    /// The longest history, in items; of a longer one the most recent items stay. At least 1.
    pub max_history: usize,
}

impl Default for HistoryConfig {
    /// 50 items, as in REGEN.
    fn default() -> Self {
        Self { max_history: 50 }
    }
}

/// What is known of a past purchase beside its item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PurchaseDetail {
    /// Stars.
    pub rating: Option<f32>,
    /// Days before the purchase that the text is about, or before the last purchase where it is about none. Unknown where a time is,
    /// and under [`Chronology::Unknown`].
    pub days: Option<f32>,
}

/// One text to learn or to write, and what its writer may look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Whom the text is about. The split decides by this user.
    pub user: UserId,
    /// What kind of text it is.
    pub kind: NarrativeKind,
    /// What the user bought, oldest first, at most [`HistoryConfig::max_history`] items, never the target.
    pub history: Vec<ItemId>,
    /// What is known of each purchase of the history, in its order.
    pub details: Vec<PurchaseDetail>,
    /// What the text is about; `None` exactly for user summaries.
    pub target: Option<ItemId>,
    /// The text.
    pub reference: String,
}

/// One example per narrative, in their order.
///
/// A narrative about an item sees what its user bought before that item (before its last purchase, if it was
/// bought repeatedly), without the item itself. Under [`Chronology::Unknown`] it sees everything else that the user
/// bought. A user summary sees the whole history. Of a history longer than `max_history` the end is kept.
///
/// # Errors
/// [`Error::InvalidConfig`] if `max_history` is 0; [`Error::NarrativeItem`] if kind and item do not go together;
/// [`Error::NarrativeWithoutPurchase`] if the item is not among the user's interactions.
pub fn examples(dataset: &Dataset, config: &HistoryConfig) -> Result<Vec<Example>> {
    if config.max_history == 0 {
        return Err(Error::InvalidConfig {
            field: "max_history",
            expected: "at least 1",
            got: config.max_history.to_string(),
        });
    }
    let timelines = dataset.timelines();
    let mut examples = Vec::with_capacity(dataset.narratives.len());
    for (index, narrative) in dataset.narratives.iter().enumerate() {
        if narrative.kind.uses_immediate_context() != narrative.item.is_some() {
            return Err(Error::NarrativeItem {
                narrative: index,
                kind: narrative.kind,
                has_item: narrative.item.is_some(),
            });
        }
        let purchases: Vec<&Interaction> =
            timelines[narrative.user.index()].iter().map(|&at| &dataset.interactions[at]).collect();
        let (mut past, now) = match narrative.item {
            None => (purchases.clone(), purchases.last().copied()),
            Some(target) => {
                let Some(at) = purchases.iter().rposition(|one| one.item == target) else {
                    return Err(Error::NarrativeWithoutPurchase {
                        narrative: index,
                        kind: narrative.kind,
                        user: dataset.users.name(narrative.user).to_owned(),
                        item: dataset.items.name(target).to_owned(),
                    });
                };
                let end = match dataset.chronology {
                    Chronology::Known => at,
                    Chronology::Unknown => purchases.len(),
                };
                let before = purchases[..end].iter().copied().filter(|one| one.item != target);
                (before.collect(), Some(purchases[at]))
            }
        };
        let surplus = past.len().saturating_sub(config.max_history);
        past.drain(..surplus);
        let now = now.filter(|_| dataset.chronology == Chronology::Known).and_then(|one| one.time);
        let days = |one: &Interaction| {
            let seconds = now?.checked_sub(one.time?)?;
            (seconds >= 0).then_some((seconds as f64 / DAY) as f32)
        };
        let detail = |one: &&Interaction| PurchaseDetail { rating: one.rating, days: days(one) };
        examples.push(Example {
            user: narrative.user,
            kind: narrative.kind,
            history: past.iter().map(|one| one.item).collect(),
            details: past.iter().map(detail).collect(),
            target: narrative.item,
            reference: narrative.text.clone(),
        });
    }
    Ok(examples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Narrative;
    use crate::testing::dataset;

    fn history_of(dataset: &Dataset, max_history: usize) -> Vec<usize> {
        let examples = examples(dataset, &HistoryConfig { max_history }).unwrap();
        examples[0].history.iter().map(|item| item.index()).collect()
    }

    fn about(dataset: &mut Dataset, item: Option<usize>) {
        let kind =
            if item.is_some() { NarrativeKind::PurchaseReason } else { NarrativeKind::UserSummaryShort };
        dataset.narratives = vec![Narrative {
            user: UserId::from_index(0),
            item: item.map(ItemId::from_index),
            kind,
            text: "text".into(),
        }];
    }

    #[test]
    fn history_is_what_came_before_the_target_in_time_whatever_the_order_of_the_file() {
        let mut data =
            dataset(1, 6, &[(0, 3, Some(30)), (0, 1, Some(10)), (0, 5, Some(50)), (0, 2, Some(20))]);
        about(&mut data, Some(3));
        assert_eq!(history_of(&data, 50), [1, 2]);
        assert_eq!(history_of(&data, 1), [2], "the most recent purchase stays");
    }

    #[test]
    fn purchases_of_the_same_time_keep_the_order_of_the_file() {
        let mut data = dataset(1, 6, &[(0, 4, Some(7)), (0, 0, Some(7)), (0, 2, Some(7)), (0, 5, Some(7))]);
        about(&mut data, Some(2));
        assert_eq!(history_of(&data, 50), [4, 0]);
    }

    #[test]
    fn a_missing_time_makes_the_order_of_the_file_count() {
        let mut data = dataset(1, 6, &[(0, 3, Some(30)), (0, 1, None), (0, 5, Some(5))]);
        about(&mut data, Some(1));
        assert_eq!(history_of(&data, 50), [3]);
    }

    #[test]
    fn a_repeated_target_never_stays_in_its_own_history() {
        let mut data = dataset(1, 6, &[(0, 3, None), (0, 1, None), (0, 3, None), (0, 5, None)]);
        about(&mut data, Some(3));
        assert_eq!(history_of(&data, 50), [1]);
    }

    #[test]
    fn without_chronology_everything_else_is_history() {
        let mut data = dataset(1, 6, &[(0, 3, None), (0, 1, None), (0, 5, None)]);
        data.chronology = Chronology::Unknown;
        about(&mut data, Some(3));
        assert_eq!(history_of(&data, 50), [1, 5]);
    }

    #[test]
    fn a_user_summary_sees_the_whole_history() {
        let mut data = dataset(1, 6, &[(0, 3, Some(2)), (0, 1, Some(1))]);
        about(&mut data, None);
        assert_eq!(history_of(&data, 50), [1, 3]);
    }

    #[test]
    fn a_purchase_keeps_its_stars_and_is_as_many_days_old_as_the_text() {
        let day = 86_400;
        let mut data = dataset(1, 6, &[(0, 1, Some(day)), (0, 2, Some(4 * day)), (0, 3, Some(5 * day))]);
        data.interactions[1].rating = Some(2.0);
        let details = |data: &Dataset, max_history| {
            let all = examples(data, &HistoryConfig { max_history }).unwrap();
            all[0].details.iter().map(|detail| (detail.rating, detail.days)).collect::<Vec<_>>()
        };
        about(&mut data, Some(3));
        assert_eq!(details(&data, 50), [(None, Some(4.0)), (Some(2.0), Some(1.0))]);
        assert_eq!(details(&data, 1), [(Some(2.0), Some(1.0))]);
        about(&mut data, None);
        assert_eq!(details(&data, 50)[0], (None, Some(4.0)));
        data.interactions[2].time = None;
        assert!(details(&data, 50).iter().all(|(_, days)| days.is_none()), "since when is not known");
        data.interactions[2].time = Some(5 * day);
        data.chronology = Chronology::Unknown;
        assert!(details(&data, 50).iter().all(|(_, days)| days.is_none()), "times mean nothing");
    }

    #[test]
    fn impossible_narratives_are_refused() {
        let mut data = dataset(2, 6, &[(0, 3, None)]);
        about(&mut data, Some(2));
        let error = examples(&data, &HistoryConfig::default()).unwrap_err();
        assert!(matches!(error, Error::NarrativeWithoutPurchase { narrative: 0, .. }), "{error}");
        data.narratives[0].item = None;
        let error = examples(&data, &HistoryConfig::default()).unwrap_err();
        assert!(matches!(error, Error::NarrativeItem { has_item: false, .. }), "{error}");
        assert!(examples(&data, &HistoryConfig { max_history: 0 }).is_err());
    }
}
