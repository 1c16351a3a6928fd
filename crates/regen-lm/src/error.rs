//! Everything that can go wrong in this crate, one variant per cause.
//!
//! Variants carry the data that a caller needs to act: the tensor, the field, the row, expected and
//! got. Wording lives here alone.

use std::path::PathBuf;

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// A source error of the `tokenizers` package, which erases its types.
pub type TokenizerFailure = Box<dyn std::error::Error + Send + Sync>;

/// The beginning of a message about a field of a file.
fn whose(path: Option<&std::path::Path>) -> String {
    path.map_or_else(String::new, |path| format!("{}: ", path.display()))
}

/// Which chat template is absent.
fn which(name: &str, known: &str) -> String {
    match known {
        "" => ": its folder has neither chat_template.jinja nor a `chat_template` in tokenizer_config.json"
            .to_owned(),
        known => format!(" named `{name}`, known are {known}"),
    }
}

/// What failed, where, and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A JSON file is not what its name promises.
    #[error("{}: not valid JSON of the expected form", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where parsing stopped.
        #[source]
        source: serde_json::Error,
    },
    /// A binary file is not as long as its header says.
    #[error("{}: {got} bytes, its header implies {expected}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that the header implies, at least.
        expected: u64,
        /// Bytes there are.
        got: u64,
    },
    /// A required configuration field is absent.
    #[error("{}: field `{field}` is missing", path.display())]
    MissingField {
        /// The file.
        path: PathBuf,
        /// The absent field.
        field: String,
    },
    /// A field changes the arithmetic in a way that is not implemented.
    #[error("{}config field `{field}` = {value} is not supported", whose(path.as_deref()))]
    UnsupportedConfig {
        /// The file, where the field comes from one.
        path: Option<PathBuf>,
        /// The field, with its parent where nested.
        field: String,
        /// Its value as JSON.
        value: String,
    },
    /// Fields contradict each other or are out of range.
    #[error("{}config field `{field}` is {got}, expected {expected}", whose(path.as_deref()))]
    InvalidConfig {
        /// The file, where the field comes from one.
        path: Option<PathBuf>,
        /// The field.
        field: String,
        /// What would be accepted.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A family's `config.json` has no place for settings of a model.
    #[error(
        "{}: the model cannot be saved: a config.json of `{model_type}` cannot say {settings}; use the family's own setting, or \
         another family",
        path.display()
    )]
    Unwritable {
        /// The file that was to be written.
        path: PathBuf,
        /// The family, as the file names it.
        model_type: &'static str,
        /// The settings of [`DecoderConfig`](crate::DecoderConfig) that would be lost, and what they are.
        settings: String,
    },
    /// A model with low-rank updates was to be saved as a whole.
    #[error(
        "{}: the model has low-rank updates attached, which a model's folder cannot hold: merge them first (`merge_lora`), or save \
         them (`save_lora`) and the model without them (`save_base`)",
        path.display()
    )]
    UpdatesAttached {
        /// The folder.
        path: PathBuf,
    },
    /// No preset of that name.
    #[error("no preset named `{name}`, known are {known}")]
    UnknownPreset {
        /// What was asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// A checkpoint could not be opened or does not fit the configuration.
    #[error(transparent)]
    Checkpoint(#[from] regen_torch::Error),
    /// The device has no memory left for an operation.
    #[error(
        "memory of the device is exhausted: use smaller batches or shorter texts, compute activations again, or use a lower \
         precision"
    )]
    OutOfMemory {
        /// What libtorch asked for.
        #[source]
        source: tch::TchError,
    },
    /// libtorch refused an operation.
    #[error("libtorch failed")]
    Libtorch(#[source] tch::TchError),
    /// A tensor argument has the wrong shape.
    #[error("{what} has shape {got:?}, expected {expected}")]
    Shape {
        /// The argument.
        what: &'static str,
        /// The expected shape in words.
        expected: String,
        /// The shape that came.
        got: Vec<i64>,
    },
    /// A tensor argument has the wrong kind of element.
    #[error("{what} has kind {got:?}, expected {expected}")]
    Kind {
        /// The argument.
        what: &'static str,
        /// The expected kind in words.
        expected: &'static str,
        /// The kind that came.
        got: tch::Kind,
    },
    /// An argument is outside its range.
    #[error("{what} is {got}, expected {expected}")]
    Argument {
        /// The argument.
        what: &'static str,
        /// What would be accepted.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// A token id is not in the vocabulary.
    #[error("token id {id} is outside the vocabulary of {vocab}")]
    IdOutOfRange {
        /// The offending id.
        id: i64,
        /// The vocabulary's size.
        vocab: i64,
    },
    /// A row has no real token to continue.
    #[error("row {row} of the prompt holds no real token")]
    EmptyPrompt {
        /// The row.
        row: usize,
    },
    /// Generation needs prompts padded on the left, so that every row ends in the same column.
    #[error("row {row} of the prompt ends in padding: generation needs padding on the left")]
    PromptNotLeftPadded {
        /// The row.
        row: usize,
    },
    /// More tokens than the model has positions.
    #[error("{tokens} tokens do not fit into {max_positions} positions")]
    TooLong {
        /// Real tokens of the longest row, new ones included.
        tokens: i64,
        /// The model's limit.
        max_positions: i64,
    },
    /// The key-value cache has no room left.
    #[error("the cache holds {capacity} tokens, {needed} are needed")]
    CacheFull {
        /// What was allocated.
        capacity: i64,
        /// What this call would need.
        needed: i64,
    },
    /// No position takes part in the loss.
    #[error("the loss mask selects no position")]
    EmptyLoss,
    /// A gradient is NaN or infinite.
    #[error("gradients are not finite at step {step}; largest norms: {largest}")]
    NonFiniteGradient {
        /// The update that was refused, counted from 1.
        step: u64,
        /// Names and norms of the worst tensors.
        largest: String,
    },
    /// A weight is NaN or infinite in the precision that it is converted to.
    #[error(
        "tensor `{tensor}` holds values that are not finite as {kind:?}: use a precision with a wider range, or initial weights \
         that are smaller"
    )]
    NonFiniteWeight {
        /// The tensor's name.
        tensor: String,
        /// The kind it was converted to.
        kind: tch::Kind,
    },
    /// The scores of the next token are NaN or infinite, so nothing can be chosen.
    #[error(
        "the scores of the next token are not finite in row {row} of those being written: use a precision with a wider range, or \
         check the weights and the embeddings of the prompt"
    )]
    NonFiniteScores {
        /// The place of the row among those that are still being written.
        row: usize,
    },
    /// A tensor that should be updated has no gradient.
    #[error("tensor `{tensor}` has no gradient")]
    MissingGradient {
        /// The tensor's name.
        tensor: String,
    },
    /// The tokenizer file or operation failed.
    #[error("tokenizer: {action} failed")]
    Tokenizer {
        /// What was tried.
        action: &'static str,
        /// What the tokenizers package said.
        #[source]
        source: TokenizerFailure,
    },
    /// A text spells out a special token, and the vocabulary has no other ids for it.
    #[error("the text holds the special token `{token}`, and the vocabulary cannot spell it out")]
    SpecialInText {
        /// The token.
        token: String,
    },
    /// A tokenizer's folder has no chat template of that name, or none at all.
    #[error("the tokenizer has no chat template{}", which(name, known))]
    NoChatTemplate {
        /// What was asked for.
        name: String,
        /// All names; empty where there is none.
        known: String,
    },
    /// A chat template cannot be read or rendered.
    #[error("chat template: {action} failed")]
    ChatTemplate {
        /// What was tried.
        action: &'static str,
        /// What the template engine, or the template itself by `raise_exception`, said.
        #[source]
        source: Box<minijinja::Error>,
    },
    /// A conversation is to end with its last turn, and the template does not write that turn's content as it is.
    #[error(
        "the chat template does not write the last message as it is, so it cannot be continued: {content:?}"
    )]
    MessageNotRendered {
        /// What the last turn says.
        content: String,
    },
    /// A saved state does not belong to these parameters.
    #[error("the saved state does not fit: {what}")]
    StateMismatch {
        /// What differs.
        what: String,
    },
}

