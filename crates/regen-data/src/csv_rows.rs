//! Rows of separated values, each with the line that it begins on.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use crate::{Error, Result, lines};

/// How a file of separated values is laid out.
#[derive(Clone, Copy)]
pub(crate) struct CsvLayout {
    /// `None`: a tab if the first line holds one, else a comma.
    pub(crate) separator: Option<u8>,
    /// Whether cells may be quoted.
    pub(crate) quoted: bool,
    /// Whether the first row names the columns.
    pub(crate) header: bool,
    /// Whether rows may have other numbers of cells than the first.
    pub(crate) flexible: bool,
}

impl Default for CsvLayout {
    /// As RFC 4180 has it, with a header.
    fn default() -> Self {
        Self { separator: None, quoted: true, header: true, flexible: false }
    }
}

/// A file that is read row by row.
pub(crate) struct CsvRows {
    path: PathBuf,
    reader: csv::Reader<Box<dyn BufRead + Send>>,
    record: csv::ByteRecord,
    /// Lines end in a carriage return and a line feed.
    returns: bool,
    line: u64,
}

impl CsvRows {
    /// # Errors
    /// [`Error::Io`] and the errors of compressed files.
    pub(crate) fn open(path: &Path, layout: CsvLayout) -> Result<Self> {
        let mut stream = lines::open_stream(path)?.reader;
        let head = stream.fill_buf().map_err(|source| lines::stream_error(path.to_owned(), 0, source))?;
        let first = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let separator = layout.separator.unwrap_or(if first.contains(&b'\t') { b'\t' } else { b',' });
        let returns = first.ends_with(b"\r");
        let reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .quoting(layout.quoted)
            .has_headers(layout.header)
            .flexible(layout.flexible)
            .from_reader(stream);
        Ok(Self { path: path.to_owned(), reader, record: csv::ByteRecord::new(), returns, line: 0 })
    }

    /// The names of the columns, without blanks around them.
    ///
    /// # Errors
    /// Of reading the first row.
    pub(crate) fn names(&mut self) -> Result<Vec<String>> {
        match self.reader.byte_headers() {
            Ok(header) => Ok(header
                .iter()
                .map(|name| String::from_utf8_lossy(name).trim_start_matches('\u{feff}').trim().to_owned())
                .collect()),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Goes to the next row and says whether there is one.
    ///
    /// # Errors
    /// Of the stream, after which nothing can be read, and [`Error::Csv`] for another number of cells than the first
    /// row has, where the layout forbids it.
    pub(crate) fn advance(&mut self) -> Result<bool> {
        match self.reader.read_byte_record(&mut self.record) {
            Ok(more) => {
                let position = self.record.position();
                self.line = position.map_or(self.line + 1, |position| self.line_of(position));
                Ok(more)
            }
            Err(error) => Err(self.error(error)),
        }
    }

    /// The line that the row begins on, counted from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The cells of the row.
    pub(crate) fn cells(&self) -> &csv::ByteRecord {
        &self.record
    }

    /// One cell as text without blanks around it; empty where the row is too short.
    ///
    /// # Errors
    /// For bytes that are no UTF-8.
    pub(crate) fn cell(&self, column: usize) -> Result<&str> {
        let bytes = self.record.get(column).unwrap_or_default();
        lines::utf8(bytes, &self.path, self.line).map(str::trim)
    }

    /// The parser counts a line feed after a carriage return to the row after it.
    fn line_of(&self, position: &csv::Position) -> u64 {
        position.line() + u64::from(self.returns && position.byte() > 0)
    }

    fn error(&self, error: csv::Error) -> Error {
        let path = self.path.clone();
        let line = error.position().map_or(1, |position| self.line_of(position));
        let reason = error.to_string();
        match error.into_kind() {
            csv::ErrorKind::Io(source) => lines::stream_error(path, line, source),
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                Error::Csv { path, line, reason: format!("expected {expected_len} columns, got {len}") }
            }
            _ => Error::Csv { path, line, reason },
        }
    }
}
