//! Interactions in a table with a header: comma or tab separated, plain or compressed, columns by name.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::csv_rows::{CsvLayout, CsvRows};
use crate::{Error, Result};

/// Which columns of a table mean what. The default is the header of the other stages: `user,item[,value[,timestamp[,rating]]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// The user's name.
    pub user: String,
    /// The item's name.
    pub item: String,
    /// A rating, count or weight; `None` if there is none. A named column may be absent from the file.
    pub value: Option<String>,
    /// Seconds or milliseconds since 1970-01-01 UTC; `None` if there is none. A named column may be absent.
    pub time: Option<String>,
    /// Stars, beside a value that is not these; `None` if there are none. A named column may be absent.
    pub rating: Option<String>,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            user: "user".into(),
            item: "item".into(),
            value: Some("value".into()),
            time: Some("timestamp".into()),
            rating: Some("rating".into()),
        }
    }
}

/// One row of an interaction table.
#[derive(Clone, Debug, PartialEq)]
pub struct InteractionRow {
    /// The user's name.
    pub user: String,
    /// The item's name.
    pub item: String,
    /// The rating, count or weight, if the table has that column and the cell is not empty.
    pub value: Option<f32>,
    /// Seconds since 1970-01-01 UTC, if the table has that column and the cell is not empty.
    pub time: Option<i64>,
    /// Stars, if the table has that column and the cell is not empty.
    pub rating: Option<f32>,
}

/// The rows of an interaction table, read as they are asked for.
pub struct InteractionTable {
    path: PathBuf,
    rows: CsvRows,
    user: (usize, String),
    item: (usize, String),
    value: Option<(usize, String)>,
    time: Option<(usize, String)>,
    rating: Option<(usize, String)>,
}

impl InteractionTable {
    /// Opens a table. The separator is a tab if the header holds one, else a comma.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::UnknownColumn`] if the header lacks the user or item column.
    pub fn open(path: impl AsRef<Path>, columns: &Columns) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let mut rows = CsvRows::open(&path, CsvLayout::default())?;
        let names = rows.names()?;
        let find = |name: &str| names.iter().position(|known| known == name).map(|at| (at, name.to_owned()));
        let need = |name: &str| {
            find(name).ok_or_else(|| Error::UnknownColumn {
                path: path.clone(),
                field: name.to_owned(),
                columns: shown(&names),
            })
        };
        let (user, item) = (need(&columns.user)?, need(&columns.item)?);
        let (value, time) = (columns.value.as_deref().and_then(find), columns.time.as_deref().and_then(find));
        let rating = columns.rating.as_deref().and_then(find);
        Ok(Self { path, rows, user, item, value, time, rating })
    }

    /// The line that the last row begins on, counted from 1: for what a caller finds wrong with it.
    pub fn line(&self) -> u64 {
        self.rows.line()
    }

    fn row(&self) -> Result<InteractionRow> {
        let line = self.rows.line();
        let cell = |column: &(usize, String)| self.rows.cell(column.0);
        let name = |column: &(usize, String)| -> Result<String> {
            match cell(column)? {
                "" => Err(Error::MissingField { path: self.path.clone(), line, field: column.1.clone() }),
                name => Ok(name.to_owned()),
            }
        };
        let invalid = |column: &(usize, String), expected, text: &str| Error::InvalidField {
            path: self.path.clone(),
            line,
            field: column.1.clone(),
            expected,
            got: text.chars().take(40).collect(),
        };
        let number = |column: &Option<(usize, String)>, expected| -> Result<Option<f64>> {
            let Some(column) = column else { return Ok(None) };
            let text = cell(column)?;
            if text.is_empty() {
                return Ok(None);
            }
            match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Some(number)),
                _ => Err(invalid(column, expected, text)),
            }
        };
        // What f32 cannot hold would come out infinite, and be noticed far from its line.
        let single = |column: &Option<(usize, String)>, expected| -> Result<Option<f32>> {
            let narrow = number(column, expected)?.map(|number| number as f32);
            match (narrow, column) {
                (Some(infinite), Some(column)) if infinite.is_infinite() => {
                    Err(invalid(column, "a number within the range of 32-bit floats", cell(column)?))
                }
                _ => Ok(narrow),
            }
        };
        Ok(InteractionRow {
            user: name(&self.user)?,
            item: name(&self.item)?,
            value: single(&self.value, "a number")?,
            time: number(&self.time, "a time in seconds or milliseconds")?
                .map(|time| crate::time::seconds(time as i64)),
            rating: single(&self.rating, "a number of stars")?,
        })
    }
}

