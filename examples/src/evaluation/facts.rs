//! What a catalogue knows of an item, as facts that claims are checked against.

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, ensure};
use regen_data::prepared;
use regen_metrics::grounding::{Facts, Known, Quantity, Trust};
use serde::Deserialize;
use serde_json::Value;

use super::pairs::{About, shortened};
use crate::json_lines::{numbered_lines, reason};
use crate::pipeline;

/// Items by id.
#[derive(Debug, Default)]
pub struct Catalogue {
    items: HashMap<String, Item>,
}

/// One line of a catalogue; other keys are ignored. The `items.jsonl` of a prepared folder is such a file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Item {
    title: Option<String>,
    brand: Option<String>,
    description: Option<String>,
    price: Option<f64>,
    #[serde(alias = "colors")]
    colours: Option<Vec<String>>,
    /// "8 inch", "12 oz".
    sizes: Option<Vec<String>>,
    count: Option<u32>,
}

#[derive(Deserialize)]
struct Line {
    item: Value,
    #[serde(flatten)]
    known: Item,
}

/// Fields whose trust a user may set, with their defaults: what a catalogue states is taken for right and complete, a history
/// for one that was cut to its last purchases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldTrust {
    fields: [(&'static str, Trust); 7],
}

impl Default for FieldTrust {
    fn default() -> Self {
        let fields = ["title", "brand", "colours", "sizes", "count", "price", "history"];
        Self {
            fields: fields
                .map(|name| (name, if name == "history" { Trust::Indicative } else { Trust::Authoritative })),
        }
    }
}

impl FromStr for FieldTrust {
    type Err = String;

    /// `history=authoritative,price=indicative`; what is not named keeps its default.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut trust = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, level) = part.split_once('=').ok_or_else(|| format!("`{part}` is not FIELD=LEVEL"))?;
            let level = match level {
                "authoritative" => Trust::Authoritative,
                "indicative" => Trust::Indicative,
                _ => return Err(format!("`{level}` is neither authoritative nor indicative")),
            };
            let names = trust.fields.map(|(name, _)| name).join(", ");
            let field = trust.fields.iter_mut().find(|(known, _)| *known == name);
            field.ok_or_else(|| format!("no field `{name}`; there are {names}"))?.1 = level;
        }
        Ok(trust)
    }
}

impl FieldTrust {
    fn known<T>(self, field: &str, value: Option<T>) -> Option<Known<T>> {
        let trust = self.fields.iter().find(|(name, _)| *name == field)?.1;
        Some(Known { value: value?, trust })
    }
}

fn id(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// "8 inch", "8-inch" or "12 fl oz" as a number with its unit.
fn quantity(text: &str) -> Option<Quantity> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = text[end..].trim_start_matches([' ', '-']);
    Quantity::new(text[..end].parse().ok()?, unit)
}

impl Catalogue {
    /// Reads JSON lines with `item` and what is known of `title, brand, colours, sizes, count, price, description`, or the
    /// items of a prepared folder.
    ///
    /// # Errors
    /// Naming the first malformed lines, or items that stand twice, and counting all.
    pub fn read(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let item = |record: Value| Ok((id(&record["item"]), serde_json::from_value(record)?));
            let records = pipeline::item_records(&prepared::read(path)?).collect::<Result<Vec<_>>>()?;
            return Ok(Self {
                items: records.into_iter().map(Value::Object).map(item).collect::<Result<_>>()?,
            });
        }
        let mut items = HashMap::new();
        let mut malformed = Vec::new();
        for (number, line) in numbered_lines(path)? {
            match serde_json::from_str::<Line>(&line) {
                Ok(line) => {
                    for size in line.known.sizes.iter().flatten().filter(|size| quantity(size).is_none()) {
                        malformed.push(format!("  line {number}: `{size}` is no size such as `8 inch`"));
                    }
                    if items.insert(id(&line.item), line.known).is_some() {
                        malformed.push(format!("  line {number}: item {} stands twice", line.item));
                    }
                }
                Err(error) => malformed.push(format!("  line {number}: {}", reason(&error))),
            }
        }
        let failures = malformed.len();
        ensure!(failures == 0, "{failures} malformed lines in {}:\n{}", path.display(), shortened(malformed));
        Ok(Self { items })
    }

    fn find(&self, about: &About) -> Option<&Item> {
        self.items.get(&id(about.item.as_ref()?))
    }

    /// Whether a pair names an item that is here.
    pub fn knows(&self, about: &About) -> bool {
        self.find(about).is_some()
    }

    /// Every brand, once.
    pub fn brands(&self) -> Vec<&str> {
        let mut brands: Vec<&str> = self.items.values().filter_map(|item| item.brand.as_deref()).collect();
        brands.sort_unstable();
        brands.dedup();
        brands
    }

    /// Titles of a pair's history: entries that are ids of items become their titles.
    pub fn history(&self, about: &About) -> Option<Vec<String>> {
        let title = |entry: &Value| {
            let entry = id(entry);
            self.items.get(&entry).and_then(|item| item.title.clone()).unwrap_or(entry)
        };
        Some(about.history.as_ref()?.iter().map(title).collect())
    }

    /// What claims about a pair are checked against. Of an item that is not here, only the history is known.
    pub fn facts(&self, about: &About, trust: FieldTrust) -> Facts {
        let empty = Item::default();
        let item = self.find(about).unwrap_or(&empty);
        let sizes = item.sizes.as_ref().map(|sizes| sizes.iter().filter_map(|size| quantity(size)).collect());
        Facts {
            title: trust.known("title", item.title.clone()),
            brand: trust.known("brand", item.brand.clone()),
            colours: trust.known("colours", item.colours.clone()),
            sizes: trust.known("sizes", sizes),
            count: trust.known("count", item.count),
            price: trust.known("price", item.price),
            history: trust.known("history", self.history(about)),
        }
    }

    /// The item in words, for a rater; what the pair itself says comes first.
    pub fn words(&self, about: &About) -> Option<String> {
        if about.item_text.is_some() {
            return about.item_text.clone();
        }
        let item = self.find(about)?;
        let price = item.price.map(|price| format!("price {price:.2}"));
        let colours = item.colours.as_ref().map(|colours| colours.join(", "));
        let parts = [&item.title, &item.brand, &colours, &price, &item.description];
        Some(parts.into_iter().flatten().cloned().collect::<Vec<_>>().join(" · "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_is_set_by_field_and_unknown_names_are_refused() {
        let trust: FieldTrust = "history=authoritative,price=indicative".parse().unwrap();
        assert_eq!(trust.known("price", Some(1)).unwrap().trust, Trust::Indicative);
        assert_eq!(trust.known("history", Some(1)).unwrap().trust, Trust::Authoritative);
        assert_eq!(trust.known("brand", Some(1)).unwrap().trust, Trust::Authoritative);
        assert!("weight=indicative".parse::<FieldTrust>().unwrap_err().contains("no field `weight`"));
        assert!("price=maybe".parse::<FieldTrust>().is_err() && "price".parse::<FieldTrust>().is_err());
    }

    #[test]
    fn sizes_are_numbers_with_units() {
        assert_eq!(quantity("8-inch").unwrap().value, 8.0);
        assert_eq!(quantity("0.7 mm").unwrap().value, 0.7);
        assert!(quantity("large").is_none() && quantity("8 parsecs").is_none());
    }
}
