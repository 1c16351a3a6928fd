//! Purchases as MiniOneRec keeps them: `item.json` with `{"number": {"title", "description", …}}`, and `train.csv`,
//! `valid.csv`, `test.csv` (any of them), each row a purchase with up to ten purchases before it:
//! `user_id, history_item_id, item_id` (other columns are left alone), the history a list such as `[384, 289]`.
//!
//! A user has a row for each purchase, so the same purchase stands in many histories. Histories are joined where they
//! overlap, in the order train, valid, test, which is that of time.

use std::path::{Path, PathBuf};

use crate::csv_rows::{CsvLayout, CsvRows};
use crate::sequences;
use crate::{Dataset, Error, IdMap, Interaction, ItemId, Result, UserId};

const ITEMS: &str = "item.json";
const PARTS: [&str; 3] = ["train.csv", "valid.csv", "test.csv"];

/// Reads the data set of a folder, named after it. It has no narratives and no times; users stand in order of their first
/// row, the purchases of each in order of time.
///
/// # Errors
/// [`Error::UnknownFormat`] if the folder holds something else; the errors of reading JSON and CSV files;
/// [`Error::MissingField`] for a missing column or an empty cell; [`Error::InvalidField`] for a history that is no list
/// of item numbers.
pub fn read(folder: impl AsRef<Path>) -> Result<Dataset> {
    let folder = folder.as_ref();
    if !is_in(folder) {
        return Err(Error::UnknownFormat { folder: folder.to_owned(), looked_for: vec![looked_for()] });
    }
    let name = folder.file_name().map_or_else(|| "minionerec".into(), |name| name.to_string_lossy());
    let mut data = Dataset { name: name.into_owned(), ..Default::default() };
    sequences::read_items(&folder.join(ITEMS), &mut data, |number| Ok(number.to_owned()))?;
    let mut timelines: Vec<Vec<ItemId>> = Vec::new();
    for part in PARTS {
        let path = folder.join(part);
        if path.is_file() {
            Rows::open(path)?.join(&mut data.users, &mut data.items, &mut timelines)?;
        }
    }
    data.catalogue.resize(data.items.len(), None);
    for (user, items) in data.users.ids().zip(timelines) {
        let purchase = |item| Interaction { user, item, weight: 1.0, time: None, rating: None };
        data.interactions.extend(items.into_iter().map(purchase));
    }
    Ok(data)
}

/// Whether `folder` looks like such a release.
pub(crate) fn is_in(folder: &Path) -> bool {
    folder.join(ITEMS).is_file() && PARTS.iter().any(|part| folder.join(part).is_file())
}

/// What [`is_in`] looks for, in words.
pub(crate) fn looked_for() -> String {
    format!("MiniOneRec: {ITEMS} with one of {}", PARTS.join(", "))
}

/// The rows of one part.
struct Rows {
    path: PathBuf,
    rows: CsvRows,
    columns: [usize; 3],
}

const COLUMNS: [&str; 3] = ["user_id", "history_item_id", "item_id"];

impl Rows {
    fn open(path: PathBuf) -> Result<Self> {
        let mut rows = CsvRows::open(&path, CsvLayout::default())?;
        let names = rows.names()?;
        let mut columns = [0; 3];
        for (column, name) in columns.iter_mut().zip(COLUMNS) {
            *column = names.iter().position(|known| known == name).ok_or_else(|| Error::MissingField {
                path: path.clone(),
                line: 1,
                field: format!("column {name:?}"),
            })?;
        }
        Ok(Self { path, rows, columns })
    }

    /// Joins every row's purchases to those that are known of its user.
    fn join(
        mut self,
        users: &mut IdMap<UserId>,
        items: &mut IdMap<ItemId>,
        timelines: &mut Vec<Vec<ItemId>>,
    ) -> Result<()> {
        while self.rows.advance()? {
            let line = self.rows.line();
            let mut cells = [""; 3];
            for ((cell, column), name) in cells.iter_mut().zip(self.columns).zip(COLUMNS) {
                *cell = self.rows.cell(column)?;
                if cell.is_empty() {
                    return Err(Error::MissingField { path: self.path, line, field: name.into() });
                }
            }
            let [user, history, item] = cells;
            let user = users.intern(user)?;
            timelines.resize(users.len(), Vec::new());
            let purchases = numbers(history).ok_or_else(|| Error::InvalidField {
                path: self.path.clone(),
                line,
                field: COLUMNS[1].into(),
                expected: "a list of item numbers",
                got: history.chars().take(40).collect(),
            })?;
            let mut before = Vec::with_capacity(purchases.len());
            for number in purchases {
                before.push(items.intern(&number.to_string())?);
            }
            let timeline = &mut timelines[user.index()];
            let new = before.len() - overlap(timeline, &before);
            timeline.extend(&before[before.len() - new..]);
            timeline.push(items.intern(item)?);
        }
        Ok(())
    }
}

fn numbers(list: &str) -> Option<Vec<u64>> {
    serde_json::from_str(list).ok()
}

/// The longest beginning of `next` that `known` ends with.
fn overlap(known: &[ItemId], next: &[ItemId]) -> usize {
    let most = known.len().min(next.len());
    (0..=most).rev().find(|&length| known.ends_with(&next[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(test: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "item.json",
            r#"{"0": {"title": "Ink", "description": "['It''s', 'black']"}, "1": {"brand": "B"}, "2": {}}"#,
        );
        write("valid.csv", "user_id,history_item_id,item_id\nu,[0],1\nv,\"[2, 2]\",2\nu,\"[0, 1]\",1\n");
        write("test.csv", test);
        folder
    }

    #[test]
    fn histories_are_joined_where_they_overlap() {
        // The last history lacks the first purchase, as one cut to its last two does; item 3 is in no catalogue.
        let folder = folder("item_id,x,history_item_id,user_id\n0,?,\"[1, 1]\",u\n3,?,[2],w\n");
        let data = read(folder.path()).unwrap();
        let bought = |user: &str| -> Vec<&str> {
            let user = data.users.get(user).unwrap();
            let of = data.interactions.iter().filter(|one| one.user == user);
            of.map(|one| data.items.name(one.item)).collect()
        };
        assert_eq!(bought("u"), ["0", "1", "1", "0"]);
        assert_eq!(bought("v"), ["2", "2", "2"]);
        assert_eq!(bought("w"), ["2", "3"]);
        let ink = data.catalogue[0].as_ref().unwrap();
        assert_eq!((ink.title.as_deref(), data.catalogue.len()), (Some("Ink"), 4));
        assert_eq!(data.catalogue[2..], [None, None]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let error = |test: &str| {
            let text = read(folder(test).path()).unwrap_err().to_string();
            text.split_once("test.csv:").unwrap().1.to_owned()
        };
        assert_eq!(error("user_id,item_id\n"), "1: no column \"history_item_id\"");
        assert_eq!(error("user_id,history_item_id,item_id\nu,[1],\n"), "2: no item_id");
        let expected = "2: history_item_id should be a list of item numbers, got \"[1, 'a']\"";
        assert_eq!(error("user_id,history_item_id,item_id\nu,\"[1, 'a']\",2\n"), expected);
    }
}
