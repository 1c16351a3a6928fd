//! The tables as text: lines, JSON lines and comma-separated values, which any language reads.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::replace;
use super::manifest::Sums;
use crate::lines::{self, Lines};
use crate::records::Place;
use crate::table::{Columns, InteractionTable};
use crate::{Dataset, Error, IdMap, Interaction, ItemMetadata, Narrative, NarrativeKind, Result};

const USERS: &str = "users.txt";
/// The items of a prepared folder in text: one JSON object a line, in the order of the indices.
pub const ITEMS: &str = "items.jsonl";
const INTERACTIONS: &str = "interactions.csv";
const NARRATIVES: &str = "narratives.jsonl";
/// All of them.
pub(super) const FILES: [&str; 4] = [USERS, ITEMS, INTERACTIONS, NARRATIVES];

#[derive(Serialize, Deserialize)]
struct ItemLine {
    item: String,
    #[serde(flatten)]
    metadata: ItemMetadataLine,
}

/// As [`ItemMetadata`], but open for fields of later releases.
#[derive(Default, Serialize, Deserialize)]
struct ItemMetadataLine {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    brand: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    category: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price: Option<f64>,
}

#[derive(Serialize, Deserialize)]
struct NarrativeLine {
    user: String,
    item: Option<String>,
    kind: NarrativeKind,
    text: String,
}

/// Whether lines can hold the names.
///
/// # Errors
/// [`Error::InvalidField`] for a user's name with a line break in it.
pub(super) fn check(folder: &Path, dataset: &Dataset) -> Result<()> {
    if let Some((user, name)) = dataset.users.iter().find(|(_, name)| name.contains(['\n', '\r'])) {
        return Err(Error::InvalidField {
            path: folder.join(USERS),
            line: user.index() as u64 + 1,
            field: "user".into(),
            expected: "a name without line breaks",
            got: name.chars().take(40).collect(),
        });
    }
    Ok(())
}

/// Writes the tables of `dataset` into `folder`.
///
/// # Errors
/// As [`write`](super::write()).
pub(super) fn write(folder: &Path, dataset: &Dataset, sums: &mut Sums) -> Result<()> {
    sums.write(folder, USERS, &mut |out| dataset.users.names().try_for_each(|name| writeln!(out, "{name}")))?;
    sums.write(folder, ITEMS, &mut |out| {
        for (item, name) in dataset.items.iter() {
            let metadata = dataset.catalogue[item.index()].clone().unwrap_or_default();
            let ItemMetadata { title, brand, category, description, price } = metadata;
            let metadata = ItemMetadataLine { title, brand, category, description, price };
            json_line(out, &ItemLine { item: name.to_owned(), metadata })?;
        }
        Ok(())
    })?;
    sums.write(folder, INTERACTIONS, &mut |out| interactions_table(out, dataset, &dataset.interactions))?;
    sums.write(folder, NARRATIVES, &mut |out| {
        for narrative in &dataset.narratives {
            let line = NarrativeLine {
                user: dataset.users.name(narrative.user).to_owned(),
                item: narrative.item.map(|item| dataset.items.name(item).to_owned()),
                kind: narrative.kind,
                text: narrative.text.clone(),
            };
            json_line(out, &line)?;
        }
        Ok(())
    })
}

/// Reads the tables of `folder` into `data`.
///
/// # Errors
/// As [`read`](super::read()).
pub(super) fn read(folder: &Path, data: &mut Dataset) -> Result<()> {
    let mut users = Lines::open(folder.join(USERS))?;
    let path = users.path().to_owned();
    loop {
        let number = users.number() + 1;
        let Some(line) = users.next_line()? else { break };
        data.users.intern(lines::utf8(line, &path, number)?)?;
    }
    each_json(&folder.join(ITEMS), |line: ItemLine, _| {
        data.items.intern(&line.item)?;
        let ItemMetadataLine { title, brand, category, description, price } = line.metadata;
        let metadata = ItemMetadata { title, brand, category, description, price };
        data.catalogue.push((metadata != ItemMetadata::default()).then_some(metadata));
        Ok(())
    })?;
    let path = folder.join(INTERACTIONS);
    for (at, row) in InteractionTable::open(&path, &Columns::default())?.enumerate() {
        let row = row?;
        let place = Place { path: &path, line: at as u64 + 2 };
        data.interactions.push(Interaction {
            user: known(&data.users, &row.user, "user in users.txt", place)?,
            item: known(&data.items, &row.item, "item in items.jsonl", place)?,
            weight: row.value.ok_or_else(|| place.missing("value"))?,
            time: row.time,
            rating: row.rating,
        });
    }
    let (users, items, narratives) = (&data.users, &data.items, &mut data.narratives);
    each_json(&folder.join(NARRATIVES), |line: NarrativeLine, place| {
        let item = line.item.as_deref().map(|item| known(items, item, "item in items.jsonl", place));
        narratives.push(Narrative {
            user: known(users, &line.user, "user in users.txt", place)?,
            item: item.transpose()?,
            kind: line.kind,
            text: line.text,
        });
        Ok(())
    })
}

/// Writes some of a data set's interactions in the format of `interactions.csv`: those of the training part, say, for a
/// factorisation that must not see the others.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn write_interactions(
    path: impl AsRef<Path>,
    dataset: &Dataset,
    interactions: &[Interaction],
) -> Result<()> {
    replace(path.as_ref(), &mut |out| interactions_table(out, dataset, interactions)).map(|_| ())
}

fn interactions_table(
    out: &mut dyn Write,
    dataset: &Dataset,
    interactions: &[Interaction],
) -> std::io::Result<()> {
    let mut table = csv::Writer::from_writer(out);
    // Sources without ratings keep the columns that other programs know.
    let rated = interactions.iter().any(|one| one.rating.is_some());
    let columns = ["user", "item", "value", "timestamp", "rating"];
    let columns = &columns[..if rated { 5 } else { 4 }];
    table.write_record(columns)?;
    for one in interactions {
        let row = [
            dataset.users.name(one.user),
            dataset.items.name(one.item),
            &one.weight.to_string(),
            &one.time.map(|time| time.to_string()).unwrap_or_default(),
            &one.rating.map(|rating| rating.to_string()).unwrap_or_default(),
        ];
        table.write_record(&row[..columns.len()])?;
    }
    table.flush()
}

fn known<Id: crate::DenseId>(map: &IdMap<Id>, name: &str, what: &str, place: Place<'_>) -> Result<Id> {
    map.get(name).ok_or_else(|| place.missing(what))
}

fn each_json<T: serde::de::DeserializeOwned>(
    path: &Path,
    mut each: impl FnMut(T, Place<'_>) -> Result<()>,
) -> Result<()> {
    let mut lines = Lines::open(path)?;
    loop {
        let place = Place { path, line: lines.number() + 1 };
        let Some(line) = lines.next_line()? else { return Ok(()) };
        each(lines::json(line, path, place.line)?, place)?;
    }
}

fn json_line<T: Serialize>(out: &mut dyn Write, value: &T) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
