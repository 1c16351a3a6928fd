//! The rows of a table, with the columns that a mapping asks for.

use std::path::{Path, PathBuf};

use super::cells::Cell;
use super::config::TableLayout;
use crate::csv_rows::{CsvLayout, CsvRows};
use crate::lines;
use crate::{Error, Result};

/// A table that is read row by row.
pub(super) struct TableRows {
    path: PathBuf,
    rows: CsvRows,
    /// The column of each field.
    columns: Vec<usize>,
    names: usize,
}

impl TableRows {
    /// # Errors
    /// [`Error::UnknownColumn`] for a field that is no column; those of reading the header.
    pub(super) fn open(path: &Path, layout: &TableLayout, fields: &[String]) -> Result<Self> {
        let csv = CsvLayout {
            // Checked to be ASCII.
            separator: layout.separator.map(|separator| separator as u8),
            quoted: layout.quoted,
            header: layout.header.is_none(),
            // Rows of another length are refused below, one by one, so that they can be skipped.
            flexible: true,
        };
        let mut rows = CsvRows::open(path, csv)?;
        let names = match &layout.header {
            Some(names) => names.clone(),
            None => rows.names()?,
        };
        let column = |field: &String| {
            names.iter().position(|name| name == field).ok_or_else(|| Error::UnknownColumn {
                path: path.to_owned(),
                field: field.clone(),
                columns: names.join(", "),
            })
        };
        let columns = fields.iter().map(column).collect::<Result<_>>()?;
        Ok(Self { path: path.to_owned(), rows, columns, names: names.len() })
    }

    /// Goes to the next row and gives its line; `None` after the last.
    ///
    /// # Errors
    /// Of the stream: nothing can be read after it.
    pub(super) fn advance(&mut self) -> Result<Option<u64>> {
        Ok(self.rows.advance()?.then(|| self.rows.line()))
    }

    /// The cells of the row.
    pub(super) fn cells(&self) -> Result<Vec<Cell<'_>>> {
        if self.rows.cells().len() != self.names {
            return Err(Error::Csv {
                path: self.path.clone(),
                line: self.rows.line(),
                reason: format!("expected {} columns, got {}", self.names, self.rows.cells().len()),
            });
        }
        let cell = |&column: &usize| {
            let bytes = self.rows.cells().get(column).unwrap_or_default();
            lines::utf8(bytes, &self.path, self.rows.line()).map(Cell::text)
        };
        self.columns.iter().map(cell).collect()
    }
}
