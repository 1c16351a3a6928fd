//! Counts a data set for its card.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use crate::{BuildReport, Chronology, Dataset, ItemMetadata, NarrativeKind};

/// A name and how often it occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The name.
    pub name: String,
    /// How often.
    pub count: usize,
}

/// A price that is far from the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuspiciousPrice {
    /// The item's name.
    pub item: String,
    /// Its title, if it has one.
    pub title: Option<String>,
    /// The price.
    pub price: f64,
}

/// What is known of the items.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CatalogueCard {
    /// Items of which anything is known.
    pub described: usize,
    /// Items with a title.
    pub with_title: usize,
    /// Items with a brand.
    pub with_brand: usize,
    /// Items with a category.
    pub with_category: usize,
    /// Items with a description.
    pub with_description: usize,
    /// Items with a price.
    pub with_price: usize,
    /// Words of each item's text for the sentence encoder.
    pub text_words: Distribution,
    /// Prices.
    pub prices: Distribution,
    /// Prices more than [`DataCard::SUSPICIOUS_FACTOR`] times above or below the median: how many.
    pub suspicious_prices: usize,
    /// The ten farthest of them.
    pub suspicious_samples: Vec<SuspiciousPrice>,
    /// Titles that several items share: how many items are concerned.
    pub shared_titles: usize,
    /// The ten most frequent last levels of the category.
    pub top_categories: Vec<Count>,
    /// The ten most frequent brands.
    pub top_brands: Vec<Count>,
}

/// What is written of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NarrativeCard {
    /// The kind.
    pub kind: NarrativeKind,
    /// Words of each text.
    pub words: Distribution,
    /// Texts that repeat another of the kind word for word.
    pub repeated: usize,
}

/// Everything on the card. See the fields; [`DataCard::to_html`] shows them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataCard {
    /// The name of the data set.
    pub name: String,
    /// Whether the order of purchases is known.
    pub chronology: Chronology,
    /// Users.
    pub users: usize,
    /// Items.
    pub items: usize,
    /// Interactions.
    pub interactions: usize,
    /// Distinct pairs of user and item over all pairs there could be, 0 to 1.
    pub density: f64,
    /// Interactions that repeat a pair.
    pub repeated_pairs: usize,
    /// First and last day, `YYYY-MM-DD`, if there are times.
    pub days: Option<(String, String)>,
    /// Interactions without a time.
    pub without_time: usize,
    /// Share of the users with several purchases of which some have the very same time, so that their order is that
    /// of the file. High in releases that keep whole days.
    pub users_with_ties: f64,
    /// Interactions of each user.
    pub history_lengths: Distribution,
    /// Interactions of each item.
    pub item_popularity: Distribution,
    /// Share of the interactions that fall on the most popular tenth of the items.
    pub top_tenth_share: f64,
    /// Weights, with how often they occur, the ten most frequent.
    pub weights: Vec<Count>,
    /// The items.
    pub catalogue: CatalogueCard,
    /// The narratives, by kind.
    pub narratives: Vec<NarrativeCard>,
    /// How the data set was made from files, if it was.
    pub build: Option<BuildReport>,
}

impl DataCard {
    /// How far from the median a price may lie before the card points at it.
    pub const SUSPICIOUS_FACTOR: f64 = 20.0;

