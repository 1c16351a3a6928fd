//! What can go wrong between a file or a device and a tensor. Causes are data; wording lives in one place.

use std::path::PathBuf;

/// The result of everything fallible in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed load, save or placement. The variant says what failed and carries what a caller needs to react.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `rename`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A folder holds no checkpoint in a format that is read here.
    #[error(
        "no checkpoint in {}: expected model.safetensors or model.safetensors.index.json \
         (convert other formats to safetensors first)",
        folder.display()
    )]
    NoCheckpoint {
        /// The folder that was searched.
        folder: PathBuf,
    },
    /// A file that should be a safetensors file is not one, or is cut short.
    #[error("{} is not a complete safetensors file: {reason}", path.display())]
    CorruptCheckpoint {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A file that should be one of NumPy's arrays is none, or is cut short.
    #[error("{} is no array of NumPy's that can be read: {reason}", path.display())]
    Npy {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The shard index of a split checkpoint cannot be used.
    #[error("{} is not a usable shard index: {reason}", path.display())]
    CorruptIndex {
        /// The index file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// Two shards hold a tensor of the same name.
    #[error("tensor {tensor} stands in both {} and {}", first.display(), second.display())]
    DuplicateTensor {
        /// The tensor.
        tensor: String,
        /// The shard that was read first.
        first: PathBuf,
        /// The shard that repeats it.
        second: PathBuf,
    },
    /// A tensor that the model needs is not in the checkpoint.
    #[error("tensor {tensor} is missing from {}", path.display())]
    MissingTensor {
        /// The stored name that was looked for.
        tensor: String,
        /// The checkpoint.
        path: PathBuf,
    },
    /// A tensor has another shape than the model expects.
    #[error("tensor {tensor} in {} has shape {got:?}, expected {expected:?}", path.display())]
    ShapeMismatch {
        /// The tensor.
        tensor: String,
        /// The file.
        path: PathBuf,
        /// What the model's configuration implies.
        expected: Vec<i64>,
        /// What is stored.
        got: Vec<i64>,
    },
    /// A tensor that is written row by row got more or fewer rows than it was declared with.
    #[error("tensor {tensor} of {} got {got} rows, expected {expected}", path.display())]
    RowCount {
        /// The tensor.
        tensor: String,
        /// The file.
        path: PathBuf,
        /// Rows that were given.
        got: i64,
        /// Rows that were declared.
        expected: i64,
    },
    /// A row was asked for that a tensor does not have.
    #[error("row {row} of tensor {tensor} in {} does not exist, it has {rows} rows", path.display())]
    RowOutOfRange {
        /// The tensor.
        tensor: String,
        /// The file.
        path: PathBuf,
        /// The row.
        row: i64,
        /// How many there are.
        rows: i64,
    },
    /// The checkpoint holds tensors that nothing in the model takes.
    #[error("{} holds tensors that the model does not know: {}", path.display(), tensors.join(", "))]
    SurplusTensors {
        /// The checkpoint.
        path: PathBuf,
        /// Their names, sorted.
        tensors: Vec<String>,
    },
    /// A weight is NaN or infinite.
    #[error("tensor {tensor} in {} holds a value that is not finite", path.display())]
    NonFinite {
        /// The tensor.
        tensor: String,
        /// The file.
        path: PathBuf,
    },
    /// A stored number type has no counterpart in libtorch.
    #[error("tensor {tensor} in {} is stored as {dtype}, which is not supported", path.display())]
    UnsupportedDtype {
        /// The tensor.
        tensor: String,
        /// The file.
        path: PathBuf,
        /// The stored type.
        dtype: String,
    },
    /// A device name is not `auto`, `cpu`, `cuda` or `cuda:N`.
    #[error("unknown device {given:?}: expected auto, cpu, cuda or cuda:N")]
    UnknownDevice {
        /// What was given.
        given: String,
    },
    /// A precision name is not `f32`, `bf16` or `f16`.
    #[error("unknown precision {given:?}: expected f32, bf16 or f16")]
    UnknownPrecision {
        /// What was given.
        given: String,
    },
    /// CUDA was asked for and cannot be used.
    #[error("cuda:{index} was asked for but cannot be used: {reason}")]
    CudaUnavailable {
        /// The device number.
        index: usize,
        /// Why, and what to do.
        reason: String,
    },
    /// A slice and a shape do not have the same number of elements.
    #[error("{got} values do not fill shape {shape:?}")]
    ElementCount {
        /// The shape.
        shape: Vec<i64>,
        /// How many values were given.
        got: usize,
    },
    /// libtorch itself reported an error.
    #[error("libtorch failed to {action}")]
    Torch {
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: tch::TchError,
    },
}
