//! The TOML file: which files there are, and what their fields are called.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::times::{DateOrder, TimeUnit};
use crate::{Chronology, Duplicates, Error, NarrativeKind, OnError, Preference, Result};

/// Which files hold a catalogue, and which of their fields mean what.
///
/// A field is a column of a table, or a dotted path into a JSON record or Parquet group: `product.sku`. Inside a list the
/// path goes into every element, so `tags.name` (or `tags[].name`, as [`inspect`](crate::inspect()) prints it) is the list
/// of all names. A key that itself holds dots is found too. Unknown keys of the TOML file are errors.
///
/// ```
/// let mapping = regen_data::mapping::Mapping::parse(
///     r#"
///     preference = { at_least = 4.0 } # or "every" (the default), or "stars"
///
///     [interactions]
///     files = ["orders-2023.csv.gz", "orders-2024.csv.gz"]
///     table = { separator = ";" }
///     user = "customer"
///     item = "sku"
///     rating = "stars"
///     time = "bought_at"
///     time_unit = "milliseconds"
///
///     [items]
///     files = ["products.jsonl"]
///     item = "sku"
///     title = "name.en"
///     category = "breadcrumb"
///     category_separator = " / "
///     price = "price.amount"
///
///     [[narratives]]
///     files = ["texts.jsonl"]
///     kind = "purchase_reason"
///     user = "customer"
///     item = "sku"
///     text = "why"
///     "#,
/// )?;
/// assert_eq!(mapping.interactions.files.len(), 2);
/// # Ok::<(), regen_data::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// What the data set is called in reports.
    #[serde(default)]
    pub name: Option<String>,
    /// What happens to records that cannot be read.
    #[serde(default)]
    pub on_error: OnError,
    /// Which ratings count, and how much.
    #[serde(default)]
    pub preference: Preference,
    /// What happens when a user bought an item several times.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// Whether times, or without them the order of the records, say what came first.
    #[serde(default)]
    pub chronology: Chronology,
    /// Fewest distinct items of a user; 0 and 1 keep everyone.
    #[serde(default)]
    pub user_core: usize,
    /// Fewest distinct users of an item.
    #[serde(default)]
    pub item_core: usize,
    /// Who bought what.
    pub interactions: InteractionFields,
    /// What the items are; without it nothing is known of them.
    #[serde(default)]
    pub items: Option<ItemFields>,
    /// What was written, one entry for each kind of text.
    #[serde(default)]
    pub narratives: Vec<NarrativeFields>,
}

/// How tables are laid out. What is not said is found out: a tab separates if the first line holds one, else a comma.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableLayout {
    /// One ASCII character between columns.
    pub separator: Option<char>,
    /// The names of the columns of a file that does not begin with them.
    pub header: Option<Vec<String>>,
    /// Whether `"` encloses cells. Many tab separated files use it as an inch sign instead.
    pub quoted: bool,
}

impl Default for TableLayout {
    /// As RFC 4180 has it: a header, and cells that may be quoted.
    fn default() -> Self {
        Self { separator: None, header: None, quoted: true }
    }
}

/// Purchases or reviews, one a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InteractionFields {
    /// The files, relative to the mapping's own folder. They are read side by side.
    pub files: Vec<PathBuf>,
    /// How tables are laid out; with it, files are tables whatever they begin with.
    #[serde(default)]
    pub table: Option<TableLayout>,
    /// The user's name: a text or a whole number.
    pub user: String,
    /// The item's name.
    pub item: String,
    /// Stars, which [`Mapping::preference`] judges.
    #[serde(default)]
    pub rating: Option<String>,
    /// How much the purchase counts, greater than zero (plays, pieces); records with less do not count. Without it the
    /// weight follows from the rating.
    #[serde(default)]
    pub weight: Option<String>,
    /// When: a number, or a date and time as ISO 8601 writes it.
    #[serde(default)]
    pub time: Option<String>,
    /// The unit of numbers in `time`.
    #[serde(default)]
    pub time_unit: TimeUnit,
    /// How dates in `time` are written.
    #[serde(default)]
    pub date_order: DateOrder,
    /// A review's heading; read by [`Mapping::reviews`] alone.
    #[serde(default)]
    pub review_title: Option<String>,
    /// A review's text; read by [`Mapping::reviews`] alone.
    #[serde(default)]
    pub review_text: Option<String>,
}

