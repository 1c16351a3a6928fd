//! Purchase sequences as LC-Rec, UniTok and their kin keep them: `NAME.inter.json` with `{"user": [item, …]}`, each
//! list in the order of purchase, and `NAME.item.json` with `{"item": {"title", "brand", "description", …}}`.
//!
//! Users and items are numbers there. Where `user_index.json` or `item_index.json` (raw id → number) lie beside
//! them, the raw ids become the names; otherwise the numbers do.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::amazon::python;
use crate::lines::json_document;
use crate::text::clean_text;
use crate::{Dataset, Error, Interaction, ItemMetadata, Result};

/// Reads the one data set of a folder. It has no narratives and no times; the order of the lists is the chronology.
///
/// # Errors
/// [`Error::UnknownFormat`] if the folder does not hold exactly one `*.inter.json` with its `*.item.json`; the
/// errors of reading JSON files; [`Error::MissingField`] if an index file lacks a number that is used.
pub fn read(folder: impl AsRef<Path>) -> Result<Dataset> {
    let folder = folder.as_ref();
    let Some(name) = name(folder)? else {
        return Err(Error::UnknownFormat { folder: folder.to_owned(), looked_for: vec![looked_for()] });
    };
    let users = Names::read(folder.join("user_index.json"))?;
    let items = Names::read(folder.join("item_index.json"))?;
    let mut data = Dataset { name: name.clone(), ..Default::default() };

    let sequences: Entries<Vec<Key>> = json_document(&folder.join(format!("{name}.inter.json")))?;
    for (user, purchases) in sequences.0 {
        let user = data.users.intern(users.name(&user)?)?;
        for item in purchases {
            let item = data.items.intern(items.name(&item.0)?)?;
            data.interactions.push(Interaction { user, item, weight: 1.0, time: None, rating: None });
        }
    }
    data.catalogue.resize(data.items.len(), None);
    read_items(&folder.join(format!("{name}.item.json")), &mut data, |number| {
        Ok(items.name(number)?.to_owned())
    })?;
    Ok(data)
}

/// Reads what is known of items, each under the name that `name` gives for its number.
///
/// # Errors
/// Those of reading JSON files and of `name`.
pub(crate) fn read_items(
    path: &Path,
    data: &mut Dataset,
    name: impl Fn(&str) -> Result<String>,
) -> Result<()> {
    let facts: Entries<Facts> = json_document(path)?;
    for (item, facts) in facts.0 {
        let item = data.items.intern(&name(&item)?)?;
        data.catalogue.resize(data.items.len(), None);
        let metadata = ItemMetadata {
            title: facts.title.0.as_deref().and_then(clean_text),
            brand: facts.brand.0.as_deref().and_then(clean_text),
            category: facts
                .categories
                .0
                .as_deref()
                .map(|path| path.split(',').filter_map(clean_text).collect())
                .unwrap_or_default(),
            description: facts.description.0.as_deref().and_then(paragraphs),
            price: None,
        };
        if !metadata.is_empty() {
            data.catalogue[item.index()] = Some(metadata);
        }
    }
    Ok(())
}

/// A description as one clean text. Some files hold the list of its paragraphs as a text, `['One.', "It's two."]`, and some
/// of those have quotes inside that end it early: then brackets and outer quotes go, and what is between them stays.
fn paragraphs(text: &str) -> Option<String> {
    let list = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let Some(inside) = list else { return clean_text(text) };
    let parsed: Option<Vec<String>> =
        python::to_json(text).ok().and_then(|list| serde_json::from_str(&list).ok());
    match parsed {
        Some(parsed) => clean_text(&parsed.join(" ")),
        None => clean_text(inside.trim_matches(['\'', '"'])),
    }
}

/// The name of the data set in `folder`, if there is exactly one.
pub(crate) fn name(folder: &Path) -> Result<Option<String>> {
    let io = |source| Error::Io { action: "list", path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let file = entry.map_err(io)?.file_name();
        if let Some(name) = file.to_str().and_then(|file| file.strip_suffix(".inter.json"))
            && folder.join(format!("{name}.item.json")).is_file()
        {
            names.push(name.to_owned());
        }
    }
    Ok(if names.len() == 1 { names.pop() } else { None })
}

/// What [`name`] looks for, in words.
pub(crate) fn looked_for() -> String {
    "sequences: exactly one NAME.inter.json with its NAME.item.json".into()
}

/// Raw ids by their numbers, where the folder has them.
struct Names {
    path: PathBuf,
    raw: Option<HashMap<String, String>>,
}

impl Names {
    fn read(path: PathBuf) -> Result<Self> {
        let raw = if path.is_file() {
            let index: Entries<Key> = json_document(&path)?;
            Some(index.0.into_iter().map(|(raw, number)| (number.0, raw)).collect())
        } else {
            None
        };
        Ok(Self { path, raw })
    }

    fn name<'a>(&'a self, number: &'a str) -> Result<&'a str> {
        match &self.raw {
            None => Ok(number),
            Some(raw) => raw.get(number).map(String::as_str).ok_or_else(|| Error::MissingField {
                path: self.path.clone(),
                line: 1,
                field: format!("raw id of number {number}"),
            }),
        }
    }
}

#[derive(Deserialize)]
struct Facts {
    #[serde(default)]
    title: Text,
    #[serde(default)]
    brand: Text,
    #[serde(default)]
    categories: Text,
    #[serde(default)]
    description: Text,
}

/// A JSON object as its entries, in the order of the file.
struct Entries<V>(Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Object<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Object<V> {
            type Value = Entries<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

/// An id that is written as a number or as a string.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Id;
        impl Visitor<'_> for Id {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a string")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> std::result::Result<Key, E> {
                Ok(Key(number.to_string()))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Key, E> {
                Ok(Key(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Id)
    }
}

/// A text that may be missing, null, or a list of paragraphs.
#[derive(Default)]
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a list of strings or null")
            }
            fn visit_unit<E: de::Error>(self) -> std::result::Result<Text, E> {
                Ok(Text(None))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Text, E> {
                Ok(Text(Some(text.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Text, A::Error> {
                let mut paragraphs: Vec<String> = Vec::new();
                while let Some(paragraph) = list.next_element()? {
                    paragraphs.push(paragraph);
                }
                Ok(Text(Some(paragraphs.join(" "))))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
