//! Rows of a Parquet file, with the columns that a mapping asks for.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use super::cells::Cell;
use crate::parquet_fence::fenced;
use crate::{Error, Result};

/// A Parquet file that is read row by row; memory is bounded by the pages of the columns that are asked for.
pub(super) struct ParquetRows {
    path: PathBuf,
    rows: RowIter<'static>,
    row: Option<Row>,
    fields: Vec<String>,
    number: u64,
}

impl ParquetRows {
    /// # Errors
    /// [`Error::Io`], [`Error::Parquet`]; [`Error::UnknownColumn`] for a field that is no column.
    pub(super) fn open(path: &Path, fields: &[String]) -> Result<Self> {
        let file =
            File::open(path).map_err(|source| Error::Io { action: "open", path: path.to_owned(), source })?;
        let fields: Vec<String> = fields
            .iter()
            // What writers of lists put between a list and its elements is no part of its path.
            .map(|field| field.replace("[]", ""))
            .collect();
        let rows = fenced(path, || {
            let reader = SerializedFileReader::new(file)?;
            let schema = reader.metadata().file_metadata().schema().clone();
            let wanted = columns(&schema, &fields);
            let Ok(wanted) = wanted else { return Ok(Err(wanted)) };
            let projection = Type::group_type_builder(schema.name()).with_fields(wanted).build()?;
            RowIter::from_file_into(Box::new(reader)).project(Some(projection)).map(Ok)
        })?;
        match rows {
            Ok(rows) => Ok(Self { path: path.to_owned(), rows, row: None, fields, number: 0 }),
            Err(missing) => {
                let (field, columns) = missing.err().unwrap_or_default();
                Err(Error::UnknownColumn { path: path.to_owned(), field, columns })
            }
        }
    }

    /// Goes to the next row and gives its number; `None` after the last.
    ///
    /// # Errors
    /// [`Error::Parquet`]; nothing can be read after it.
    pub(super) fn advance(&mut self) -> Result<Option<u64>> {
        let rows = &mut self.rows;
        self.row = fenced(&self.path, || rows.next().transpose())?;
        self.number += 1;
        Ok(self.row.is_some().then_some(self.number))
    }

    /// The cells of the row.
    #[expect(clippy::unnecessary_wraps, reason = "one shape for all sources")]
    pub(super) fn cells(&self) -> Result<Vec<Cell<'_>>> {
        let at = |field: &String| self.row.as_ref().map_or(Cell::Absent, |row| in_row(row, field));
        Ok(self.fields.iter().map(at).collect())
    }
}

/// The top columns that the fields stand in, or the field that stands in none, and the names that there are.
fn columns(schema: &Type, fields: &[String]) -> std::result::Result<Vec<Arc<Type>>, (String, String)> {
    let all = schema.get_fields();
    let stands_in = |field: &str, column: &Type| {
        field == column.name() || field.strip_prefix(column.name()).is_some_and(|rest| rest.starts_with('.'))
    };
    if let Some(field) = fields.iter().find(|field| !all.iter().any(|column| stands_in(field, column))) {
        let names: Vec<&str> = all.iter().map(|column| column.name()).collect();
        return Err((field.clone(), names.join(", ")));
    }
    let wanted = all.iter().filter(|column| fields.iter().any(|field| stands_in(field, column)));
    Ok(wanted.cloned().collect())
}

fn in_row<'a>(row: &'a Row, path: &str) -> Cell<'a> {
    let column = |name: &str| row.get_column_iter().find(|(known, _)| *known == name).map(|(_, field)| field);
    match column(path) {
        Some(field) => cell(field),
        None => match path.split_once('.') {
            Some((head, rest)) => column(head).map_or(Cell::Absent, |field| at_path(field, rest)),
            None => Cell::Absent,
        },
    }
}

fn at_path<'a>(field: &'a Field, path: &str) -> Cell<'a> {
    match field {
        Field::Group(row) => in_row(row, path),
        Field::ListInternal(list) => {
            let found = list.elements().iter().map(|element| at_path(element, path));
            Cell::List(found.filter(|cell| *cell != Cell::Absent).collect())
        }
        _ => Cell::Absent,
    }
}

fn cell(field: &Field) -> Cell<'_> {
    match field {
        Field::Null => Cell::Empty,
        Field::Bool(flag) => Cell::Flag(*flag),
        Field::Byte(number) => Cell::Integer((*number).into()),
        Field::Short(number) => Cell::Integer((*number).into()),
        Field::Int(number) => Cell::Integer((*number).into()),
        Field::Long(number) => Cell::Integer(*number),
        Field::UByte(number) => Cell::Integer((*number).into()),
        Field::UShort(number) => Cell::Integer((*number).into()),
        Field::UInt(number) => Cell::Integer((*number).into()),
        Field::ULong(number) => i64::try_from(*number).map_or(Cell::Float(*number as f64), Cell::Integer),
        Field::Float16(number) => Cell::Float(number.to_f64()),
        Field::Float(number) => Cell::Float((*number).into()),
        Field::Double(number) => Cell::Float(*number),
        Field::Decimal(_) => Cell::Text(Cow::Owned(field.to_string())),
        Field::Str(text) => Cell::text(text),
        // Older writers leave out that their bytes are text.
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data()).map_or(Cell::Other, Cell::text),
        Field::Date(days) => Cell::Time(i64::from(*days) * 86_400),
        Field::TimestampMillis(number) => Cell::Time(number.div_euclid(1_000)),
        Field::TimestampMicros(number) => Cell::Time(number.div_euclid(1_000_000)),
        Field::ListInternal(list) => Cell::List(list.elements().iter().map(cell).collect()),
        Field::TimeMillis(_) | Field::TimeMicros(_) | Field::Group(_) | Field::MapInternal(_) => Cell::Other,
    }
}
