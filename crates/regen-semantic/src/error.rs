//! What can go wrong between a sentence-transformers folder and an embedding.

use std::path::PathBuf;

/// The result of everything fallible in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A refused folder, or a failed computation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A JSON file is damaged, or a field of it has an unexpected type.
    #[error("{} is not usable", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where, and what.
        #[source]
        source: serde_json::Error,
    },
    /// A setting that changes the embeddings is not implemented.
    #[error("{} sets {field} to {value}, which is not supported", path.display())]
    UnsupportedConfig {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// Its value.
        value: String,
    },
    /// A number is out of range, or contradicts another.
    #[error("{} sets {field} to {value}, expected {expected}", path.display())]
    InvalidConfig {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// Its value.
        value: String,
        /// What would be accepted.
        expected: String,
    },
    /// The tokenizer cannot be loaded or cannot encode.
    #[error("cannot {action} with {}", path.display())]
    Tokenizer {
        /// What was tried.
        action: &'static str,
        /// The tokenizer's file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: tokenizers::Error,
    },
    /// The tokenizer yields ids that the model has no embedding for.
    #[error("{} has ids up to {largest}, but the model embeds only {vocab}", path.display())]
    VocabularyMismatch {
        /// The tokenizer's file.
        path: PathBuf,
        /// Its largest id.
        largest: i64,
        /// Rows of the model's embedding table.
        vocab: i64,
    },
    /// The tokenizer has so few tokens that it must be another model's: it would give texts ids of other words.
    #[error(
        "{} has {tokens} tokens, but the model embeds {vocab}: take the tokenizer.json that belongs to the model",
        path.display()
    )]
    SmallVocabulary {
        /// The tokenizer's file.
        path: PathBuf,
        /// Its tokens that the model embeds.
        tokens: i64,
        /// Rows of the model's embedding table.
        vocab: i64,
    },
    /// A text holds a token that the tokenizer knows and the model does not, such as a placeholder for images.
    #[error(
        "text {text} has the token {id} of {}, but the model embeds only {vocab}: take that token out of the text",
        path.display()
    )]
    UnknownToken {
        /// The text's index, counted from 0.
        text: usize,
        /// The token's id.
        id: i64,
        /// The tokenizer's file.
        path: PathBuf,
        /// Rows of the model's embedding table.
        vocab: i64,
    },
    /// The folder has no prompt of this name.
    #[error("no prompt is called {name}, known are {known:?}")]
    UnknownPrompt {
        /// The name asked for.
        name: String,
        /// The folder's names.
        known: Vec<String>,
    },
    /// The encoder has no such layer.
    #[error("layer {layer} was asked for; the encoder has layers 0 (embeddings) to {layers}")]
    UnknownLayer {
        /// The layer asked for.
        layer: usize,
        /// The last there is.
        layers: usize,
    },
    /// The tokenizer made nothing of a text, so there is nothing to embed.
    #[error("text {text} has no tokens")]
    NoTokens {
        /// Its index, counted from 0.
        text: usize,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Stored embeddings were made from something else.
    #[error("{} was made with {field} {stored}, now it is {given}: write into another folder, or begin anew without resuming", path.display())]
    OtherOrigin {
        /// The manifest.
        path: PathBuf,
        /// What changed.
        field: String,
        /// Its value then.
        stored: String,
        /// Its value now.
        given: String,
    },
    /// A file of embeddings is shorter than its manifest says.
    #[error("{} has {got} bytes, expected {expected}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that the manifest counts.
        expected: u64,
        /// Bytes that are there.
        got: u64,
    },
    /// A file is not an array of embeddings.
    #[error("{} is not a usable array of embeddings: {reason}", path.display())]
    Npy {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A store was given another number of rows than it was made for.
    #[error("got {got} rows of embeddings, expected {expected}")]
    RowCount {
        /// Rows given.
        got: usize,
        /// Rows it was made for.
        expected: usize,
    },
    /// An embedding holds a number that is not finite, or that the storage cannot hold.
    #[error(
        "the embedding of row {row} is not finite, or too large for the storage: a model computes such vectors when a setting or a \
         weight is wrong, or in f16 when numbers overflow; compute in f32 or bf16"
    )]
    NotFinite {
        /// The row, from 0.
        row: usize,
    },
    /// A template of texts is not well formed.
    #[error("template {template:?}: {reason}")]
    Template {
        /// The template.
        template: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Vectors to compare are not matrices of one width.
    #[error("cannot compare queries of shape {queries:?} with items of shape {items:?}")]
    Widths {
        /// Shape of the queries.
        queries: Vec<i64>,
        /// Shape of the items.
        items: Vec<i64>,
    },
    /// A tensor is missing, surplus, mis-shaped, damaged or not finite.
    #[error(transparent)]
    Checkpoint(#[from] regen_torch::Error),
    /// libtorch reported an error.
    #[error("libtorch failed to {action}")]
    Torch {
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: tch::TchError,
    },
    /// One text alone needs more memory than the device has.
    #[error(
        "text {text} alone needs more memory than there is: lower the folder's max_seq_length, or use another device"
    )]
    OutOfMemory {
        /// Its position in the call.
        text: usize,
        /// The cause.
        #[source]
        source: tch::TchError,
    },
    /// The caller's progress callback asked to stop.
    #[error("stopped by the caller after {done} of {total} texts")]
    Stopped {
        /// Texts that were embedded.
        done: usize,
        /// Texts in all.
        total: usize,
    },
}
