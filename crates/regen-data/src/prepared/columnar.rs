//! The tables as Parquet files.

use std::path::Path;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type};

use super::columns::{GroupReader, TableReader, write_table};
use super::manifest::{PARQUET_FILES, Sums};
use crate::{Dataset, DenseId, Error, IdMap, Interaction, ItemMetadata, Narrative, NarrativeKind, Result};

const USERS: &str = PARQUET_FILES[0];
const ITEMS: &str = PARQUET_FILES[1];
const INTERACTIONS: &str = PARQUET_FILES[2];
const NARRATIVES: &str = PARQUET_FILES[3];

const USER_SCHEMA: &str = "message users { required binary user (UTF8); }";
const ITEM_SCHEMA: &str = "message items {
    required binary item (UTF8);
    optional binary title (UTF8);
    optional binary brand (UTF8);
    required group category (LIST) { repeated group list { required binary element (UTF8); } }
    optional binary description (UTF8);
    optional double price;
}";
const INTERACTION_SCHEMA: &str = "message interactions {
    required int32 user (UINT_32);
    required int32 item (UINT_32);
    required float value;
    optional int64 timestamp;
    optional float rating;
}";
const NARRATIVE_SCHEMA: &str = "message narratives {
    required int32 user (UINT_32);
    optional int32 item (UINT_32);
    required binary kind (UTF8);
    required binary text (UTF8);
}";

/// Writes the tables of `dataset` into `folder`.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn write(folder: &Path, dataset: &Dataset, sums: &mut Sums) -> Result<()> {
    let users: Vec<&str> = dataset.users.names().collect();
    sums.write(folder, USERS, &mut |out| {
        write_table(out, USER_SCHEMA, &users, |group, users| {
            group.required::<ByteArrayType>(users.iter().map(|user| ByteArray::from(*user)))
        })
    })?;
    let unknown = ItemMetadata::default();
    let items: Vec<(&str, &ItemMetadata)> = dataset
        .items
        .iter()
        .map(|(item, name)| (name, dataset.catalogue[item.index()].as_ref().unwrap_or(&unknown)))
        .collect();
    let text = |text: &Option<String>| text.as_deref().map(ByteArray::from);
    sums.write(folder, ITEMS, &mut |out| {
        write_table(out, ITEM_SCHEMA, &items, |group, items| {
            group.required::<ByteArrayType>(items.iter().map(|(name, _)| ByteArray::from(*name)))?;
            group.optional::<ByteArrayType>(items.iter().map(|(_, known)| text(&known.title)))?;
            group.optional::<ByteArrayType>(items.iter().map(|(_, known)| text(&known.brand)))?;
            group.lists::<ByteArrayType>(
                items
                    .iter()
                    .map(|(_, known)| known.category.iter().map(|level| level.as_str().into()).collect()),
            )?;
            group.optional::<ByteArrayType>(items.iter().map(|(_, known)| text(&known.description)))?;
            group.optional::<DoubleType>(items.iter().map(|(_, known)| known.price))
        })
    })?;
    sums.write(folder, INTERACTIONS, &mut |out| {
        write_table(out, INTERACTION_SCHEMA, &dataset.interactions, |group, rows| {
            group.required::<Int32Type>(rows.iter().map(|row| row_number(row.user)))?;
            group.required::<Int32Type>(rows.iter().map(|row| row_number(row.item)))?;
            group.required::<FloatType>(rows.iter().map(|row| row.weight))?;
            group.optional::<Int64Type>(rows.iter().map(|row| row.time))?;
            group.optional::<FloatType>(rows.iter().map(|row| row.rating))
        })
    })?;
    sums.write(folder, NARRATIVES, &mut |out| {
        write_table(out, NARRATIVE_SCHEMA, &dataset.narratives, |group, rows| {
            group.required::<Int32Type>(rows.iter().map(|row| row_number(row.user)))?;
            group.optional::<Int32Type>(rows.iter().map(|row| row.item.map(row_number)))?;
            group.required::<ByteArrayType>(rows.iter().map(|row| row.kind.as_str().into()))?;
            group.required::<ByteArrayType>(rows.iter().map(|row| row.text.as_str().into()))
        })
    })
}

