//! Reading safetensors strictly: nothing missing, nothing surplus, nothing mis-shaped.
//!
//! Only the header of each file is kept; a tensor's bytes are read when it is asked for, so that opening a
//! checkpoint of any size is cheap and loading never holds the weights twice.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use tch::{Kind, Tensor, nn};

use crate::{Error, Result, TensorRows};

/// An opened checkpoint: the names, shapes and places of its tensors.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    file: PathBuf,
    dtype: Dtype,
    shape: Vec<i64>,
    /// Bytes from the start of the file.
    start: u64,
    bytes: usize,
}

/// What to do with stored tensors that no variable takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surplus<'a> {
    /// Refuse the checkpoint.
    Refuse,
    /// Refuse it unless every surplus tensor is named here.
    Allow(&'a [&'a str]),
}

impl Checkpoint {
    /// Opens a safetensors file, or a folder with `model.safetensors` or with `model.safetensors.index.json` and
    /// the shards it names.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`], [`Error::Io`], [`Error::CorruptCheckpoint`] (not safetensors, or cut short),
    /// [`Error::CorruptIndex`], [`Error::DuplicateTensor`].
    pub fn open(path: &Path) -> Result<Self> {
        let mut checkpoint = Self { path: path.to_owned(), entries: BTreeMap::new() };
        if !path.is_dir() {
            checkpoint.read_header(path)?;
            return Ok(checkpoint);
        }
        let single = path.join("model.safetensors");
        let index = path.join("model.safetensors.index.json");
        if single.exists() {
            checkpoint.path = single.clone();
            checkpoint.read_header(&single)?;
        } else if index.exists() {
            checkpoint.path = index.clone();
            let listed = read_index(&index)?;
            for shard in listed.values().collect::<std::collections::BTreeSet<_>>() {
                checkpoint.read_header(&path.join(shard))?;
            }
            for (tensor, shard) in &listed {
                match checkpoint.entries.get(tensor) {
                    Some(entry) if entry.file == path.join(shard) => {}
                    _ => return Err(Error::MissingTensor { tensor: tensor.clone(), path: path.join(shard) }),
                }
            }
        } else {
            return Err(Error::NoCheckpoint { folder: path.to_owned() });
        }
        Ok(checkpoint)
    }

    /// The stored names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether a tensor of this name is stored.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The stored shape of a tensor, if there is one of this name.
    pub fn shape(&self, name: &str) -> Option<&[i64]> {
        self.entries.get(name).map(|entry| entry.shape.as_slice())
    }

    /// Reads one tensor onto the CPU in its stored number type.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::ShapeMismatch`], [`Error::UnsupportedDtype`], [`Error::NonFinite`] (a
    /// weight is NaN or infinite), [`Error::Io`].
    pub fn tensor(&self, name: &str, expected: &[i64]) -> Result<Tensor> {
        let (entry, kind) = self.find(name, expected)?;
        let io = |source| Error::Io { action: "read", path: entry.file.clone(), source };
        let mut file = File::open(&entry.file).map_err(io)?;
        file.seek(SeekFrom::Start(entry.start)).map_err(io)?;
        let mut bytes = vec![0u8; entry.bytes];
        file.read_exact(&mut bytes).map_err(io)?;
        let torch = |source| Error::Torch { action: "build a tensor", source };
        let tensor = Tensor::f_from_data_size(&bytes, expected, kind).map_err(torch)?;
        let is_float = matches!(kind, Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16);
        if is_float && tensor.f_isfinite().and_then(|t| t.f_all()?.f_int64_value(&[])).map_err(torch)? == 0 {
            return Err(Error::NonFinite { tensor: name.to_owned(), path: entry.file.clone() });
        }
        Ok(tensor)
    }

    /// Opens one tensor, `[rows, …]`, for reading a few of its rows at a time.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::ShapeMismatch`], also for a tensor without rows, [`Error::UnsupportedDtype`],
    /// [`Error::Io`].
    pub fn rows(&self, name: &str, expected: &[i64]) -> Result<TensorRows> {
        let (entry, kind) = self.find(name, expected)?;
        let [rows, row_shape @ ..] = expected else {
            return Err(Error::ShapeMismatch {
                tensor: name.to_owned(),
                path: entry.file.clone(),
                expected: vec![-1],
                got: Vec::new(),
            });
        };
        TensorRows::open(&entry.file, name, kind, entry.start, *rows, row_shape)
    }

    fn find(&self, name: &str, expected: &[i64]) -> Result<(&Entry, Kind)> {
        let Some(entry) = self.entries.get(name) else {
            return Err(Error::MissingTensor { tensor: name.to_owned(), path: self.path.clone() });
        };
        if entry.shape != expected {
            return Err(Error::ShapeMismatch {
                tensor: name.to_owned(),
                path: entry.file.clone(),
                expected: expected.to_vec(),
                got: entry.shape.clone(),
            });
        }
        let kind = kind_of(entry.dtype).ok_or_else(|| Error::UnsupportedDtype {
            tensor: name.to_owned(),
            path: entry.file.clone(),
            dtype: format!("{:?}", entry.dtype),
        })?;
        Ok((entry, kind))
    }