/// The columns that there are, and what may be the reason that one is not found.
fn shown(names: &[String]) -> String {
    /// A file that is no table may have a first line of any length.
    const LONGEST: usize = 200;
    let all = names.join(", ");
    match names {
        [] => "nothing, being empty".to_owned(),
        [one] if one.contains([';', '|']) => {
            let start: String = one.chars().take(LONGEST).collect();
            format!("{start} (columns of this table are separated by commas or tabs)")
        }
        _ if all.chars().count() > LONGEST => {
            format!("{}…", all.chars().take(LONGEST).collect::<String>())
        }
        _ => all,
    }
}

impl Iterator for InteractionTable {
    type Item = Result<InteractionRow>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.rows.advance() {
            Ok(false) => None,
            Ok(true) => Some(self.row()),
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<InteractionRow>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        InteractionTable::open(file.path(), &Columns::default())?.collect()
    }

    #[test]
    fn columns_are_found_by_name_and_may_be_missing() {
        let rows = read("timestamp\tx\titem\tuser\tvalue\n1500000000123\t?\tpen\tann\t4.5\n\t?\tink\tbo\t\n")
            .unwrap();
        let row = |user: &str, item: &str, value, time| InteractionRow {
            user: user.into(),
            item: item.into(),
            value,
            time,
            rating: None,
        };
        assert_eq!(rows, [row("ann", "pen", Some(4.5), Some(1_500_000_000)), row("bo", "ink", None, None)]);
        assert_eq!(read("item,user\n\"a, b\",c\n").unwrap(), [row("c", "a, b", None, None)]);
        let rated = read("rating,item,user,value\n2.5,pen,ann,1\n,ink,bo,1\n").unwrap();
        assert_eq!([rated[0].rating, rated[1].rating], [Some(2.5), None]);
    }

    #[test]
    fn a_column_that_is_not_there_is_named_with_those_that_are() {
        let error = |text: &str| {
            let text = read(text).unwrap_err().to_string();
            text.split_once(" has ").unwrap().1.to_owned()
        };
        assert_eq!(error("user,thing\n"), "no column \"item\", it has: user, thing");
        assert_eq!(error(""), "no column \"user\", it has: nothing, being empty");
        let other =
            "no column \"user\", it has: user;item (columns of this table are separated by commas or tabs)";
        assert_eq!(error("user;item\na;b\n"), other);
        assert!(error(&format!("{}\n", "long,".repeat(500))).len() < 300);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let error = |text: &str| {
            let text = read(text).unwrap_err().to_string();
            text.split_once(':').unwrap().1.to_owned()
        };
        assert_eq!(error("user,item\na,b\n,b\n"), "3: no user");
        assert_eq!(error("user,item\r\na,b\r\n,b\r\n"), "3: no user");
        assert_eq!(error("user,item\r\na,\"b\r\nc\"\r\na\r\n"), "4: expected 2 columns, got 1");
        assert_eq!(error("user,item\na,b,c\n"), "2: expected 2 columns, got 3");
        assert_eq!(error("user,item,value\na,b,many\n"), "2: value should be a number, got \"many\"");
        let large = "should be a number within the range of 32-bit floats, got";
        assert_eq!(error("user,item,value\na,b,1\na,c,1e39\n"), format!("3: value {large} \"1e39\""));
        assert_eq!(error("user,item,rating\na,b,-4e38\n"), format!("2: rating {large} \"-4e38\""));
        assert_eq!(read("user,item,value\na,b,3.4028235e38\n").unwrap()[0].value, Some(f32::MAX));
    }
}