/// Reads the tables of `folder` into `data`.
///
/// # Errors
/// [`Error::Io`], [`Error::Parquet`].
pub(super) fn read(folder: &Path, data: &mut Dataset) -> Result<()> {
    let open = |name: &str| TableReader::open(folder.join(name));
    open(USERS)?.each_group(|group| {
        for name in group.required::<ByteArrayType>("user")? {
            new_name(&mut data.users, group, &name)?;
        }
        Ok(())
    })?;
    open(ITEMS)?.each_group(|group| items(group, data))?;
    open(INTERACTIONS)?.each_group(|group| {
        let rows = group.required::<Int32Type>("user")?.into_iter();
        let rows = rows.zip(group.required::<Int32Type>("item")?);
        let rows = rows.zip(group.required::<FloatType>("value")?);
        // Folders of earlier releases have no ratings.
        let ratings = match group.has("rating") {
            true => group.optional::<FloatType>("rating")?,
            false => Vec::new(),
        };
        let ratings = ratings.into_iter().chain(std::iter::repeat(None));
        let rows = rows.zip(group.optional::<Int64Type>("timestamp")?).zip(ratings);
        for ((((user, item), weight), time), rating) in rows {
            let (user, item) = (known(&data.users, group, user)?, known(&data.items, group, item)?);
            if !weight.is_finite() {
                return Err(refused(group, format!("a value is {weight}")));
            }
            data.interactions.push(Interaction { user, item, weight, time, rating });
        }
        Ok(())
    })?;
    open(NARRATIVES)?.each_group(|group| {
        let rows = group.required::<Int32Type>("user")?.into_iter();
        let rows = rows.zip(group.optional::<Int32Type>("item")?);
        let rows = rows.zip(group.required::<ByteArrayType>("kind")?);
        for (((user, item), kind), text) in rows.zip(group.required::<ByteArrayType>("text")?) {
            let kind = string(group, &kind)?;
            let kind: NarrativeKind =
                kind.parse().map_err(|_| refused(group, format!("{kind:?} is no kind of narrative")))?;
            data.narratives.push(Narrative {
                user: known(&data.users, group, user)?,
                item: item.map(|item| known(&data.items, group, item)).transpose()?,
                kind,
                text: string(group, &text)?,
            });
        }
        Ok(())
    })
}

fn items(group: &GroupReader<'_>, data: &mut Dataset) -> Result<()> {
    let text = |text: Option<ByteArray>| text.map(|text| string(group, &text)).transpose();
    let rows = group.required::<ByteArrayType>("item")?.into_iter();
    let rows = rows.zip(group.optional::<ByteArrayType>("title")?);
    let rows = rows.zip(group.optional::<ByteArrayType>("brand")?);
    let rows = rows.zip(group.lists::<ByteArrayType>("category.list.element")?);
    let rows = rows.zip(group.optional::<ByteArrayType>("description")?);
    for (((((name, title), brand), category), description), price) in
        rows.zip(group.optional::<DoubleType>("price")?)
    {
        new_name(&mut data.items, group, &name)?;
        let category = category.iter().map(|level| string(group, level)).collect::<Result<_>>()?;
        let known = ItemMetadata {
            title: text(title)?,
            brand: text(brand)?,
            category,
            description: text(description)?,
            price,
        };
        data.catalogue.push((known != ItemMetadata::default()).then_some(known));
    }
    Ok(())
}

/// Parquet stores unsigned numbers by their bits in signed ones.
fn row_number(id: impl DenseId) -> i32 {
    (id.index() as u32).cast_signed()
}

fn known<Id: DenseId>(map: &IdMap<Id>, group: &GroupReader<'_>, row: i32) -> Result<Id> {
    let row = row.cast_unsigned() as usize;
    match row < map.len() {
        true => Ok(Id::from_index(row)),
        false => Err(refused(group, format!("row {row} is meant, of {} that there are", map.len()))),
    }
}

fn new_name<Id: DenseId>(map: &mut IdMap<Id>, group: &GroupReader<'_>, name: &ByteArray) -> Result<()> {
    let name = string(group, name)?;
    let before = map.len();
    map.intern(&name)?;
    if map.len() == before {
        return Err(refused(group, format!("the name {name:?} stands twice")));
    }
    Ok(())
}

fn string(group: &GroupReader<'_>, bytes: &ByteArray) -> Result<String> {
    let text = bytes.as_utf8().map_err(|_| refused(group, "a text is no UTF-8".into()))?;
    Ok(text.to_owned())
}

fn refused(group: &GroupReader<'_>, reason: String) -> Error {
    Error::Parquet { path: group.path.to_owned(), reason }
}
