//! The rows of a table, with the columns that a mapping asks for.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::cells::Cell;
use super::config::TableLayout;
use crate::lines;
use crate::table::csv_error;
use crate::{Error, Result};

/// A table that is read row by row.
pub(super) struct TableRows {
    path: PathBuf,
    reader: csv::Reader<Box<dyn BufRead + Send>>,
    record: csv::ByteRecord,
    /// The column of each field.
    columns: Vec<usize>,
    names: usize,
    /// Rows begin on this line where the reader does not say.
    line: u64,
}

impl TableRows {
    /// # Errors
    /// [`Error::UnknownColumn`] for a field that is no column; those of reading the header.
    pub(super) fn open(path: &Path, layout: &TableLayout, fields: &[String]) -> Result<Self> {
        let mut stream = lines::open_stream(path)?.reader;
        let head = stream.fill_buf().map_err(|source| lines::stream_error(path.to_owned(), 0, source))?;
        let first = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let separator = match layout.separator {
            // Checked to be ASCII.
            Some(separator) => separator as u8,
            None if first.contains(&b'\t') => b'\t',
            None => b',',
        };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .quoting(layout.quoted)
            .has_headers(layout.header.is_none())
            // Rows of another length are refused below, one by one, so that they can be skipped.
            .flexible(true)
            .from_reader(stream);
        let names: Vec<String> = match &layout.header {
            Some(names) => names.clone(),
            None => {
                let header = reader.byte_headers().map_err(|error| csv_error(error, path))?;
                let name = |name: &[u8]| {
                    String::from_utf8_lossy(name).trim_start_matches('\u{feff}').trim().to_owned()
                };
                header.iter().map(name).collect()
            }
        };
        let column = |field: &String| {
            names.iter().position(|name| name == field).ok_or_else(|| Error::UnknownColumn {
                path: path.to_owned(),
                field: field.clone(),
                columns: names.join(", "),
            })
        };
        let columns = fields.iter().map(column).collect::<Result<_>>()?;
        Ok(Self {
            path: path.to_owned(),
            reader,
            record: csv::ByteRecord::new(),
            columns,
            names: names.len(),
            line: 0,
        })
    }

    /// Goes to the next row and gives its line; `None` after the last.
    ///
    /// # Errors
    /// Of the stream: nothing can be read after it.
    pub(super) fn advance(&mut self) -> Result<Option<u64>> {
        match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => Ok(None),
            Ok(true) => {
                self.line = self.record.position().map_or(self.line + 1, csv::Position::line);
                Ok(Some(self.line))
            }
            Err(error) => Err(csv_error(error, &self.path)),
        }
    }

    /// The cells of the row.
    pub(super) fn cells(&self) -> Result<Vec<Cell<'_>>> {
        if self.record.len() != self.names {
            return Err(Error::Csv {
                path: self.path.clone(),
                line: self.line,
                reason: format!("expected {} columns, got {}", self.names, self.record.len()),
            });
        }
        let cell = |&column: &usize| {
            let bytes = self.record.get(column).unwrap_or_default();
            lines::utf8(bytes, &self.path, self.line).map(Cell::text)
        };
        self.columns.iter().map(cell).collect()
    }
}