/// Items, one a record. Texts are cleaned as those of the Amazon releases
/// ([`CatalogueRecords`](crate::amazon::CatalogueRecords)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemFields {
    /// The files, relative to the mapping's own folder.
    pub files: Vec<PathBuf>,
    /// How tables are laid out; with it, files are tables whatever they begin with.
    #[serde(default)]
    pub table: Option<TableLayout>,
    /// The item's name, as in the interactions.
    pub item: String,
    /// Its title.
    #[serde(default)]
    pub title: Option<String>,
    /// Its brand.
    #[serde(default)]
    pub brand: Option<String>,
    /// Its category, from general to special: a list, or a text. Of several paths the longest.
    #[serde(default)]
    pub category: Option<String>,
    /// What stands between the levels of a category text; without it ` > ` or ` - `.
    #[serde(default)]
    pub category_separator: Option<String>,
    /// Its description; the paragraphs of a list in one.
    #[serde(default)]
    pub description: Option<String>,
    /// Its price, see [`Price`](crate::amazon::Price).
    #[serde(default)]
    pub price: Option<String>,
}

/// Texts of one kind, one a record. Records without a text are passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NarrativeFields {
    /// The files, relative to the mapping's own folder.
    pub files: Vec<PathBuf>,
    /// How tables are laid out; with it, files are tables whatever they begin with.
    #[serde(default)]
    pub table: Option<TableLayout>,
    /// What kind of text it is.
    pub kind: NarrativeKind,
    /// The user's name, as in the interactions.
    pub user: String,
    /// The item's name; to be left out exactly for user summaries.
    #[serde(default)]
    pub item: Option<String>,
    /// The text.
    pub text: String,
}

impl Mapping {
    /// Reads a mapping. Its files are then relative to its folder.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Mapping`] with the line if it is no mapping;
    /// [`Error::InvalidConfig`] for values that do not go together.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        let mut mapping = Self::from_toml(&text, path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let lists = std::iter::once(&mut mapping.interactions.files)
            .chain(mapping.items.as_mut().map(|items| &mut items.files))
            .chain(mapping.narratives.iter_mut().map(|narratives| &mut narratives.files));
        for file in lists.flatten() {
            *file = folder.join(&file);
        }
        Ok(mapping)
    }

    /// Reads a mapping from a text. Its files stay as they are.
    ///
    /// # Errors
    /// As [`Mapping::load`], with `mapping` for the path.
    pub fn parse(text: &str) -> Result<Self> {
        Self::from_toml(text, Path::new("mapping"))
    }

    fn from_toml(text: &str, path: &Path) -> Result<Self> {
        let mapping: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
            Error::Mapping { path: path.to_owned(), line, reason: error.message().to_owned() }
        })?;
        mapping.check()?;
        Ok(mapping)
    }

    pub(super) fn check(&self) -> Result<()> {
        let invalid = |field, expected, got: String| Err(Error::InvalidConfig { field, expected, got });
        let sections = [(&self.interactions.files, &self.interactions.table)]
            .into_iter()
            .chain(self.items.iter().map(|items| (&items.files, &items.table)))
            .chain(self.narratives.iter().map(|narratives| (&narratives.files, &narratives.table)));
        for (files, table) in sections {
            if files.is_empty() {
                return invalid("files", "at least one file in each section", "none".into());
            }
            let separator = table.as_ref().and_then(|table| table.separator);
            if let Some(separator) =
                separator.filter(|separator| !separator.is_ascii() || ['"', '\n', '\r'].contains(separator))
            {
                return invalid(
                    "separator",
                    "one ASCII character, no quote or line end",
                    format!("{separator:?}"),
                );
            }
        }
        for narratives in &self.narratives {
            if narratives.kind.uses_immediate_context() != narratives.item.is_some() {
                return invalid(
                    "narratives.item",
                    "given for texts about an item, and left out for user summaries",
                    format!("{:?} for {}", narratives.item, narratives.kind),
                );
            }
        }
        if let Preference::AtLeast(_) | Preference::Stars = self.preference
            && self.interactions.rating.is_none()
        {
            return invalid("rating", "a field, since the preference judges by it", "none".into());
        }
        Ok(())
    }
}
