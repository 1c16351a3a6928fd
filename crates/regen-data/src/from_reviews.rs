//! From review and metadata files to a data set: read, weigh, take out duplicates, take the core, keep the account.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::amazon::{CatalogueRecords, Price, Reviews};
use crate::core_filter::{KCoreReport, k_core};
use crate::parallel::on_all_cores;
use crate::{
    Dataset, DenseId, Duplicates, IdMap, Interaction, ItemId, OnError, Preference, Result, Skipped, UserId,
};

/// How reviews become a data set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReviewsConfig {
    /// What happens to lines that are no records.
    pub on_error: OnError,
    /// Which ratings count, and how much.
    pub preference: Preference,
    /// What happens when a user reviewed an item several times.
    pub duplicates: Duplicates,
    /// Fewest distinct items of a user; 0 and 1 keep everyone. Amazon's "5-core" files have 5 and 5.
    pub user_core: usize,
    /// Fewest distinct users of an item.
    pub item_core: usize,
}

/// One file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Its name, without folders.
    pub file: String,
    /// Records in it.
    pub records: u64,
    /// Lines that were left out.
    pub skipped: Skipped,
}

impl FileReport {
    pub(crate) fn new(path: &Path, records: u64, skipped: &Skipped) -> Self {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        Self { file: name.unwrap_or_else(|| path.display().to_string()), records, skipped: skipped.clone() }
    }
}

/// How the prices of the metadata could be read. See [`Price`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceReport {
    /// No price given.
    pub missing: usize,
    /// One amount.
    pub single: usize,
    /// A range, of which the lower end was kept.
    pub range: usize,
    /// No price, but something else.
    pub unreadable: usize,
    /// Some of that, at most ten.
    pub samples: Vec<String>,
}

/// What happened on the way from files to the data set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BuildReport {
    /// The review files, in the given order.
    pub review_files: Vec<FileReport>,
    /// The metadata files, in the given order.
    pub metadata_files: Vec<FileReport>,
    /// Reviews that do not count by the preference rule.
    pub not_preferred: usize,
    /// Reviews that count and have no time.
    pub without_time: usize,
    /// Reviews that repeat a user and an item.
    pub duplicates: usize,
    /// What was removed to reach the core; `None` if no core was asked for.
    pub core: Option<KCoreReport>,
    /// Metadata of items that stay without any interaction, and were left out.
    pub items_without_interactions: usize,
    /// Metadata lines about an item that an earlier line described; the earlier is kept.
    pub repeated_metadata: usize,
    /// Prices of the items that stay.
    pub prices: PriceReport,
    /// The narrative files, in the given order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub narrative_files: Vec<FileReport>,
    /// Narratives that were left out: their user is not there, or did not buy the item.
    #[serde(default)]
    pub narratives_without_purchase: usize,
    /// Narratives that were left out because the same user has the same text of the same kind about the same item already, as
    /// in flat tables that repeat a user's summary in every row.
    #[serde(default)]
    pub repeated_narratives: usize,
}

/// Reads review files and metadata files of the Amazon releases (see [`amazon`](crate::amazon)) into a data set
/// without narratives. Review files are read side by side on all cores, and the result does not depend on that: ids
/// count in order of first appearance in the files as given.
///
/// # Errors
/// Those of [`Reviews`] and [`CatalogueRecords`].
pub fn from_reviews(
    name: &str,
    reviews: &[PathBuf],
    metadata: &[PathBuf],
    config: &ReviewsConfig,
) -> Result<(Dataset, BuildReport)> {
    let mut report = BuildReport::default();
    let mut data = Dataset { name: name.to_owned(), ..Default::default() };
    for purchases in on_all_cores(reviews, |path| read_one(path, config))? {
        gather(purchases, &mut data, &mut report)?;
    }
    let mut data = condense(data, config.duplicates, config.user_core, config.item_core, &mut report)?;

    for path in metadata {
        let mut records = CatalogueRecords::open(path, config.on_error)?;
        let mut count = 0;
        for record in records.by_ref() {
            let record = record?;
            count += 1;
            let Some(item) = data.items.get(&record.item) else {
                report.items_without_interactions += 1;
                continue;
            };
            let entry = &mut data.catalogue[item.index()];
            if entry.is_some() {
                report.repeated_metadata += 1;
                continue;
            }
            *entry = Some(record.metadata);
            report.prices.add(record.price);
        }
        report.metadata_files.push(FileReport::new(path, count, records.skipped()));
    }
    Ok((data, report))
}

/// Adds the purchases of one file to the data.
pub(crate) fn gather(purchases: Purchases, data: &mut Dataset, report: &mut BuildReport) -> Result<()> {
    let users = translate(&purchases.users, &mut data.users)?;
    let items = translate(&purchases.items, &mut data.items)?;
    data.interactions.extend(purchases.interactions.iter().map(|one| Interaction {
        user: users[one.user.index()],
        item: items[one.item.index()],
        ..*one
    }));
    report.not_preferred += purchases.not_preferred;
    report.review_files.push(purchases.file);
    Ok(())
}

/// Takes out repetitions and what is outside the core, and then the users and items that are left with nothing.
pub(crate) fn condense(
    mut data: Dataset,
    duplicates: Duplicates,
    user_core: usize,
    item_core: usize,
    report: &mut BuildReport,
) -> Result<Dataset> {
    report.without_time = data.interactions.iter().filter(|one| one.time.is_none()).count();
    report.duplicates = repeated(&mut data.interactions, duplicates);
    if user_core > 1 || item_core > 1 {
        report.core = Some(k_core(&mut data.interactions, user_core, item_core));
    }
    data.compacted()
}