    /// Fills every variable of `vs` from the tensor that `stored_name(variable name)` names.
    ///
    /// Values are converted to the number type of the variable, which the caller chose when making it. On an
    /// error some variables may have been filled already; the store is then not to be used.
    ///
    /// # Errors
    /// Those of [`Checkpoint::tensor`], and [`Error::SurplusTensors`] if stored tensors are left over that
    /// `surplus` does not allow.
    pub fn load_into(
        &self,
        vs: &nn::VarStore,
        stored_name: impl Fn(&str) -> String,
        surplus: Surplus<'_>,
    ) -> Result<()> {
        let mut variables: Vec<(String, Tensor)> = vs.variables().into_iter().collect();
        variables.sort_by(|a, b| a.0.cmp(&b.0));
        let wanted: Vec<String> = variables.iter().map(|(name, _)| stored_name(name)).collect();
        self.check_surplus(|name| wanted.iter().any(|w| w == name), surplus)?;
        for ((_, variable), stored) in variables.iter_mut().zip(&wanted) {
            let value = self.tensor(stored, &variable.size())?;
            tch::no_grad(|| variable.f_copy_(&value))
                .map_err(|source| Error::Torch { action: "copy a tensor into a variable", source })?;
        }
        Ok(())
    }

    /// Refuses the checkpoint if it holds tensors for which `taken` is false and that `surplus` does not allow.
    ///
    /// # Errors
    /// [`Error::SurplusTensors`] with their names.
    pub fn check_surplus(&self, taken: impl Fn(&str) -> bool, surplus: Surplus<'_>) -> Result<()> {
        let allowed: &[&str] = match surplus {
            Surplus::Refuse => &[],
            Surplus::Allow(names) => names,
        };
        let left: Vec<String> =
            self.names().filter(|name| !taken(name) && !allowed.contains(name)).map(str::to_owned).collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(Error::SurplusTensors { path: self.path.clone(), tensors: left })
    }

    fn read_header(&mut self, path: &Path) -> Result<()> {
        let io = |source| Error::Io { action: "read", path: path.to_owned(), source };
        let corrupt = |reason: String| Error::CorruptCheckpoint { path: path.to_owned(), reason };
        let mut file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut prefix = [0u8; 8];
        if length < 8 {
            return Err(corrupt(format!("it has {length} bytes, too few for a header")));
        }
        file.read_exact(&mut prefix).map_err(io)?;
        let header_bytes = u64::from_le_bytes(prefix);
        if header_bytes > length - 8 {
            return Err(corrupt(format!("its header claims {header_bytes} bytes of {length}")));
        }
        let mut header = vec![0u8; header_bytes as usize];
        file.read_exact(&mut header).map_err(io)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| corrupt(format!("its header: {error}")))?;
        let expected = 8 + header_bytes + metadata.data_len() as u64;
        if expected != length {
            return Err(corrupt(format!("it has {length} bytes, its header implies {expected}")));
        }
        for (name, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            let bytes = info.shape.iter().try_fold(info.dtype.bitsize(), |bits, &n| bits.checked_mul(n));
            if bytes.is_none_or(|bits| bits % 8 != 0 || end.checked_sub(start) != Some(bits / 8))
                || end as u64 > length - 8 - header_bytes
            {
                return Err(corrupt(format!("tensor {name} does not fill the bytes {start}..{end}")));
            }
            let entry = Entry {
                file: path.to_owned(),
                dtype: info.dtype,
                shape: info.shape.iter().map(|&n| n as i64).collect(),
                start: 8 + header_bytes + start as u64,
                bytes: end - start,
            };
            if let Some(first) = self.entries.insert(name.clone(), entry) {
                return Err(Error::DuplicateTensor {
                    tensor: name,
                    first: first.file,
                    second: path.to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// The `weight_map` of a shard index: tensor name → shard file name.
fn read_index(path: &Path) -> Result<BTreeMap<String, String>> {
    let corrupt = |reason: String| Error::CorruptIndex { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| corrupt(error.to_string()))?;
    let map = value
        .get("weight_map")
        .and_then(|map| map.as_object())
        .ok_or_else(|| corrupt("field weight_map is missing or not an object".into()))?;
    map.iter()
        .map(|(tensor, shard)| {
            let shard =
                shard.as_str().ok_or_else(|| corrupt(format!("weight_map.{tensor} is not a string")))?;
            // A shard lies beside its index; anything else would read files that the user did not name.
            if Path::new(shard).file_name().is_none_or(|name| name != shard) {
                return Err(corrupt(format!("weight_map.{tensor} is not a plain file name: {shard}")));
            }
            Ok((tensor.clone(), shard.to_owned()))
        })
        .collect()
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F64 => Kind::Double,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        _ => return None,
    })
}
