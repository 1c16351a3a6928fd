//! Columns of Parquet files: optional and repeated values from and to the levels that the format stores them by.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::parquet_fence::fenced;
use crate::{Error, Result};

/// Rows that are encoded together; memory beside the data set is bounded by them.
const GROUP: usize = 1 << 18;

type Sink<'a> = &'a mut (dyn Write + Send);

/// Writes the rows of one table, a group of them at a time, whose columns `fill` adds in the order of `schema`.
pub(super) fn write_table<T>(
    out: Sink<'_>,
    schema: &str,
    rows: &[T],
    fill: impl Fn(&mut GroupWriter<'_, '_>, &[T]) -> std::result::Result<(), ParquetError>,
) -> std::io::Result<()> {
    let write = || {
        let schema = Arc::new(parse_message_type(schema)?);
        let compression = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut writer = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
        for rows in rows.chunks(GROUP) {
            let mut group = GroupWriter(writer.next_row_group()?);
            fill(&mut group, rows)?;
            group.0.close()?;
        }
        writer.close()?;
        Ok(())
    };
    write().map_err(|error: ParquetError| std::io::Error::other(error))
}

/// The columns of some rows, to be written one after the other.
pub(super) struct GroupWriter<'a, 'b>(SerializedRowGroupWriter<'a, Sink<'b>>);

impl GroupWriter<'_, '_> {
    /// A column with a value in each row.
    pub(super) fn required<D: DataType>(
        &mut self,
        values: impl Iterator<Item = D::T>,
    ) -> std::result::Result<(), ParquetError> {
        self.column::<D>(&values.collect::<Vec<_>>(), None, None)
    }

    /// A column with at most one value in each row.
    pub(super) fn optional<D: DataType>(
        &mut self,
        values: impl Iterator<Item = Option<D::T>>,
    ) -> std::result::Result<(), ParquetError> {
        let mut defined = Vec::new();
        let there = values.inspect(|value| defined.push(i16::from(value.is_some()))).flatten();
        let there: Vec<_> = there.collect();
        self.column::<D>(&there, Some(&defined), None)
    }

    /// A column with any number of values in each row.
    pub(super) fn lists<D: DataType>(
        &mut self,
        rows: impl Iterator<Item = Vec<D::T>>,
    ) -> std::result::Result<(), ParquetError> {
        let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            defined.extend(std::iter::repeat_n(1, row.len()));
            repeated.extend((0..row.len()).map(|at| i16::from(at > 0)));
            if row.is_empty() {
                defined.push(0);
                repeated.push(0);
            }
            values.extend(row);
        }
        self.column::<D>(&values, Some(&defined), Some(&repeated))
    }

    fn column<D: DataType>(
        &mut self,
        values: &[D::T],
        defined: Option<&[i16]>,
        repeated: Option<&[i16]>,
    ) -> std::result::Result<(), ParquetError> {
        let column = self.0.next_column()?;
        let mut column =
            column.ok_or_else(|| ParquetError::General("more columns than the schema has".into()))?;
        column.typed::<D>().write_batch(values, defined, repeated)?;
        column.close()
    }
}

/// A file that is read group by group.
pub(super) struct TableReader {
    path: PathBuf,
    reader: SerializedFileReader<File>,
}

impl TableReader {
    /// # Errors
    /// [`Error::Io`], [`Error::Parquet`].
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let file = File::open(&path);
        let file = file.map_err(|source| Error::Io { action: "open", path: path.clone(), source })?;
        let reader = fenced(&path, || SerializedFileReader::new(file))?;
        Ok(Self { path, reader })
    }

    /// Gives every group of rows to `each`.
    ///
    /// # Errors
    /// [`Error::Parquet`]; those of `each`.
    pub(super) fn each_group(&self, mut each: impl FnMut(&GroupReader<'_>) -> Result<()>) -> Result<()> {
        for index in 0..self.reader.num_row_groups() {
            let group = fenced(&self.path, || self.reader.get_row_group(index))?;
            let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            each(&GroupReader { path: &self.path, group, rows })?;
        }
        Ok(())
    }
}

/// The columns of some rows.
pub(super) struct GroupReader<'a> {
    pub(super) path: &'a Path,
    group: Box<dyn RowGroupReader + 'a>,
    rows: usize,
}

/// What a column stores: its values, and how they lie in rows.
struct Levels<T> {
    values: Vec<T>,
    defined: Vec<i16>,
    repeated: Vec<i16>,
}

impl GroupReader<'_> {
    /// Whether there is a column of that name.
    pub(super) fn has(&self, column: &str) -> bool {
        self.group.metadata().schema_descr().columns().iter().any(|known| known.path().string() == column)
    }

    /// A column with a value in each row.
    ///
    /// # Errors
    /// [`Error::Parquet`], for a missing column or one of another type as well.
    pub(super) fn required<D: DataType>(&self, column: &str) -> Result<Vec<D::T>> {
        Ok(self.levels::<D>(column, (0, 0))?.values)
    }

    /// A column with at most one value in each row.
    ///
    /// # Errors
    /// As [`GroupReader::required`].
    pub(super) fn optional<D: DataType>(&self, column: &str) -> Result<Vec<Option<D::T>>> {
        let levels = self.levels::<D>(column, (1, 0))?;
        let mut values = levels.values.into_iter();
        Ok(levels.defined.iter().map(|defined| if *defined == 1 { values.next() } else { None }).collect())
    }

    /// A column with any number of values in each row.
    ///
    /// # Errors
    /// As [`GroupReader::required`].
    pub(super) fn lists<D: DataType>(&self, column: &str) -> Result<Vec<Vec<D::T>>> {
        let levels = self.levels::<D>(column, (1, 1))?;
        let mut values = levels.values.into_iter();
        let mut rows: Vec<Vec<D::T>> = Vec::new();
        for (defined, repeated) in levels.defined.iter().zip(&levels.repeated) {
            if *repeated == 0 {
                rows.push(Vec::new());
            }
            if let (1, Some(row)) = (*defined, rows.last_mut()) {
                row.extend(values.next());
            }
        }
        Ok(rows)
    }

    fn levels<D: DataType>(&self, column: &str, expected: (i16, i16)) -> Result<Levels<D::T>> {
        fenced(self.path, || {
            let schema = self.group.metadata().schema_descr_ptr();
            let columns = schema.columns();
            let at = columns.iter().position(|known| known.path().string() == column);
            let at = at.ok_or_else(|| ParquetError::General(format!("there is no column {column}")))?;
            let other = || ParquetError::General(format!("the column {column} is of another type"));
            if (columns[at].max_def_level(), columns[at].max_rep_level()) != expected {
                return Err(other());
            }
            let mut reader: ColumnReaderImpl<D> =
                D::get_column_reader(self.group.get_column_reader(at)?).ok_or_else(other)?;
            let mut levels = Levels { values: Vec::new(), defined: Vec::new(), repeated: Vec::new() };
            let mut rows = 0;
            while rows < self.rows {
                let defined = (expected.0 > 0).then_some(&mut levels.defined);
                let repeated = (expected.1 > 0).then_some(&mut levels.repeated);
                let (read, ..) =
                    reader.read_records(self.rows - rows, defined, repeated, &mut levels.values)?;
                if read == 0 {
                    let reason = format!("the column {column} ends after {rows} of {} rows", self.rows);
                    return Err(ParquetError::General(reason));
                }
                rows += read;
            }
            Ok(levels)
        })
    }
}