impl PriceReport {
    pub(crate) fn add(&mut self, price: Price) {
        match price {
            Price::Missing => self.missing += 1,
            Price::One(_) => self.single += 1,
            Price::Range { .. } => self.range += 1,
            Price::Unreadable(text) => {
                self.unreadable += 1;
                if self.samples.len() < 10 && !self.samples.contains(&text) {
                    self.samples.push(text);
                }
            }
        }
    }
}

impl Dataset {
    /// The same data without the users and items that have no interaction; ids count anew, in order of first
    /// appearance among the interactions. Narratives about someone or something that goes, go.
    ///
    /// # Errors
    /// [`Error::TooManyIds`](crate::Error::TooManyIds) never in practice: no id is added.
    pub fn compacted(self) -> Result<Self> {
        let mut compact = Self { name: self.name, chronology: self.chronology, ..Default::default() };
        for one in &self.interactions {
            let user = compact.users.intern(self.users.name(one.user))?;
            let item = compact.items.intern(self.items.name(one.item))?;
            if compact.catalogue.len() < compact.items.len() {
                compact.catalogue.push(self.catalogue.get(one.item.index()).cloned().flatten());
            }
            compact.interactions.push(Interaction { user, item, ..*one });
        }
        for mut narrative in self.narratives {
            let Some(user) = compact.users.get(self.users.name(narrative.user)) else { continue };
            narrative.user = user;
            if let Some(item) = narrative.item {
                let Some(item) = compact.items.get(self.items.name(item)) else { continue };
                narrative.item = Some(item);
            }
            compact.narratives.push(narrative);
        }
        Ok(compact)
    }
}

/// Takes repetitions out if asked to; gives how many there are.
fn repeated(interactions: &mut Vec<Interaction>, duplicates: Duplicates) -> usize {
    let mut latest: HashMap<(UserId, ItemId), usize> = HashMap::with_capacity(interactions.len());
    for (at, one) in interactions.iter().enumerate() {
        let kept = latest.entry((one.user, one.item)).or_insert(at);
        if one.time >= interactions[*kept].time {
            *kept = at;
        }
    }
    let repeated = interactions.len() - latest.len();
    if duplicates == Duplicates::Latest && repeated > 0 {
        let mut at = 0;
        interactions.retain(|one| {
            at += 1;
            latest[&(one.user, one.item)] == at - 1
        });
    }
    repeated
}

/// The purchases of one file, with ids of its own.
pub(crate) struct Purchases {
    pub(crate) users: IdMap<UserId>,
    pub(crate) items: IdMap<ItemId>,
    pub(crate) interactions: Vec<Interaction>,
    pub(crate) not_preferred: usize,
    pub(crate) file: FileReport,
}

fn read_one(path: &Path, config: &ReviewsConfig) -> Result<Purchases> {
    let mut reviews = Reviews::open(path, config.on_error)?;
    let (mut users, mut items, mut interactions) = (IdMap::new(), IdMap::new(), Vec::new());
    let (mut records, mut not_preferred) = (0, 0);
    reviews.visit_purchases(|review| {
        records += 1;
        match config.preference.weight(review.rating) {
            Some(weight) => {
                let (user, item) = (users.intern(&review.user)?, items.intern(&review.item)?);
                let (time, rating) = (review.time, review.rating);
                interactions.push(Interaction { user, item, weight, time, rating });
            }
            None => not_preferred += 1,
        }
        Ok(())
    })?;
    let file = FileReport::new(path, records, reviews.skipped());
    Ok(Purchases { users, items, interactions, not_preferred, file })
}

/// The ids in `into` of all names of `from`.
fn translate<Id: DenseId>(from: &IdMap<Id>, into: &mut IdMap<Id>) -> Result<Vec<Id>> {
    from.names().map(|name| into.intern(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::dataset;

    #[test]
    fn of_repeated_reviews_the_latest_stays() {
        let purchases = [(0, 1, Some(5)), (0, 2, Some(1)), (0, 1, Some(9)), (0, 1, Some(7)), (1, 1, Some(2))];
        let mut data = dataset(2, 3, &purchases);
        assert_eq!(repeated(&mut data.interactions.clone(), Duplicates::Keep), 2);
        assert_eq!(repeated(&mut data.interactions, Duplicates::Latest), 2);
        let times: Vec<_> = data.interactions.iter().map(|one| one.time.unwrap()).collect();
        assert_eq!(times, [1, 9, 2]);
    }

    #[test]
    fn compacting_drops_who_is_not_there_and_what_was_said_of_them() {
        let mut data = dataset(4, 5, &[(3, 4, None), (1, 4, None), (3, 2, None)]);
        data.catalogue[2] = Some(crate::ItemMetadata { title: Some("two".into()), ..Default::default() });
        let narrative = |user, item| crate::Narrative {
            user: UserId::from_index(user),
            item: Some(ItemId::from_index(item)),
            kind: crate::NarrativeKind::PurchaseReason,
            text: String::new(),
        };
        data.narratives = vec![narrative(3, 2), narrative(0, 2), narrative(1, 0)];
        let compact = data.compacted().unwrap();
        assert_eq!(compact.users.names().collect::<Vec<_>>(), ["u3", "u1"]);
        assert_eq!(compact.items.names().collect::<Vec<_>>(), ["i4", "i2"]);
        assert_eq!(compact.item_label(ItemId::from_index(1)), "two");
        assert_eq!(compact.narratives, [narrative(0, 1)]);
    }
}
