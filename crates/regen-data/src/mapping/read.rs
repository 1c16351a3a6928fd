//! From the files that a mapping names to a data set, and to reviews one by one.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::cells::Row;
use super::config::{InteractionFields, ItemFields, Mapping, NarrativeFields};
use super::rows::Rows;
use crate::amazon::Review;
use crate::from_reviews::{Purchases, condense, gather};
use crate::parallel::on_all_cores;
use crate::{
    BuildReport, Dataset, Error, FileReport, IdMap, Interaction, ItemMetadata, Narrative, OnError, Result,
};

/// The fields that a section asks for; each has a number.
#[derive(Default)]
struct Fields(Vec<String>);

impl Fields {
    fn need(&mut self, field: &str) -> usize {
        self.0.push(field.to_owned());
        self.0.len() - 1
    }

    fn may(&mut self, field: &Option<String>) -> Option<usize> {
        field.as_deref().map(|field| self.need(field))
    }
}

/// The numbers of the fields of interactions.
struct InteractionSlots {
    user: usize,
    item: usize,
    rating: Option<usize>,
    weight: Option<usize>,
    time: Option<usize>,
}

impl InteractionSlots {
    fn of(fields: &InteractionFields, asked: &mut Fields) -> Self {
        Self {
            user: asked.need(&fields.user),
            item: asked.need(&fields.item),
            rating: asked.may(&fields.rating),
            weight: asked.may(&fields.weight),
            time: asked.may(&fields.time),
        }
    }
}

/// Which fields any record of a section had, over all its files.
struct Present {
    files: Vec<PathBuf>,
    records: u64,
    present: Vec<bool>,
}

impl Present {
    fn new(fields: &Fields) -> Self {
        Self { files: Vec::new(), records: 0, present: vec![false; fields.0.len()] }
    }

    fn add(&mut self, path: &Path, records: u64, present: &[bool]) {
        self.files.push(path.to_owned());
        self.records += records;
        self.present.iter_mut().zip(present).for_each(|(all, one)| *all |= one);
    }

    /// A field that no record has is misspelt: in JSON nothing else would tell.
    fn check(&self, fields: &Fields) -> Result<()> {
        match self.present.iter().position(|present| !present) {
            Some(field) if self.records > 0 => Err(Error::FieldNeverPresent {
                files: self.files.clone(),
                field: fields.0[field].clone(),
                records: self.records,
            }),
            _ => Ok(()),
        }
    }
}

impl Mapping {
    /// Reads the data set. Interaction files are read side by side on all cores, and the result does not depend on
    /// that. Items without interactions are left out, and so are narratives about an item that their user did not buy
    /// or that repeats another word by word; the report counts them all.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for values that do not go together; [`Error::UnknownColumn`] for a field that a table or
    /// Parquet file does not have, [`Error::FieldNeverPresent`] for one that no JSON record has; for records
    /// [`Error::MissingField`], [`Error::InvalidField`], and the errors of the files.
    pub fn read(&self) -> Result<(Dataset, BuildReport)> {
        self.check()?;
        let mut report = BuildReport::default();
        let mut data = Dataset {
            name: self.name.clone().unwrap_or_default(),
            chronology: self.chronology,
            ..Default::default()
        };
        let mut asked = Fields::default();
        let slots = InteractionSlots::of(&self.interactions, &mut asked);
        let parts = on_all_cores(&self.interactions.files, |path| self.purchases(path, &asked, &slots))?;
        let mut present = Present::new(&asked);
        for ((purchases, found), path) in parts.into_iter().zip(&self.interactions.files) {
            present.add(path, purchases.file.records, &found);
            gather(purchases, &mut data, &mut report)?;
        }
        present.check(&asked)?;
        let mut data = condense(data, self.duplicates, self.user_core, self.item_core, &mut report)?;
        if let Some(items) = &self.items {
            read_items(items, self.on_error, &mut data, &mut report)?;
        }
        let bought: HashSet<_> = data.interactions.iter().map(|one| (one.user, one.item)).collect();
        let mut written: HashMap<_, Vec<usize>> = HashMap::new();
        for narratives in &self.narratives {
            read_narratives(narratives, self.on_error, &mut report, &mut |user, item, text| {
                let kind = narratives.kind;
                let known = data.users.get(user).zip(match item {
                    Some(item) => data.items.get(item).map(Some),
                    None => Some(None),
                });
                match known {
                    Some((user, item)) if item.is_none_or(|item| bought.contains(&(user, item))) => {
                        let same = written.entry((user, item, kind)).or_default();
                        if same.iter().any(|&at| data.narratives[at].text == text) {
                            return Kept::Repeated;
                        }
                        same.push(data.narratives.len());
                        data.narratives.push(Narrative { user, item, kind, text });
                        Kept::Yes
                    }
                    _ => Kept::WithoutPurchase,
                }
            })?;
        }
        Ok((data, report))
    }

