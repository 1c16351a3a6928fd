//! What is true in the synthetic world, and which of it a text states.

use serde::{Deserialize, Serialize};

use super::vocabulary::{AFFINITIES, BANDS, BRANDS, CATEGORIES, COLOURS, MATERIALS};
use crate::Dataset;

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// Where the target is used; in a user summary, what most of the purchases are for.
    Affinity,
    /// What the target is used for, which is of its affinity too. In narratives of a set mixture.
    Activity,
    /// The target's brand.
    Brand,
    /// The target's colour.
    Colour,
    /// The target's category.
    Category,
    /// The target's material.
    Material,
    /// The target's price band. In narratives of a set mixture.
    PriceBand,
    /// The most frequent colour of the history.
    FavouriteColour,
    /// The most frequent category of the history.
    TopCategory,
}

/// What gives a fact away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Only who buys what together with what.
    CoPurchase,
    /// The items' texts.
    Text,
}

/// One fact that a narrative states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Fact {
    /// What it is about.
    pub kind: FactKind,
    /// The words that state it, in lower case.
    pub words: &'static str,
}

impl Fact {
    /// What gives this fact away.
    pub fn signal(&self) -> Signal {
        match self.kind {
            FactKind::Affinity | FactKind::Activity => Signal::CoPurchase,
            _ => Signal::Text,
        }
    }

    /// Whether `text` states the fact: whether it holds its words, whole and side by side, in any case. A colour is
    /// not asked what it is the colour of.
    pub fn is_stated_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        text.match_indices(&self.words.to_lowercase()).any(|(at, words)| {
            let joins = |c: char| c.is_alphanumeric();
            !text[..at].ends_with(joins) && !text[at + words.len()..].starts_with(joins)
        })
    }
}

/// The truth about an item. The fields count from 0; the methods give the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemTruth {
    /// The hidden side: 0 to [`SyntheticConfig::affinities`](super::SyntheticConfig::affinities) − 1.
    pub affinity: usize,
    /// One of 25.
    pub category: usize,
    /// One of 12.
    pub colour: usize,
    /// One of 15.
    pub brand: usize,
    /// One of 8.
    pub material: usize,
    /// One of 3.
    pub price_band: usize,
}

impl ItemTruth {
    /// `classroom`, `law firm`, …
    pub fn affinity_name(&self) -> &'static str {
        affinity_name(self.affinity)
    }
    /// `gel pen`, …
    pub fn category_name(&self) -> &'static str {
        CATEGORIES[self.category].one
    }
    /// `teal`, …
    pub fn colour_name(&self) -> &'static str {
        COLOURS[self.colour]
    }
    /// `Kestrel`, …
    pub fn brand_name(&self) -> &'static str {
        BRANDS[self.brand]
    }
    /// `brushed steel`, …
    pub fn material_name(&self) -> &'static str {
        MATERIALS[self.material]
    }
    /// `budget`, `mid-range`, `premium`.
    pub fn price_band_name(&self) -> &'static str {
        BANDS[self.price_band].0
    }
}

/// The place without its article.
pub(super) fn affinity_name(affinity: usize) -> &'static str {
    let place = AFFINITIES[affinity].place;
    place.split_once(' ').map_or(place, |(_, name)| name)
}

/// The tastes that a user's purchases were drawn from. What the narratives state is counted from the purchases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserTruth {
    /// The main affinity.
    pub affinity: usize,
    /// The favourite colour.
    pub colour: usize,
    /// The two favourite categories.
    pub categories: [usize; 2],
}

impl UserTruth {
    /// `classroom`, `law firm`, …
    pub fn affinity_name(&self) -> &'static str {
        affinity_name(self.affinity)
    }
    /// `teal`, …
    pub fn colour_name(&self) -> &'static str {
        COLOURS[self.colour]
    }
    /// `gel pen`, … twice.
    pub fn category_names(&self) -> [&'static str; 2] {
        self.categories.map(|category| CATEGORIES[category].one)
    }
}

/// Everything that the generator knew.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroundTruth {
    /// By [`ItemId`](crate::ItemId).
    pub items: Vec<ItemTruth>,
    /// By [`UserId`](crate::UserId).
    pub users: Vec<UserTruth>,
    /// By narrative: what each states. [`examples`](crate::examples) keeps the order of the narratives, so this
    /// is also by example.
    pub facts: Vec<Vec<Fact>>,
}

impl GroundTruth {
    /// How many of the facts of narrative (or example) `index` that `signal` gives away are stated in `text`, and how
    /// many there are: the share of a generated text that can only come from that signal.
    ///
    /// # Panics
    /// If `index` is not that of a narrative.
    pub fn stated(&self, index: usize, signal: Signal, text: &str) -> (usize, usize) {
        let facts = self.facts[index].iter().filter(|fact| fact.signal() == signal);
        facts.fold((0, 0), |(stated, all), fact| (stated + usize::from(fact.is_stated_in(text)), all + 1))
    }

    /// Whether the truth has the size of `dataset`.
    pub fn fits(&self, dataset: &Dataset) -> bool {
        self.items.len() == dataset.items.len()
            && self.users.len() == dataset.users.len()
            && self.facts.len() == dataset.narratives.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_stated_by_its_whole_words_only() {
        let fact = Fact { kind: FactKind::Brand, words: "Orbit" };
        for (text, stated) in [
            ("An ORBIT pen.", true),
            ("orbit", true),
            ("in orbital motion", false),
            ("exorbit", false),
            ("", false),
        ] {
            assert_eq!(fact.is_stated_in(text), stated, "{text:?}");
        }
    }

    #[test]
    fn words_of_affinities_and_attributes_are_apart() {
        let attributes: Vec<String> = CATEGORIES
            .iter()
            .flat_map(|category| [category.one, category.many, category.group])
            .chain(COLOURS)
            .chain(BRANDS)
            .chain(MATERIALS)
            .chain(BANDS.map(|band| band.0))
            .flat_map(str::split_whitespace)
            .map(str::to_lowercase)
            .collect();
        for affinity in &AFFINITIES {
            for word in affinity.place.split_whitespace().skip(1).chain(affinity.activity.split_whitespace())
            {
                assert!(!attributes.contains(&word.to_owned()), "{word} is an attribute too");
            }
        }
    }
}
