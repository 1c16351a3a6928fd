//! The records of one file of any layout, with the policy for bad ones.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::cells::{Cell, Row, at_path};
use super::config::TableLayout;
use super::table::TableRows;
use crate::records::{Place, RecordLines};
use crate::{OnError, Result, Skipped, lines};

enum Source {
    Json(RecordLines),
    Table(TableRows),
    #[cfg(feature = "parquet")]
    Parquet(super::parquet::ParquetRows),
}

/// The records of a file, and which of the fields were ever there.
pub(super) struct Rows {
    path: PathBuf,
    source: Source,
    fields: Vec<String>,
    present: Vec<bool>,
    on_error: OnError,
    skipped: Skipped,
    failed: bool,
}

impl Rows {
    /// Opens a file; its layout is told by its first bytes unless it is said to be a table.
    pub(super) fn open(
        path: &Path,
        table: Option<&TableLayout>,
        fields: &[String],
        on_error: OnError,
    ) -> Result<Self> {
        let source = match table {
            Some(layout) => Source::Table(TableRows::open(path, layout, fields)?),
            None => match layout(path)? {
                Layout::Json => Source::Json(RecordLines::open(path, on_error)?),
                Layout::Table => Source::Table(TableRows::open(path, &TableLayout::default(), fields)?),
                Layout::Parquet => open_parquet(path, fields)?,
            },
        };
        // `history[].item`, as fields are printed by `inspect`, is `history.item` here.
        let fields: Vec<String> = match &source {
            Source::Json(_) => fields.iter().map(|field| field.replace("[]", "")).collect(),
            _ => fields.to_vec(),
        };
        Ok(Self {
            path: path.to_owned(),
            source,
            present: vec![false; fields.len()],
            fields,
            on_error,
            skipped: Skipped::default(),
            failed: false,
        })
    }

    /// The records that were left out so far.
    pub(super) fn skipped(&self) -> &Skipped {
        match &self.source {
            Source::Json(lines) => lines.skipped(),
            _ => &self.skipped,
        }
    }

    /// For each field, whether any record had it.
    pub(super) fn present(&self) -> &[bool] {
        &self.present
    }

    /// What `read` makes of the next record that can be read.
    pub(super) fn next_with<T>(&mut self, mut read: impl FnMut(Row<'_>) -> Result<T>) -> Option<Result<T>> {
        let (fields, present) = (&self.fields, &mut self.present);
        let mut of_cells = |cells: &[Cell<'_>], place: Place<'_>| {
            for (present, cell) in present.iter_mut().zip(cells) {
                *present |= *cell != Cell::Absent;
            }
            read(Row { cells, fields, place })
        };
        if let Source::Json(lines) = &mut self.source {
            return lines.next_with(|text, place| {
                let value: Value = place.json(text)?;
                let cells: Vec<Cell<'_>> = fields.iter().map(|field| at_path(&value, field)).collect();
                of_cells(&cells, place)
            });
        }
        while !self.failed {
            let line = match &mut self.source {
                Source::Json(_) => return None,
                Source::Table(table) => table.advance(),
                #[cfg(feature = "parquet")]
                Source::Parquet(rows) => rows.advance(),
            };
            let line = match line {
                Ok(line) => line?,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            };
            let cells = match &self.source {
                Source::Json(_) => return None,
                Source::Table(table) => table.cells(),
                #[cfg(feature = "parquet")]
                Source::Parquet(rows) => rows.cells(),
            };
            match cells.and_then(|cells| of_cells(&cells, Place { path: &self.path, line })) {
                Ok(record) => return Some(Ok(record)),
                Err(error) if self.on_error == OnError::Skip => self.skipped.add(&error),
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

enum Layout {
    Json,
    Table,
    Parquet,
}

fn layout(path: &Path) -> Result<Layout> {
    let mut stream = lines::open_stream(path)?.reader;
    let head = stream.fill_buf().map_err(|source| lines::stream_error(path.to_owned(), 0, source))?;
    if head.starts_with(b"PAR1") {
        return Ok(Layout::Parquet);
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    Ok(if head.starts_with(b"{") { Layout::Json } else { Layout::Table })
}

#[cfg(feature = "parquet")]
fn open_parquet(path: &Path, fields: &[String]) -> Result<Source> {
    Ok(Source::Parquet(super::parquet::ParquetRows::open(path, fields)?))
}

#[cfg(not(feature = "parquet"))]
fn open_parquet(path: &Path, _: &[String]) -> Result<Source> {
    Err(crate::Error::NeedsFeature { path: path.to_owned(), what: "a Parquet file", feature: "parquet" })
}
