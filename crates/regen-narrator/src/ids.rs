//! The outside names of item rows, kept as one text: ten million of them take tens of bytes each less than as strings of
//! their own, and are read as fast as the disk gives them.

use std::fs;
use std::path::Path;

use crate::{Error, Result};

/// The outside name of every row of the item tables, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ItemIds {
    /// Every name followed by a line feed, as in the file.
    text: String,
    /// Where in the text each name ends.
    ends: Vec<usize>,
}

impl ItemIds {
    /// Of names in the order of rows.
    ///
    /// # Errors
    /// [`Error::ItemId`] for a name with a line feed in it.
    pub fn new<S: AsRef<str>>(ids: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut made = Self::default();
        for id in ids {
            let id = id.as_ref();
            if id.contains('\n') {
                return Err(Error::ItemId { row: made.len(), id: id.to_owned() });
            }
            made.text.push_str(id);
            made.ends.push(made.text.len());
            made.text.push('\n');
        }
        Ok(made)
    }

    /// How many rows have names.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The name of a row, `None` if there is no such row.
    pub fn get(&self, row: usize) -> Option<&str> {
        let end = *self.ends.get(row)?;
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before] + 1);
        self.text.get(start..end)
    }

    /// All names, in the order of rows.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.text.split_terminator('\n')
    }

    /// One name a line.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        fs::write(path, &self.text).map_err(|source| Error::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })
    }

    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|source| Error::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        let ends: Vec<usize> = text.match_indices('\n').map(|(end, _)| end).collect();
        // A last line without its end was cut off; the count of the manifest tells.
        let whole = ends.last().map_or(0, |end| end + 1);
        let text = if whole < text.len() { text[..whole].to_owned() } else { text };
        Ok(Self { text, ends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_by_row_and_in_order() {
        let names = ["B01", "", "ééé", "a\rb", "B01"];
        let ids = ItemIds::new(names).unwrap();
        let path = tempfile::NamedTempFile::new().unwrap();
        ids.save(path.path()).unwrap();
        for ids in [&ids, &ItemIds::load(path.path()).unwrap()] {
            assert_eq!(ids.len(), 5);
            assert_eq!(ids.iter().collect::<Vec<_>>(), names);
            assert_eq!(
                (0..6).map(|row| ids.get(row)).collect::<Vec<_>>(),
                [Some("B01"), Some(""), Some("ééé"), Some("a\rb"), Some("B01"), None]
            );
        }
        assert!(ItemIds::default().is_empty() && ItemIds::default().get(0).is_none());
    }

    #[test]
    fn a_name_of_two_lines_is_refused() {
        let made = ItemIds::new(["one", "two\nthree"]);
        assert!(matches!(made, Err(Error::ItemId { row: 1, .. })));
    }

    #[test]
    fn a_torn_last_line_does_not_count() {
        let path = tempfile::NamedTempFile::new().unwrap();
        fs::write(path.path(), "one\ntwo\nthr").unwrap();
        assert_eq!(ItemIds::load(path.path()).unwrap(), ItemIds::new(["one", "two"]).unwrap());
    }
}
