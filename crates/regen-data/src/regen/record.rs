//! One record: a view of the fields that are asked for, on top of the whole JSON object, which is kept.

use std::path::Path;

use serde_json::{Map, Value};

use super::fields::RegenFields;
use crate::amazon::{Price, category_levels};
use crate::records::{OnError, Place, RecordLines, Skipped};
use crate::text::clean_text;
use crate::{ItemMetadata, NarrativeKind, Result, time};

/// One purchase of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct RegenPurchase {
    /// The item's name.
    pub item: String,
    /// What the record says of it, cleaned.
    pub metadata: ItemMetadata,
    /// The stars.
    pub rating: Option<f32>,
    /// Seconds since 1970-01-01 UTC.
    pub time: Option<i64>,
}

/// One user. Fields that are not asked for stay in it, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct RegenRecord {
    /// The user's name.
    pub user: String,
    /// The purchases, oldest first; the last purchase is among them, if the record names its item.
    pub purchases: Vec<RegenPurchase>,
    /// The texts that are there, in the order of [`RegenFields::narratives`].
    pub narratives: Vec<(NarrativeKind, String)>,
    object: Map<String, Value>,
}

impl RegenRecord {
    fn parse(text: &str, place: Place<'_>, fields: &RegenFields) -> Result<Self> {
        let object: Map<String, Value> = place.json(text)?;
        let user = name(find(&object, &fields.user)).ok_or_else(|| place.missing(&fields.user))?;
        let Some(Value::Array(history)) = find(&object, &fields.history) else {
            return Err(place.missing(&format!("list {}", fields.history)));
        };
        let mut purchases = Vec::with_capacity(history.len() + 1);
        for (at, entry) in history.iter().enumerate() {
            let purchase = purchase(entry, fields)
                .ok_or_else(|| place.missing(&format!("{} in {}[{at}]", fields.item, fields.history)))?;
            purchases.push(purchase);
        }
        let last = fields.last.as_deref().and_then(|path| find(&object, path));
        if let Some(last) = last.and_then(|entry| purchase(entry, fields)) {
            let repeats = purchases
                .last()
                .is_some_and(|end| end.item == last.item && (last.time.is_none() || end.time == last.time));
            if !repeats {
                purchases.push(last);
            }
        }
        let text = |path: &str| match find(&object, path) {
            Some(Value::String(text)) if !text.trim().is_empty() => Some(text.clone()),
            _ => None,
        };
        let narratives =
            fields.narratives.iter().filter_map(|field| Some((field.kind, text(&field.path)?))).collect();
        Ok(Self { user, purchases, narratives, object })
    }

    /// The whole record, with every field that the file had.
    pub fn object(&self) -> &Map<String, Value> {
        &self.object
    }

    /// Puts a text at `path` (as in [`NarrativeField::path`](super::NarrativeField::path)), making the objects on the
    /// way; everything else stays. A value that stands in the way and is no object is replaced.
    pub fn set(&mut self, path: &str, text: impl Into<String>) {
        let mut object = &mut self.object;
        let mut steps = path.split('.').peekable();
        while let Some(step) = steps.next() {
            if steps.peek().is_none() {
                object.insert(step.to_owned(), Value::String(text.into()));
                return;
            }
            let inner = object.entry(step).or_insert(Value::Null);
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            match inner {
                Value::Object(inner) => object = inner,
                // Just made one.
                _ => return,
            }
        }
    }

    /// The record as one line of JSON, without the line end.
    pub fn to_line(&self) -> String {
        Value::Object(self.object.clone()).to_string()
    }
}

/// The records of one file, in its order.
pub struct RegenRecords {
    lines: RecordLines,
    fields: RegenFields,
}

impl RegenRecords {
    /// Opens a file of nested users, plain or compressed.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be read.
    pub fn open(path: impl AsRef<Path>, fields: &RegenFields, on_error: OnError) -> Result<Self> {
        Ok(Self { lines: RecordLines::open(path.as_ref(), on_error)?, fields: fields.clone() })
    }

    /// The lines that were left out so far.
    pub fn skipped(&self) -> &Skipped {
        self.lines.skipped()
    }
}

impl Iterator for RegenRecords {
    type Item = Result<RegenRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        let fields = &self.fields;
        self.lines.next_with(|text, place| RegenRecord::parse(text, place, fields))
    }
}

/// A purchase, or `None` if it names no item.
fn purchase(entry: &Value, fields: &RegenFields) -> Option<RegenPurchase> {
    let entry = entry.as_object()?;
    let get = |path: &Option<String>| path.as_deref().and_then(|path| find(entry, path));
    let text = |path| get(path).and_then(Value::as_str).and_then(clean_text);
    let category = match get(&fields.category) {
        Some(Value::String(path)) => category_levels(vec![vec![path.clone()]]),
        Some(Value::Array(levels)) => {
            category_levels(vec![levels.iter().filter_map(Value::as_str).map(str::to_owned).collect()])
        }
        _ => Vec::new(),
    };
    let price = match get(&fields.price) {
        Some(Value::String(price)) => Price::parse(price).amount(),
        Some(Value::Number(price)) => price.as_f64().filter(|price| *price > 0.0),
        _ => None,
    };
    let time =
        get(&fields.time).and_then(|time| time.as_i64().or_else(|| time.as_f64().map(|time| time as i64)));
    Some(RegenPurchase {
        item: name(find(entry, &fields.item))?,
        metadata: ItemMetadata {
            title: text(&fields.title),
            brand: text(&fields.brand),
            category,
            description: None,
            price,
        },
        rating: get(&fields.rating).and_then(Value::as_f64).map(|rating| rating as f32),
        time: time.map(time::seconds),
    })
}

/// The value at a dotted path.
pub(crate) fn find<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let mut steps = path.split('.');
    let mut value = object.get(steps.next()?)?;
    for step in steps {
        value = value.as_object()?.get(step)?;
    }
    Some(value)
}

/// A name, which may be written as a number; never empty.
pub(crate) fn name(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(name) if !name.trim().is_empty() => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
