//! Product metadata: one item a line, cleaned into [`ItemMetadata`].

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use serde::Deserialize as DeriveDeserialize;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::price::Price;
use super::python;
use super::values::{Text, Texts};
use crate::records::{OnError, Place, RecordLines, Skipped};
use crate::text::clean_text;
use crate::{Error, ItemMetadata, Result};

/// What a metadata file says of one item.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogueRecord {
    /// The item's name.
    pub item: String,
    /// Its facts, cleaned.
    pub metadata: ItemMetadata,
    /// What its price field held; `metadata.price` is its [`Price::amount`].
    pub price: Price,
}

/// The items of one metadata file, in its order; memory is bounded by the longest line.
///
/// An item needs a name; everything else may be missing. What is done to the rest:
///
/// - **Texts**: tags, style and script blocks go, entities are decoded, white space is run together
///   ([`clean_text`]). A title that holds page script (`getTime(`, some thousand in 2018) is dropped.
/// - **Category**: of several paths the longest; a ` - ` or ` > ` string is split. Repetitions of the level before
///   are dropped, and so is everything that is a sentence (ends with a full stop, or is longer than 60 characters):
///   in 2018 the feature list ran into the path. Without a path, the main category.
/// - **Description**: its paragraphs in one; without one, the feature list.
/// - **Price**: see [`Price`].
/// - Lines that are Python literals, as the whole of the 2014 file, are read as if they were JSON.
pub struct CatalogueRecords {
    lines: RecordLines,
}

impl CatalogueRecords {
    /// Opens a metadata file of any release.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn open(path: impl AsRef<Path>, on_error: OnError) -> Result<Self> {
        Ok(Self { lines: RecordLines::open(path.as_ref(), on_error)? })
    }

    /// The lines that were left out so far.
    pub fn skipped(&self) -> &Skipped {
        self.lines.skipped()
    }
}

impl Iterator for CatalogueRecords {
    type Item = Result<CatalogueRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        self.lines.next_with(|line, place| {
            let start = line.trim_start();
            // JSON knows no single quotes, so this is no guess.
            if start.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with(['\'', 'u'])) {
                let json = python::to_json(line).map_err(|at| Error::Json {
                    path: place.path.to_owned(),
                    line: place.line,
                    column: at as u64 + 1,
                    reason: "not a Python literal".into(),
                })?;
                record(place.json(&json)?, place)
            } else {
                record(place.json(line)?, place)
            }
        })
    }
}

fn record(raw: Raw<'_>, place: Place<'_>) -> Result<CatalogueRecord> {
    let name = |text: Option<Cow<'_, str>>| text.filter(|name| !name.trim().is_empty()).map(Cow::into_owned);
    let item =
        name(raw.parent).or(name(raw.item)).ok_or_else(|| place.missing("item (asin or parent_asin)"))?;
    let price = raw.price.map_or(Price::Missing, |text| Price::parse(&text));
    let clean = |text: Option<Cow<'_, str>>| text.as_deref().and_then(clean_text);
    let paragraphs = |texts: &Texts| clean_text(&texts.flat().collect::<Vec<_>>().join(" "));
    let mut category = category_levels(raw.category.0);
    if category.is_empty() {
        category.extend(clean(raw.main_category));
    }
    Ok(CatalogueRecord {
        item,
        metadata: ItemMetadata {
            title: raw.title.filter(|title| !title.contains("getTime(")).as_deref().and_then(clean_text),
            brand: clean(raw.brand),
            category,
            description: paragraphs(&raw.description).or_else(|| paragraphs(&raw.features)),
            price: price.amount(),
        },
        price,
    })
}

/// The longest of several category paths, cleaned. See [`CatalogueRecords`].
pub(crate) fn category_levels(paths: Vec<Vec<String>>) -> Vec<String> {
    let longest = paths.iter().rev().max_by_key(|path| path.len());
    let Some(path) = longest else { return Vec::new() };
    let joined = match &path[..] {
        [one] if one.contains(" > ") => one.split(" > ").collect(),
        [one] if one.contains(" - ") => one.split(" - ").collect(),
        levels => levels.iter().map(String::as_str).collect::<Vec<_>>(),
    };
    let mut levels: Vec<String> = Vec::new();
    for level in joined.into_iter().filter_map(clean_text) {
        let sentence = level.ends_with('.') || level.chars().count() > 60;
        if !sentence && levels.last() != Some(&level) {
            levels.push(level);
        }
    }
    levels
}

#[derive(Default)]
struct Raw<'a> {
    item: Option<Cow<'a, str>>,
    parent: Option<Cow<'a, str>>,
    title: Option<Cow<'a, str>>,
    brand: Option<Cow<'a, str>>,
    category: Texts,
    main_category: Option<Cow<'a, str>>,
    description: Texts,
    features: Texts,
    price: Option<Cow<'a, str>>,
}

#[derive(DeriveDeserialize)]
enum Field {
    #[serde(rename = "asin")]
    Item,
    #[serde(rename = "parent_asin")]
    Parent,
    #[serde(rename = "title")]
    Title,
    #[serde(rename = "brand", alias = "store")]
    Brand,
    #[serde(rename = "category", alias = "categories")]
    Category,
    #[serde(rename = "main_cat", alias = "main_category")]
    MainCategory,
    #[serde(rename = "description")]
    Description,
    #[serde(rename = "feature", alias = "features")]
    Features,
    #[serde(rename = "price")]
    Price,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Raw<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Raw<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an item object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Raw<'de>, A::Error> {
                let mut raw = Raw::default();
                while let Some(field) = map.next_key()? {
                    match field {
                        Field::Item => raw.item = map.next_value::<Text<'de>>()?.0,
                        Field::Parent => raw.parent = map.next_value::<Text<'de>>()?.0,
                        Field::Title => raw.title = map.next_value::<Text<'de>>()?.0,
                        Field::Brand => {
                            let brand = map.next_value::<Text<'de>>()?.0;
                            raw.brand = brand.or(raw.brand);
                        }
                        Field::Category => raw.category = map.next_value()?,
                        Field::MainCategory => raw.main_category = map.next_value::<Text<'de>>()?.0,
                        Field::Description => raw.description = map.next_value()?,
                        Field::Features => raw.features = map.next_value()?,
                        Field::Price => raw.price = map.next_value::<Text<'de>>()?.0,
                        Field::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(raw)
            }
        }
        deserializer.deserialize_map(Object)
    }
}