impl From<tch::TchError> for Error {
    /// libtorch tells exhausted memory from other failures by its words alone: those of its allocators for CPU and CUDA, and of
    /// cuBLAS and cuDNN.
    fn from(source: tch::TchError) -> Self {
        const SIGNS: [&str; 4] =
            ["out of memory", "can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED"];
        let text = source.to_string();
        if SIGNS.iter().any(|sign| text.contains(sign)) {
            return Self::OutOfMemory { source };
        }
        Self::Libtorch(source)
    }
}

impl Error {
    /// Says what was tried on which file; for `map_err`.
    pub(crate) fn io<'a>(
        action: &'static str,
        path: &'a std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Names the file in an error about a field that does not say where the field is from; for `map_err`.
    pub(crate) fn of_file(file: &std::path::Path) -> impl FnOnce(Self) -> Self + '_ {
        move |mut error| {
            if let Self::UnsupportedConfig { path, .. } | Self::InvalidConfig { path, .. } = &mut error {
                path.get_or_insert_with(|| file.to_owned());
            }
            error
        }
    }

    /// Adds the path to a JSON failure; for `map_err`.
    pub(crate) fn json(path: &std::path::Path) -> impl FnOnce(serde_json::Error) -> Self + '_ {
        move |source| Self::Json { path: path.to_owned(), source }
    }

    /// A tensor argument whose shape does not match.
    pub(crate) fn shape(what: &'static str, expected: impl Into<String>, got: &[i64]) -> Self {
        Self::Shape { what, expected: expected.into(), got: got.to_vec() }
    }
}
