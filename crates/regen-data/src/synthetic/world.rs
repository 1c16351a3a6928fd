//! Draws the synthetic world.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::facts::{GroundTruth, ItemTruth, UserTruth};
use super::mixture::{self, Mixture};
use super::phrases::{self, HistoryFacts};
use super::vocabulary::{AFFINITIES, BANDS, BRANDS, CATEGORIES, COLOURS, MATERIALS};
use crate::{Dataset, Error, Interaction, ItemId, Narrative, NarrativeKind, Result};

/// The size and the laws of a synthetic world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyntheticConfig {
    /// Everything is drawn from this.
    pub seed: u64,
    /// How many users. The first users of two worlds that differ only in this number are the same.
    pub users: usize,
    /// How many items, at least 10 for each affinity.
    pub items: usize,
    /// How many affinities the items have, 2 to 12.
    pub affinities: usize,
    /// The mean length of a history, about; from 2 to `max_history`.
    pub mean_history: f64,
    /// The shortest history, at least 2.
    pub min_history: usize,
    /// The longest history. Item narratives see at most one purchase less.
    pub max_history: usize,
    /// The share of the purchases that are drawn from the user's main affinity, from 0 to 1.
    pub affinity_share: f64,
    /// How many times likelier an item of the favourite colour (and again, of a favourite category) is, at least 1.
    pub taste: f64,
    /// How many of the last purchases of each user get a text of each kind that is about an item.
    pub targets_per_user: usize,
    /// What is written: [`PurchaseReason`](NarrativeKind::PurchaseReason),
    /// [`EndorsementShort`](NarrativeKind::EndorsementShort), [`UserSummaryShort`](NarrativeKind::UserSummaryShort).
    pub kinds: Vec<NarrativeKind>,
    /// What texts about items are made of; without it, of affinity, brand, material, colour and category in fixed phrases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixture: Option<Mixture>,
}

impl Default for SyntheticConfig {
    /// The world of the quickstart: 2,000 users, 1,000 items, 12 affinities, about 17 purchases a user, and for each
    /// user one purchase reason, one endorsement and one summary.
    fn default() -> Self {
        Self {
            seed: 0,
            users: 2_000,
            items: 1_000,
            affinities: AFFINITIES.len(),
            mean_history: 17.0,
            min_history: 5,
            max_history: 50,
            affinity_share: 0.85,
            taste: 5.0,
            targets_per_user: 1,
            kinds: vec![
                NarrativeKind::PurchaseReason,
                NarrativeKind::EndorsementShort,
                NarrativeKind::UserSummaryShort,
            ],
            mixture: None,
        }
    }
}

/// A world: what a model may see, and what was true when it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticWorld {
    /// As if read from files.
    pub dataset: Dataset,
    /// What nobody could read.
    pub truth: GroundTruth,
}

/// One user of a world that is not kept. See [`SyntheticConfig::stream`].
#[derive(Clone, Debug, PartialEq)]
pub struct StreamedUser<'a> {
    /// The user's name, as in the data set.
    pub name: String,
    /// The user's tastes.
    pub truth: UserTruth,
    /// Items, by their row, and times in seconds since 1970-01-01 UTC, in order.
    pub purchases: &'a [(usize, i64)],
}

impl SyntheticConfig {
    /// The share of all pairs of user and item that become a purchase, about; 0 to 1.
    pub fn density(&self) -> f64 {
        self.mean_history / self.items as f64
    }

    /// The same world with histories as long as `density` asks for: fewer items know CF worse. The bounds of the lengths move
    /// with their mean, in the proportion of the default world.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if the mean history would be below 2 or half of all items.
    pub fn with_density(mut self, density: f64) -> Result<Self> {
        let mean = density * self.items as f64;
        if !(2.0..=self.items as f64 / 2.0).contains(&mean) {
            return Err(Error::InvalidConfig {
                field: "density",
                expected: "a mean history from 2 items to half of all",
                got: density.to_string(),
            });
        }
        self.mean_history = mean;
        self.min_history = ((mean * 5.0 / 17.0) as usize).max(2);
        self.max_history = ((mean * 50.0 / 17.0) as usize).clamp(mean.ceil() as usize, self.items);
        Ok(self)
    }
}

/// Streams of the seed: a change to one draw must not shift the others.
const ITEMS: u64 = 0;
const TEXTS: u64 = 1;
const FIRST_USER: u64 = 16;

/// 2019-01-01, the first day of purchases.
const FIRST_DAY: i64 = 1_546_300_800;
const DAY: i64 = 86_400;

