//! The whole of a data set in memory: who bought what, what the items are, and what was written.

use serde::{Deserialize, Serialize};

use crate::{IdMap, ItemId, ItemMetadata, Narrative, UserId};

/// One purchase (or visit, or reading) of one item by one user.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interaction {
    /// Who.
    pub user: UserId,
    /// What.
    pub item: ItemId,
    /// How strongly it speaks for the item: 1 for a plain purchase.
    pub weight: f32,
    /// When, in seconds since 1970-01-01 UTC, if the source says so.
    pub time: Option<i64>,
    /// How the user rated it, in stars, if the source says so.
    pub rating: Option<f32>,
}

/// Whether the order of a user's interactions means anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chronology {
    /// By `time` where every interaction of the user has one (ties by position), otherwise by position.
    #[default]
    Known,
    /// The source kept neither times nor order: "before" has no meaning, and a history is everything else that
    /// the user bought.
    Unknown,
}

/// Users, items, what connects them, and what was written about it.
///
/// Invariants that the readers keep: every id lies within its [`IdMap`]; `catalogue` has one entry per item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    /// What the data set is called in reports.
    pub name: String,
    /// The users, by name.
    pub users: IdMap<UserId>,
    /// The items, by name.
    pub items: IdMap<ItemId>,
    /// The purchases, in the order of the source.
    pub interactions: Vec<Interaction>,
    /// Whether that order, or the times, can be trusted.
    pub chronology: Chronology,
    /// What is known of each item, at the index of its [`ItemId`]; `None` where the source says nothing.
    pub catalogue: Vec<Option<ItemMetadata>>,
    /// The texts that a narrator learns to write.
    pub narratives: Vec<Narrative>,
}

impl Dataset {
    /// Every user's interactions in chronological order (see [`Chronology`]), as indices into `interactions`.
    /// Element `u` belongs to the user with index `u`.
    pub fn timelines(&self) -> Vec<Vec<usize>> {
        let mut timelines = vec![Vec::new(); self.users.len()];
        for (index, interaction) in self.interactions.iter().enumerate() {
            timelines[interaction.user.index()].push(index);
        }
        if self.chronology == Chronology::Known {
            for timeline in &mut timelines {
                if timeline.iter().all(|&index| self.interactions[index].time.is_some()) {
                    // Stable, so purchases of the same second (or day, in the older releases) keep the order of the file.
                    timeline.sort_by_key(|&index| self.interactions[index].time);
                }
            }
        }
        timelines
    }

    /// The text of every item for a sentence encoder (see [`ItemMetadata::text`]), at the index of its id; `None`
    /// where nothing is known: a missing side must be handled, not faked.
    pub fn item_texts(&self) -> Vec<Option<String>> {
        self.catalogue.iter().map(|item| item.as_ref().and_then(ItemMetadata::text)).collect()
    }

    /// What a person would call the item: its title, or its id where it has none.
    ///
    /// # Panics
    /// If `item` is not of this data set.
    pub fn item_label(&self, item: ItemId) -> &str {
        self.catalogue[item.index()]
            .as_ref()
            .and_then(|metadata| metadata.title.as_deref())
            .unwrap_or_else(|| self.items.name(item))
    }
}
