//! RecBole's atomic files: `NAME.inter` (who bought what) and `NAME.item` (what it is), tab separated, with a type behind
//! each column's name: `user_id:token`, `rating:float`, `class:token_seq`. Both are read through a
//! [`Mapping`] that is found from their headers.

use std::path::Path;

use crate::mapping::{InteractionFields, ItemFields, Mapping, TableLayout, TimeUnit};
use crate::{Error, Lines, Result, lines};

/// Names that the public conversions of RecBole use for the same thing, without their types.
const RATING: &[&str] = &["rating", "label", "stars"];
const WEIGHT: &[&str] = &["weight", "count"];
const TIME: &[&str] = &["timestamp", "time"];
const TITLE: &[&str] = &["title", "item_name", "movie_title", "game_title", "business_name", "name"];
const BRAND: &[&str] = &["brand", "store", "artist", "artist_name", "author", "publisher"];
const CATEGORY: &[&str] = &["categories", "category", "class", "genre", "genres"];
const DESCRIPTION: &[&str] = &["description", "summary"];
const PRICE: &[&str] = &["price"];

/// The mapping of the one data set of a folder: read it with [`Mapping::read`], after changing what should be otherwise.
/// Ratings are kept for [`Mapping::preference`] to judge; a sequence of tokens is split at blanks by RecBole, but
/// here a category stays one text, since names of categories hold blanks.
///
/// # Errors
/// [`Error::UnknownFormat`] if the folder does not hold exactly one `*.inter`; [`Error::MissingField`] if it has no
/// `user_id` or `item_id`; [`Error::Io`].
pub fn mapping(folder: impl AsRef<Path>) -> Result<Mapping> {
    let folder = folder.as_ref();
    let Some(name) = name(folder)? else {
        return Err(Error::UnknownFormat { folder: folder.to_owned(), looked_for: vec![looked_for()] });
    };
    let table = TableLayout { separator: Some('\t'), header: None, quoted: false };
    let path = folder.join(format!("{name}.inter"));
    let columns = Header::read(&path)?;
    let interactions = InteractionFields {
        user: columns.need(&["user_id"], &path)?,
        item: columns.need(&["item_id"], &path)?,
        rating: columns.find(RATING),
        weight: columns.find(WEIGHT),
        time: columns.find(TIME),
        time_unit: TimeUnit::Auto,
        files: vec![path],
        table: Some(table.clone()),
        ..Default::default()
    };
    let path = folder.join(format!("{name}.item"));
    let items = if path.is_file() {
        let columns = Header::read(&path)?;
        Some(ItemFields {
            item: columns.need(&["item_id"], &path)?,
            title: columns.find(TITLE),
            brand: columns.find(BRAND),
            category: columns.find(CATEGORY),
            category_separator: None,
            description: columns.find(DESCRIPTION),
            price: columns.find(PRICE),
            files: vec![path],
            table: Some(table),
        })
    } else {
        None
    };
    Ok(Mapping { name: Some(name), interactions, items, ..Default::default() })
}

/// The name of the data set in `folder`, if there is exactly one.
pub(crate) fn name(folder: &Path) -> Result<Option<String>> {
    let io = |source| Error::Io { action: "list", path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let file = entry.map_err(io)?.file_name();
        names.extend(file.to_str().and_then(|file| file.strip_suffix(".inter")).map(str::to_owned));
    }
    Ok(if names.len() == 1 { names.pop() } else { None })
}

/// What [`name`] looks for, in words.
pub(crate) fn looked_for() -> String {
    "recbole: exactly one NAME.inter, perhaps with its NAME.item".into()
}

/// The columns of an atomic file, with their types.
struct Header(Vec<String>);

impl Header {
    fn read(path: &Path) -> Result<Self> {
        let mut file = Lines::open(path)?;
        let line = file.next_line()?.unwrap_or_default();
        let columns = lines::utf8(line, path, 1)?.split('\t');
        Ok(Self(columns.map(|name| name.trim().to_owned()).collect()))
    }

    /// The column of the first of `names` that there is.
    fn find(&self, names: &[&str]) -> Option<String> {
        names
            .iter()
            .find_map(|name| self.0.iter().find(|column| column.split(':').next() == Some(*name)).cloned())
    }

    fn need(&self, names: &[&str], path: &Path) -> Result<String> {
        self.find(names).ok_or_else(|| Error::MissingField {
            path: path.to_owned(),
            line: 1,
            field: format!("column {}", names.join(" or ")),
        })
    }
}
