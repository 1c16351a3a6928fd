//! Writing safetensors: whole tensors at once, or rows as they come.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

/// Writes named tensors and string metadata as one safetensors file: to a temporary name first, then renamed, so
/// that a reader never sees half a file.
///
/// # Errors
/// [`Error::Io`], [`Error::UnsupportedDtype`], [`Error::Torch`].
pub fn save_tensors(path: &Path, tensors: &[(String, Tensor)], metadata: &[(&str, &str)]) -> Result<()> {
    let shapes: Vec<Vec<i64>> = tensors.iter().map(|(_, tensor)| tensor.size()).collect();
    let declared: Vec<(&str, Kind, &[i64])> = tensors
        .iter()
        .zip(&shapes)
        .map(|((name, tensor), shape)| (name.as_str(), tensor.kind(), shape.as_slice()))
        .collect();
    let mut writer = TensorWriter::create(path, &declared, metadata)?;
    for (name, tensor) in tensors {
        writer.append(name, tensor)?;
    }
    writer.finish()
}

/// A safetensors file whose tensors are known by name, type and shape, and whose rows come in blocks: tables that do not
/// fit into memory can be written.
///
/// The file has a temporary name until [`TensorWriter::finish`]; a writer that is dropped before leaves nothing.
#[derive(Debug)]
pub struct TensorWriter {
    file: File,
    path: PathBuf,
    temporary: PathBuf,
    places: BTreeMap<String, Place>,
    finished: bool,
}

#[derive(Debug)]
struct Place {
    kind: Kind,
    shape: Vec<i64>,
    /// Bytes from the start of the file.
    start: u64,
    rows_written: i64,
}

impl Place {
    /// A scalar is one row.
    fn rows(&self) -> i64 {
        self.shape.first().copied().unwrap_or(1)
    }

    fn row_shape(&self) -> &[i64] {
        self.shape.get(1..).unwrap_or(&[])
    }

    fn row_bytes(&self) -> usize {
        self.row_shape().iter().product::<i64>() as usize * self.kind.elt_size_in_bytes()
    }
}

impl TensorWriter {
    /// Starts a file of the given tensors: name, number type, shape.
    ///
    /// # Errors
    /// [`Error::UnsupportedDtype`]; [`Error::Io`] if the file cannot be made, or the names are not distinct.
    pub fn create(path: &Path, tensors: &[(&str, Kind, &[i64])], metadata: &[(&str, &str)]) -> Result<Self> {
        let mut declared = Vec::with_capacity(tensors.len());
        for &(name, kind, shape) in tensors {
            let dtype = dtype_of(kind).ok_or_else(|| Error::UnsupportedDtype {
                tensor: name.to_owned(),
                path: path.to_owned(),
                dtype: format!("{kind:?}"),
            })?;
            declared.push((name, dtype, kind, shape));
        }
        // The widest numbers come first, so that every tensor lies where other programs may map its numbers.
        declared.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let mut end = 0;
        let mut infos = Vec::with_capacity(declared.len());
        for &(name, dtype, kind, shape) in &declared {
            let start = end;
            end += shape.iter().product::<i64>() as usize * kind.elt_size_in_bytes();
            let shape = shape.iter().map(|&n| n as usize).collect();
            infos.push((name.to_owned(), TensorInfo { dtype, shape, data_offsets: (start, end) }));
        }
        let starts: Vec<usize> = infos.iter().map(|(_, info)| info.data_offsets.0).collect();
        let header = header(metadata, infos).map_err(io("write", path))?;

        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let mut file = File::create(&temporary).map_err(io("write", &temporary))?;
        file.write_all(&header).map_err(io("write", &temporary))?;
        file.set_len((header.len() + end) as u64).map_err(io("write", &temporary))?;
        let places = declared
            .iter()
            .zip(starts)
            .map(|(&(name, _, kind, shape), start)| {
                let start = (header.len() + start) as u64;
                (name.to_owned(), Place { kind, shape: shape.to_vec(), start, rows_written: 0 })
            })
            .collect();
        Ok(Self { file, path: path.to_owned(), temporary, places, finished: false })
    }

    /// Writes the next rows of a tensor, in the number type that it was declared with.
    ///
    /// # Errors
    /// [`Error::MissingTensor`] for a name that was not declared, [`Error::ShapeMismatch`] for rows of another shape,
    /// [`Error::RowCount`] for more rows than were declared, [`Error::Io`], [`Error::Torch`].
    pub fn append(&mut self, name: &str, rows: &Tensor) -> Result<()> {
        let Some(place) = self.places.get_mut(name) else {
            return Err(Error::MissingTensor { tensor: name.to_owned(), path: self.path.clone() });
        };
        let given = rows.size();
        if given.get(1..).unwrap_or(&[]) != place.row_shape() || given.len() != place.shape.len() {
            return Err(Error::ShapeMismatch {
                tensor: name.to_owned(),
                path: self.path.clone(),
                expected: place.shape.clone(),
                got: given,
            });
        }
        let total = place.rows_written + given.first().copied().unwrap_or(1);
        if total > place.rows() {
            return Err(row_count(name, &self.path, total, place.rows()));
        }
        let torch = |source| Error::Torch { action: "copy a tensor to the host", source };
        let host = rows
            .detach()
            .f_to_device(Device::Cpu)
            .and_then(|t| t.f_to_kind(place.kind))
            .and_then(|t| t.f_contiguous())
            .map_err(torch)?;
        let mut bytes = vec![0u8; host.numel() * place.kind.elt_size_in_bytes()];
        host.f_copy_data_u8(&mut bytes, host.numel()).map_err(torch)?;
        let position = place.start + place.rows_written as u64 * place.row_bytes() as u64;
        self.file
            .seek(SeekFrom::Start(position))
            .and_then(|_| self.file.write_all(&bytes))
            .map_err(io("write", &self.temporary))?;
        place.rows_written = total;
        Ok(())
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// [`Error::RowCount`] if rows of a tensor are missing, [`Error::Io`].
    pub fn finish(mut self) -> Result<()> {
        for (name, place) in &self.places {
            if place.rows_written != place.rows() {
                return Err(row_count(name, &self.path, place.rows_written, place.rows()));
            }
        }
        fs::rename(&self.temporary, &self.path).map_err(io("rename a temporary file to", &self.path))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for TensorWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing is lost with half a file, and nobody is there to be told.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn row_count(tensor: &str, path: &Path, got: i64, expected: i64) -> Error {
    Error::RowCount { tensor: tensor.to_owned(), path: path.to_owned(), got, expected }
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}

/// Length and JSON, padded with spaces so that the data begin at a multiple of eight bytes.
fn header(metadata: &[(&str, &str)], infos: Vec<(String, TensorInfo)>) -> std::io::Result<Vec<u8>> {
    let metadata: Option<HashMap<String, String>> = (!metadata.is_empty())
        .then(|| metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
    let metadata = Metadata::new(metadata, infos).map_err(std::io::Error::other)?;
    let mut json = serde_json::to_vec(&metadata)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    Ok(header)
}

fn dtype_of(kind: Kind) -> Option<Dtype> {
    Some(match kind {
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        Kind::Half => Dtype::F16,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Int64 => Dtype::I64,
        Kind::Int => Dtype::I32,
        Kind::Int16 => Dtype::I16,
        Kind::Int8 => Dtype::I8,
        Kind::Uint8 => Dtype::U8,
        Kind::Bool => Dtype::BOOL,
        _ => return None,
    })
}