    /// Gives every review of the interaction files to `each`, in their order: what the users wrote, which a data set does
    /// not keep.
    ///
    /// # Errors
    /// As [`Mapping::read`], and whatever `each` returns, which ends the reading.
    pub fn reviews(&self, mut each: impl FnMut(Review) -> Result<()>) -> Result<()> {
        self.check()?;
        let mut asked = Fields::default();
        let slots = InteractionSlots::of(&self.interactions, &mut asked);
        let title = asked.may(&self.interactions.review_title);
        let text = asked.may(&self.interactions.review_text);
        let mut present = Present::new(&asked);
        for path in &self.interactions.files {
            let mut rows = Rows::open(path, self.interactions.table.as_ref(), &asked.0, self.on_error)?;
            let mut records = 0;
            while let Some(review) = rows.next_with(|row| {
                Ok(Review {
                    user: row.name(slots.user)?.into_owned(),
                    item: row.name(slots.item)?.into_owned(),
                    rating: row.number(slots.rating)?.map(|rating| rating as f32),
                    title: row.raw_text(title),
                    text: row.raw_text(text),
                    time: row.time(slots.time, &self.interactions)?,
                    verified: None,
                    helpful_votes: None,
                })
            }) {
                each(review?)?;
                records += 1;
            }
            present.add(path, records, rows.present());
        }
        present.check(&asked)
    }

    fn purchases(
        &self,
        path: &Path,
        asked: &Fields,
        slots: &InteractionSlots,
    ) -> Result<(Purchases, Vec<bool>)> {
        let mut rows = Rows::open(path, self.interactions.table.as_ref(), &asked.0, self.on_error)?;
        let (mut users, mut items, mut interactions) = (IdMap::new(), IdMap::new(), Vec::new());
        let (mut records, mut not_preferred) = (0, 0);
        while let Some(counts) = rows.next_with(|row| {
            let (user, item) = (row.name(slots.user)?, row.name(slots.item)?);
            let time = row.time(slots.time, &self.interactions)?;
            let Some(weight) = self.weight(&row, slots)? else { return Ok(false) };
            let (user, item) = (users.intern(&user)?, items.intern(&item)?);
            let rating = row.number(slots.rating)?.map(|rating| rating as f32);
            interactions.push(Interaction { user, item, weight, time, rating });
            Ok(true)
        }) {
            records += 1;
            not_preferred += usize::from(!counts?);
        }
        let file = FileReport::new(path, records, rows.skipped());
        let present = rows.present().to_vec();
        Ok((Purchases { users, items, interactions, not_preferred, file }, present))
    }

    /// The weight of a purchase, or `None` if it does not count.
    fn weight(&self, row: &Row<'_>, slots: &InteractionSlots) -> Result<Option<f32>> {
        let rating = row.number(slots.rating)?.map(|rating| rating as f32);
        let judged = self.preference.weight(rating);
        Ok(match slots.weight {
            Some(_) => {
                let given = row.number(slots.weight)?.map(|weight| weight as f32);
                judged.and(given).filter(|weight| *weight > 0.0 && weight.is_finite())
            }
            None => judged,
        })
    }
}

fn read_items(
    fields: &ItemFields,
    on_error: OnError,
    data: &mut Dataset,
    report: &mut BuildReport,
) -> Result<()> {
    let mut asked = Fields::default();
    let item = asked.need(&fields.item);
    let (title, brand) = (asked.may(&fields.title), asked.may(&fields.brand));
    let (category, description) = (asked.may(&fields.category), asked.may(&fields.description));
    let price = asked.may(&fields.price);
    let mut present = Present::new(&asked);
    for path in &fields.files {
        let mut rows = Rows::open(path, fields.table.as_ref(), &asked.0, on_error)?;
        let mut records = 0;
        while let Some(done) = rows.next_with(|row| {
            let name = row.name(item)?;
            let Some(item) = data.items.get(&name) else {
                report.items_without_interactions += 1;
                return Ok(());
            };
            let entry = &mut data.catalogue[item.index()];
            if entry.is_some() {
                report.repeated_metadata += 1;
                return Ok(());
            }
            let price = row.price(price);
            let metadata = ItemMetadata {
                title: row.clean_text(title),
                brand: row.clean_text(brand),
                category: row.category(category, fields.category_separator.as_deref()),
                description: row.clean_text(description),
                price: price.amount(),
            };
            *entry = (!metadata.is_empty()).then_some(metadata);
            report.prices.add(price);
            Ok(())
        }) {
            done?;
            records += 1;
        }
        present.add(path, records, rows.present());
        report.metadata_files.push(FileReport::new(path, records, rows.skipped()));
    }
    present.check(&asked)
}

/// What became of a narrative.
enum Kept {
    Yes,
    WithoutPurchase,
    Repeated,
}

/// Gives every text to `keep`, which says what became of it.
fn read_narratives(
    fields: &NarrativeFields,
    on_error: OnError,
    report: &mut BuildReport,
    keep: &mut dyn FnMut(&str, Option<&str>, String) -> Kept,
) -> Result<()> {
    let mut asked = Fields::default();
    let (user, item) = (asked.need(&fields.user), asked.may(&fields.item));
    let text = asked.need(&fields.text);
    let mut present = Present::new(&asked);
    for path in &fields.files {
        let mut rows = Rows::open(path, fields.table.as_ref(), &asked.0, on_error)?;
        let mut records = 0;
        while let Some(done) = rows.next_with(|row| {
            let Some(text) = row.raw_text(Some(text)) else { return Ok(()) };
            let user = row.name(user)?;
            let item = item.map(|item| row.name(item)).transpose()?;
            match keep(&user, item.as_deref(), text) {
                Kept::Yes => {}
                Kept::WithoutPurchase => report.narratives_without_purchase += 1,
                Kept::Repeated => report.repeated_narratives += 1,
            }
            Ok(())
        }) {
            done?;
            records += 1;
        }
        present.add(path, records, rows.present());
        report.narrative_files.push(FileReport::new(path, records, rows.skipped()));
    }
    present.check(&asked)
}
