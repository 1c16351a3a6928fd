//! Item tables on disk: written block by block, read whole or by rows.

use std::path::Path;

use regen_torch::{Checkpoint, TensorWriter, tensor_from_f32};
use tch::{Kind, Tensor};

use crate::tables::{check_values, present_name};
use crate::{ItemTable, ItemTables, Result};

/// How the numbers of a table are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableNumbers {
    /// Four bytes a number.
    F32,
    /// Two bytes a number, with three decimal digits; nothing beyond ±65504 can be stored.
    F16,
}

/// Where the vectors of opened tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TablePlace {
    /// Read whole, as `f32`, onto the narrator's device. Such tables can be trained.
    Memory,
    /// Left in the file: rows are read when a request names them.
    Disk,
}

/// Writes the tables of a catalogue of any size, `[items, dim]` a side, as one safetensors file that
/// [`ItemTables::open`] reads. The file appears when it is whole.
#[derive(Debug)]
pub struct ItemTableWriter {
    writer: TensorWriter,
    kind: Kind,
    cf: Progress,
    semantic: Progress,
}

#[derive(Debug)]
struct Progress {
    name: &'static str,
    dim: usize,
    rows: usize,
}

impl ItemTableWriter {
    /// Starts a file. A side without a width is left out.
    ///
    /// # Errors
    /// [`regen_torch::Error::Io`].
    pub fn create(
        path: &Path,
        items: usize,
        cf_dim: Option<usize>,
        semantic_dim: Option<usize>,
        numbers: TableNumbers,
    ) -> Result<Self> {
        let kind = match numbers {
            TableNumbers::F32 => Kind::Float,
            TableNumbers::F16 => Kind::Half,
        };
        let sides = [("cf", cf_dim), ("semantic", semantic_dim)];
        let shapes = sides
            .into_iter()
            .filter_map(|(name, dim)| Some((name, present_name(name), [items as i64, dim? as i64])))
            .collect::<Vec<_>>();
        let mut declared: Vec<(&str, Kind, &[i64])> = Vec::with_capacity(4);
        for (name, present, shape) in &shapes {
            declared.push((name, kind, shape));
            declared.push((present, Kind::Bool, &shape[..1]));
        }
        let writer = TensorWriter::create(path, &declared, &[])?;
        let progress = |name, dim: Option<usize>| Progress { name, dim: dim.unwrap_or(0), rows: 0 };
        Ok(Self { writer, kind, cf: progress("cf", cf_dim), semantic: progress("semantic", semantic_dim) })
    }

    /// The next `present.len()` rows of the collaborative side; values of absent rows are not looked at.
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::Error::Mismatch) for a value that is not finite or does not fit the numbers;
    /// [`regen_torch::Error`] if there are not `dim` values a row, more rows than items, no such side, or for the disk.
    pub fn append_cf(&mut self, vectors: &[f32], present: &[bool]) -> Result<()> {
        append(&mut self.writer, self.kind, &mut self.cf, vectors, present)
    }

    /// The next `present.len()` rows of the semantic side.
    ///
    /// # Errors
    /// As [`ItemTableWriter::append_cf`].
    pub fn append_semantic(&mut self, vectors: &[f32], present: &[bool]) -> Result<()> {
        append(&mut self.writer, self.kind, &mut self.semantic, vectors, present)
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// [`regen_torch::Error::RowCount`] if rows are missing.
    pub fn finish(self) -> Result<()> {
        Ok(self.writer.finish()?)
    }
}

fn append(
    writer: &mut TensorWriter,
    kind: Kind,
    side: &mut Progress,
    vectors: &[f32],
    present: &[bool],
) -> Result<()> {
    let rows = tensor_from_f32(vectors, &[present.len() as i64, side.dim as i64])?;
    let largest = if kind == Kind::Half { 65504.0 } else { f32::MAX };
    check_values(vectors, side.dim, present, side.rows, largest)?;
    writer.append(side.name, &rows)?;
    writer.append(&present_name(side.name), &Tensor::f_from_slice(present)?)?;
    side.rows += present.len();
    Ok(())
}

impl ItemTables {
    /// Opens the tables of a file that [`ItemTableWriter`] or [`Narrator::save`](crate::Narrator::save) wrote.
    ///
    /// Of tables that stay on disk, nothing is read but which items are there; memory is taken for the rows of one batch at
    /// a time.
    ///
    /// # Errors
    /// [`regen_torch::Error`] for a file that is missing or damaged; [`Error::Mismatch`](crate::Error::Mismatch) if the
    /// sides have different numbers of rows or neither is there.
    pub fn open(path: &Path, place: TablePlace) -> Result<Self> {
        let checkpoint = Checkpoint::open(path)?;
        Self::new(read_side(&checkpoint, "cf", place)?, read_side(&checkpoint, "semantic", place)?)
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        /// Rows that are copied at once, so that tables larger than memory can be saved.
        const BLOCK: i64 = 1 << 16;
        let sides: Vec<_> = self
            .sides()
            .map(|(name, table)| (name, present_name(name), table, [self.items() as i64, table.dim()]))
            .collect();
        let mut declared: Vec<(&str, Kind, &[i64])> = Vec::with_capacity(4);
        for (name, present, table, shape) in &sides {
            declared.push((name, table.kind(), shape));
            declared.push((present, Kind::Bool, &shape[..1]));
        }
        let mut writer = TensorWriter::create(path, &declared, &[])?;
        for (name, present_name, table, [items, _]) in &sides {
            for first in (0..*items).step_by(BLOCK as usize) {
                let (vectors, present) = table.block(first, BLOCK.min(items - first))?;
                writer.append(name, &vectors)?;
                writer.append(present_name, &present)?;
            }
        }
        Ok(writer.finish()?)
    }
}

fn read_side(checkpoint: &Checkpoint, name: &str, place: TablePlace) -> Result<Option<ItemTable>> {
    let (items, dim) = match checkpoint.shape(name) {
        None => return Ok(None),
        Some(&[items, dim]) => (items, dim),
        // Refused by its shape.
        Some(_) => (-1, -1),
    };
    let present = checkpoint.tensor(&present_name(name), &[items])?.to_kind(Kind::Bool);
    Ok(Some(match place {
        TablePlace::Memory => {
            let vectors = checkpoint.tensor(name, &[items, dim])?.to_kind(Kind::Float);
            ItemTable::from_tensors(vectors, present)
        }
        TablePlace::Disk => ItemTable::stored(checkpoint.rows(name, &[items, dim])?, present),
    }))
}