impl SyntheticConfig {
    /// Draws the world. The same configuration gives the same world on every machine.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a number outside its range or a kind that this world does not write.
    pub fn generate(&self) -> Result<SyntheticWorld> {
        self.check()?;
        let mut dataset = Dataset { name: "synthetic office".into(), ..Default::default() };
        let mut truth = GroundTruth { items: self.draw_items(), users: Vec::new(), facts: Vec::new() };

        let mut rng = stream(self.seed, TEXTS);
        for (index, item) in truth.items.iter().enumerate() {
            dataset.items.intern(&item_name(index))?;
            let spread: f64 = rng.random_range(0.8..1.25);
            let price = CATEGORIES[item.category].price * BANDS[item.price_band].1 * spread;
            dataset.catalogue.push(Some(phrases::metadata(item, (price * 100.0).round() / 100.0, &mut rng)));
        }

        let pools = Pools::of(&truth.items, self.affinities);
        for index in 0..self.users {
            let user = dataset.users.intern(&user_name(index))?;
            let (taste, purchases, mut rng) = self.draw_history(index, &truth.items, &pools);
            truth.users.push(taste);
            let bought: Vec<usize> = purchases.iter().map(|&(item, _)| item).collect();
            for &(item, time) in &purchases {
                let item = ItemId::from_index(item);
                dataset.interactions.push(Interaction {
                    user,
                    item,
                    weight: 1.0,
                    time: Some(time),
                    rating: None,
                });
            }

            let seen: Vec<ItemTruth> = bought.iter().map(|&item| truth.items[item]).collect();
            for &kind in &self.kinds {
                let texts = if kind.uses_immediate_context() { self.targets_per_user } else { 1 };
                // A target has at least one purchase before it.
                for back in 0..texts.min(seen.len() - 1) {
                    let at = seen.len() - 1 - back;
                    let (item, history) = match kind.uses_immediate_context() {
                        true => (Some(ItemId::from_index(bought[at])), &seen[..at]),
                        false => (None, &seen[..]),
                    };
                    let mixed = self.mixture.as_ref();
                    let mixed =
                        mixed.and_then(|mixture| mixture::narrative(kind, &seen[at], mixture, &mut rng));
                    let plain = |rng: &mut ChaCha8Rng| {
                        phrases::narrative(kind, &seen[at], &HistoryFacts::of(history), rng)
                    };
                    let (text, facts) = mixed.or_else(|| plain(&mut rng)).ok_or_else(|| unwritten(kind))?;
                    dataset.narratives.push(Narrative { user, item, kind, text });
                    truth.facts.push(facts);
                }
            }
        }
        Ok(SyntheticWorld { dataset, truth })
    }