    /// Counts `dataset`.
    pub fn new(dataset: &Dataset, build: Option<BuildReport>) -> Self {
        let mut per_item = vec![0usize; dataset.items.len()];
        let mut weights: BTreeMap<String, usize> = BTreeMap::new();
        for one in &dataset.interactions {
            per_item[one.item.index()] += 1;
            *weights.entry(one.weight.to_string()).or_insert(0) += 1;
        }
        let timelines = dataset.timelines();
        let mut distinct = 0;
        let (mut several, mut tied) = (0usize, 0usize);
        for timeline in &timelines {
            let mut items: Vec<_> = timeline.iter().map(|&at| dataset.interactions[at].item).collect();
            items.sort_unstable();
            items.dedup();
            distinct += items.len();
            let times: Vec<_> = timeline.iter().filter_map(|&at| dataset.interactions[at].time).collect();
            several += usize::from(timeline.len() > 1);
            tied += usize::from(times.windows(2).any(|pair| pair[0] == pair[1]));
        }
        let times = || dataset.interactions.iter().filter_map(|one| one.time);
        let pairs = dataset.users.len() as f64 * dataset.items.len() as f64;
        let share = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let mut popular = per_item.clone();
        popular.sort_unstable_by(|a, b| b.cmp(a));
        let top: usize = popular.iter().take(dataset.items.len().div_ceil(10)).sum();
        Self {
            name: dataset.name.clone(),
            chronology: dataset.chronology,
            users: dataset.users.len(),
            items: dataset.items.len(),
            interactions: dataset.interactions.len(),
            density: if pairs > 0.0 { distinct as f64 / pairs } else { 0.0 },
            repeated_pairs: dataset.interactions.len() - distinct,
            days: times()
                .min()
                .zip(times().max())
                .map(|(first, last)| (crate::time::day(first), crate::time::day(last))),
            without_time: dataset.interactions.len() - times().count(),
            users_with_ties: share(tied, several),
            history_lengths: Distribution::of_counts(timelines.iter().map(Vec::len)),
            item_popularity: Distribution::of_counts(per_item),
            top_tenth_share: share(top, dataset.interactions.len()),
            weights: top_ten(weights.into_iter()),
            catalogue: catalogue(dataset),
            narratives: narratives(dataset),
            build,
        }
    }
}

fn catalogue(dataset: &Dataset) -> CatalogueCard {
    let described: Vec<(usize, &ItemMetadata)> = dataset
        .catalogue
        .iter()
        .enumerate()
        .filter_map(|(index, item)| Some((index, item.as_ref()?)))
        .collect();
    let with = |known: fn(&ItemMetadata) -> bool| described.iter().filter(|(_, item)| known(item)).count();
    let prices = Distribution::of_amounts(described.iter().filter_map(|(_, item)| item.price));
    let distance = |price: f64| (price / prices.median).ln().abs();
    let mut far: Vec<(usize, f64)> = described
        .iter()
        .filter_map(|&(index, item)| Some((index, item.price?)))
        .filter(|&(_, price)| distance(price) > DataCard::SUSPICIOUS_FACTOR.ln())
        .collect();
    far.sort_by(|a, b| distance(b.1).total_cmp(&distance(a.1)));
    let samples = far.iter().take(10).map(|&(index, price)| SuspiciousPrice {
        item: dataset.items.name(crate::ItemId::from_index(index)).to_owned(),
        title: dataset.catalogue[index].as_ref().and_then(|item| item.title.clone()),
        price,
    });
    let titles = counted(described.iter().filter_map(|(_, item)| item.title.as_deref()));
    CatalogueCard {
        described: described.len(),
        with_title: with(|item| item.title.is_some()),
        with_brand: with(|item| item.brand.is_some()),
        with_category: with(|item| !item.category.is_empty()),
        with_description: with(|item| item.description.is_some()),
        with_price: with(|item| item.price.is_some()),
        text_words: Distribution::of_counts(
            described.iter().filter_map(|(_, item)| Some(item.text()?.split_whitespace().count())),
        ),
        suspicious_prices: far.len(),
        suspicious_samples: samples.collect(),
        prices,
        shared_titles: titles.values().filter(|&&count| count > 1).sum(),
        top_categories: top_ten(
            counted(described.iter().filter_map(|(_, item)| item.category.last().map(String::as_str)))
                .into_iter(),
        ),
        top_brands: top_ten(
            counted(described.iter().filter_map(|(_, item)| item.brand.as_deref())).into_iter(),
        ),
    }
}

fn narratives(dataset: &Dataset) -> Vec<NarrativeCard> {
    let card = |kind: NarrativeKind| {
        let texts =
            || dataset.narratives.iter().filter(move |one| one.kind == kind).map(|one| one.text.as_str());
        NarrativeCard {
            kind,
            words: Distribution::of_counts(texts().map(|text| text.split_whitespace().count())),
            repeated: texts().count() - counted(texts()).len(),
        }
    };
    NarrativeKind::ALL.into_iter().map(card).filter(|card| card.words.count > 0).collect()
}

fn counted<'a>(names: impl Iterator<Item = &'a str>) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    for name in names {
        *counts.entry(name).or_insert(0) += 1;
    }
    counts
}

/// The ten most frequent, ties by name.
fn top_ten<N: Into<String>>(counts: impl Iterator<Item = (N, usize)>) -> Vec<Count> {
    let mut counts: Vec<Count> = counts.map(|(name, count)| Count { name: name.into(), count }).collect();
    counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    counts.truncate(10);
    counts
}
