//! What can go wrong between a raw file and an example. Causes are data (file, line, column, field); the wording
//! lives in one place.

use std::path::PathBuf;

use crate::leaks::Leak;

/// The result of everything fallible in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed read, an impossible request, or a leak. Lines and columns count from 1, columns in bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: `open`, `read`, `write`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A compressed file ends in the middle of its stream, as an interrupted download does.
    #[error("{} is cut short: the compressed stream ends after line {line}", path.display())]
    TruncatedStream {
        /// The file.
        path: PathBuf,
        /// The last complete line that could be read.
        line: u64,
    },
    /// A compressed file does not decompress.
    #[error("{} does not decompress after line {line}", path.display())]
    CorruptStream {
        /// The file.
        path: PathBuf,
        /// The last complete line that could be read.
        line: u64,
        /// What the decompressor says.
        #[source]
        source: std::io::Error,
    },
    /// A line longer than any record of these formats: not a file of lines, or a damaged one.
    #[error("{}:{line}: line is longer than {limit} bytes", path.display())]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The longest line that is read.
        limit: usize,
    },
    /// Bytes that are not UTF-8.
    #[error("{}:{line}:{column}: invalid UTF-8", path.display())]
    InvalidUtf8 {
        /// The file.
        path: PathBuf,
        /// The line of the first bad byte.
        line: u64,
        /// Its byte within that line.
        column: u64,
    },
    /// Text as some programs of Windows export it. Everything here is UTF-8.
    #[error("{} is UTF-16: save it as UTF-8, for example by iconv -f UTF-16 -t UTF-8", path.display())]
    Utf16 {
        /// The file.
        path: PathBuf,
    },
    /// Text that is not JSON, or JSON of another shape than the format has.
    #[error("{}:{line}:{column}: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The byte within the line.
        column: u64,
        /// What the JSON reader expected and got.
        reason: String,
    },
    /// A table that is not well-formed CSV or TSV.
    #[error("{}:{line}: {reason}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What the CSV reader expected and got.
        reason: String,
    },
    /// A record lacks something that the format requires.
    #[error("{}:{line}: no {field}", path.display())]
    MissingField {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The field or column.
        field: String,
    },
    /// A field holds something else than the format allows.
    #[error("{}:{line}: {field} should be {expected}, got {got:?}", path.display())]
    InvalidField {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The field or column.
        field: String,
        /// What is allowed.
        expected: &'static str,
        /// What was found, shortened.
        got: String,
    },
    /// A column mapping that is no valid one: an unknown key, a missing one, a value of another type.
    #[error("{}:{line}: {reason}", path.display())]
    Mapping {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What the TOML reader expected and got.
        reason: String,
    },
    /// A field of a mapping, or a column that a stage needs, which is no column of a table.
    #[error("{} has no column {field:?}, it has: {columns}", path.display())]
    UnknownColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        field: String,
        /// The columns that there are.
        columns: String,
    },
    /// A field of a mapping that no record has: probably misspelt.
    #[error("none of the {records} records of {} has a field {field:?}: correct or remove it", files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", "))]
    FieldNeverPresent {
        /// The files.
        files: Vec<PathBuf>,
        /// The field.
        field: String,
        /// How many records were looked at.
        records: u64,
    },
    /// A file that only a build with another feature can read.
    #[error("{} is {what}: build regen-data with its feature `{feature}`", path.display())]
    NeedsFeature {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// The feature.
        feature: &'static str,
    },
    /// A Parquet file that cannot be read.
    #[error("{} cannot be read as Parquet: {reason}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the Parquet reader says.
        reason: String,
    },
    /// A folder holds none of the formats that are read here.
    #[error("no data set in {}: looked for {}", folder.display(), looked_for.join("; "))]
    UnknownFormat {
        /// The folder.
        folder: PathBuf,
        /// One entry per format: its name and the files that would have shown it.
        looked_for: Vec<String>,
    },
    /// A folder that is no prepared one, or one whose writing was broken off.
    #[error("{} is no prepared folder, since it holds no dataset.json: prepare_data writes one", folder.display())]
    NotPrepared {
        /// The folder.
        folder: PathBuf,
    },
    /// A prepared folder of another format or version.
    #[error("{} holds {got}, expected {expected}", path.display())]
    UnsupportedVersion {
        /// The file that says so.
        path: PathBuf,
        /// What is read here.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A file of a prepared folder is not the one that was written.
    #[error("{} was changed or cut short: SHA-256 {got}, expected {expected}", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// What the folder's `dataset.json` says.
        expected: String,
        /// What the file has.
        got: String,
    },
    /// More distinct users or items than a 32-bit index holds.
    #[error("more than {limit} distinct ids")]
    TooManyIds {
        /// The largest number of ids.
        limit: u32,
    },
    /// A request with a number outside its range.
    #[error("{field} should be {expected}, got {got}")]
    InvalidConfig {
        /// The field of the configuration.
        field: &'static str,
        /// The range.
        expected: &'static str,
        /// The value.
        got: String,
    },
    /// A word that names no variant.
    #[error("unknown {what} {got:?}: expected one of {expected}")]
    UnknownName {
        /// What was to be named.
        what: &'static str,
        /// The word.
        got: String,
        /// The words that exist.
        expected: String,
    },
    /// Two of the data sets that were to be joined have one label.
    #[error("two data sets are labelled {label:?}: give each a label of its own")]
    RepeatedLabel {
        /// The label.
        label: String,
    },
    /// A split that would leave one part without any user.
    #[error("the {part} part of the split would be empty: {available} users to divide")]
    EmptyPart {
        /// `train`, `validation` or `test`.
        part: crate::Part,
        /// How many users could be divided.
        available: usize,
    },
    /// A user in two parts of a split that must be disjoint.
    #[error("user {user} is in both the {first} and the {second} part")]
    OverlappingUser {
        /// The user's name.
        user: String,
        /// One part.
        first: crate::Part,
        /// The other.
        second: crate::Part,
    },
    /// A rule that orders by time on data that has none.
    #[error("{rule} needs times, but {without_time} of {interactions} interactions have none")]
    NoTimes {
        /// The rule.
        rule: &'static str,
        /// Interactions without a time.
        without_time: usize,
        /// All interactions.
        interactions: usize,
    },
    /// A narrative about an item that its user never bought, so that no history precedes it.
    #[error("narrative {narrative} ({kind}) is about item {item}, which user {user} did not buy")]
    NarrativeWithoutPurchase {
        /// Index into [`Dataset::narratives`](crate::Dataset::narratives).
        narrative: usize,
        /// Its kind.
        kind: crate::NarrativeKind,
        /// The user's name.
        user: String,
        /// The item's name.
        item: String,
    },
    /// A narrative whose kind and item do not go together.
    #[error("narrative {narrative} ({kind}) {}", if *has_item { "should be about the user, but names an item" } else { "should be about an item, but names none" })]
    NarrativeItem {
        /// Index into [`Dataset::narratives`](crate::Dataset::narratives).
        narrative: usize,
        /// Its kind.
        kind: crate::NarrativeKind,
        /// Whether an item is named.
        has_item: bool,
    },
    /// The chat model cannot be asked at all.
    #[cfg(feature = "writer")]
    #[error("the chat model cannot be asked")]
    Chat {
        /// What the client or the journal says.
        #[source]
        source: regen_chat::Error,
    },
    /// An endpoint that answers nothing any more. What was answered before is in the journal.
    #[error("{in_a_row} questions in a row were not answered, the last because: {last}")]
    Unanswered {
        /// How many.
        in_a_row: usize,
        /// What became of the last.
        last: String,
    },
    /// What a model may learn from and what it is judged by are not apart.
    #[error("{} leaks between training and evaluation, first: {}", leaks.len(), leaks.first().map(ToString::to_string).unwrap_or_default())]
    Leaks {
        /// Every leak that was found.
        leaks: Vec<Leak>,
    },
}