    /// Draws the same users and purchases as [`SyntheticConfig::generate`], and gives them to `each` user by user without
    /// keeping any: worlds of ten million purchases and more. Returns the truth about the items. No texts are made.
    ///
    /// # Errors
    /// As [`SyntheticConfig::generate`], and whatever `each` returns, which ends the drawing.
    pub fn stream(&self, mut each: impl FnMut(&StreamedUser<'_>) -> Result<()>) -> Result<Vec<ItemTruth>> {
        self.check()?;
        let items = self.draw_items();
        let pools = Pools::of(&items, self.affinities);
        for index in 0..self.users {
            let (truth, purchases, _) = self.draw_history(index, &items, &pools);
            each(&StreamedUser { name: user_name(index), truth, purchases: &purchases })?;
        }
        Ok(items)
    }

    /// A user with purchases (item and time, in order), and the generator that draws the user's texts next.
    fn draw_history(
        &self,
        index: usize,
        items: &[ItemTruth],
        pools: &Pools,
    ) -> (UserTruth, Vec<(usize, i64)>, ChaCha8Rng) {
        let mut rng = stream(self.seed, FIRST_USER + index as u64);
        let taste = self.draw_user(&mut rng);
        let bought = self.draw_purchases(&taste, items, pools, &mut rng);
        let mut time = FIRST_DAY + rng.random_range(0..365) * DAY;
        let purchases = bought
            .into_iter()
            .map(|item| {
                time += rng.random_range(1..20) * DAY + rng.random_range(0..DAY);
                (item, time)
            })
            .collect();
        (taste, purchases, rng)
    }

    fn draw_items(&self) -> Vec<ItemTruth> {
        let mut rng = stream(self.seed, ITEMS);
        let mut affinities: Vec<usize> = (0..self.items).map(|index| index % self.affinities).collect();
        affinities.shuffle(&mut rng);
        let mut titles = std::collections::HashSet::new();
        affinities
            .into_iter()
            .map(|affinity| {
                let mut draw = || ItemTruth {
                    affinity,
                    category: rng.random_range(0..CATEGORIES.len()),
                    colour: rng.random_range(0..COLOURS.len()),
                    brand: rng.random_range(0..BRANDS.len()),
                    material: rng.random_range(0..MATERIALS.len()),
                    price_band: rng.random_range(0..BANDS.len()),
                };
                let mut item = draw();
                // Two items of one title would be told apart by nothing but their affinity. 36,000 titles exist; a
                // world that is larger than that has to repeat some.
                for _ in 0..100 {
                    if titles.insert((item.category, item.colour, item.brand, item.material)) {
                        break;
                    }
                    item = draw();
                }
                item
            })
            .collect()
    }

    fn draw_user(&self, rng: &mut ChaCha8Rng) -> UserTruth {
        let first = rng.random_range(0..CATEGORIES.len());
        let second = (first + rng.random_range(1..CATEGORIES.len())) % CATEGORIES.len();
        UserTruth {
            affinity: rng.random_range(0..self.affinities),
            colour: rng.random_range(0..COLOURS.len()),
            categories: [first, second],
        }
    }

    /// The items that a user buys, in order, none twice.
    fn draw_purchases(
        &self,
        taste: &UserTruth,
        items: &[ItemTruth],
        pools: &Pools,
        rng: &mut ChaCha8Rng,
    ) -> Vec<usize> {
        let Pools { by_affinity, everything } = pools;
        let longest = self.max_history.min(items.len());
        let length = (self.mean_history * log_normal(rng)).round() as usize;
        let length = length.clamp(self.min_history.min(longest), longest);
        let liking = |item: &ItemTruth| {
            let colour = if item.colour == taste.colour { self.taste } else { 1.0 };
            let category = if taste.categories.contains(&item.category) { self.taste } else { 1.0 };
            colour * category
        };
        let mut taken = vec![false; items.len()];
        let mut bought = Vec::with_capacity(length);
        while bought.len() < length {
            let of_affinity = rng.random_bool(self.affinity_share);
            let pool: &[usize] = if of_affinity { &by_affinity[taste.affinity] } else { everything };
            let item = draw_weighted(pool, |item| if taken[item] { 0.0 } else { liking(&items[item]) }, rng)
                // The affinity is sold out for this user.
                .or_else(|| draw_weighted(everything, |item| f64::from(u8::from(!taken[item])), rng));
            let Some(item) = item else { break };
            taken[item] = true;
            bought.push(item);
        }
        bought
    }

    fn check(&self) -> Result<()> {
        let invalid = |field, expected, got: String| Err(Error::InvalidConfig { field, expected, got });
        if self.users == 0 {
            return invalid("users", "at least 1", self.users.to_string());
        }
        if !(2..=AFFINITIES.len()).contains(&self.affinities) {
            return invalid("affinities", "2 to 12", self.affinities.to_string());
        }
        if self.items < 10 * self.affinities {
            return invalid("items", "at least 10 for each affinity", self.items.to_string());
        }
        if self.min_history < 2 || self.min_history > self.max_history {
            return invalid("min_history", "2 to max_history", self.min_history.to_string());
        }
        if !(2.0..=self.max_history as f64).contains(&self.mean_history) {
            return invalid("mean_history", "2 to max_history", self.mean_history.to_string());
        }
        if !(0.0..=1.0).contains(&self.affinity_share) {
            return invalid("affinity_share", "0 to 1", self.affinity_share.to_string());
        }
        if !(1.0..=1e6).contains(&self.taste) {
            return invalid("taste", "1 to 1,000,000", self.taste.to_string());
        }
        if let Some(mixture) = &self.mixture {
            mixture.check()?;
        }
        let written =
            [NarrativeKind::PurchaseReason, NarrativeKind::EndorsementShort, NarrativeKind::UserSummaryShort];
        match self.kinds.iter().find(|kind| !written.contains(kind)) {
            Some(&kind) => Err(unwritten(kind)),
            None => Ok(()),
        }
    }
}

/// The items that a purchase is drawn from.
struct Pools {
    by_affinity: Vec<Vec<usize>>,
    everything: Vec<usize>,
}

impl Pools {
    fn of(items: &[ItemTruth], affinities: usize) -> Self {
        let mut by_affinity = vec![Vec::new(); affinities];
        for (index, item) in items.iter().enumerate() {
            by_affinity[item.affinity].push(index);
        }
        Self { by_affinity, everything: (0..items.len()).collect() }
    }
}

/// The name of item `index`.
fn item_name(index: usize) -> String {
    format!("item-{index:05}")
}

/// The name of user `index`.
fn user_name(index: usize) -> String {
    format!("user-{index:05}")
}

fn unwritten(kind: NarrativeKind) -> Error {
    Error::InvalidConfig {
        field: "kinds",
        expected: "purchase_reason, endorsement_short or user_summary_short",
        got: kind.to_string(),
    }
}

pub(super) fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Log-normal with mean 1 and σ = 0.5: many short histories, few long ones.
fn log_normal(rng: &mut impl Rng) -> f64 {
    const SIGMA: f64 = 0.5;
    // Irwin-Hall: the sum of twelve uniforms is near enough to normal here, and the same on every machine.
    let normal: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
    (SIGMA * normal - 0.5 * SIGMA * SIGMA).exp()
}

/// One of `pool` with probability proportional to its weight; `None` if all weights are 0.
fn draw_weighted(pool: &[usize], weight: impl Fn(usize) -> f64, rng: &mut impl Rng) -> Option<usize> {
    let total: f64 = pool.iter().map(|&item| weight(item)).sum();
    let mut left = rng.random::<f64>() * total;
    let mut last = None;
    for &item in pool {
        let weight = weight(item);
        if weight > 0.0 {
            last = Some(item);
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
    }
    last
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
