//! Everything that can go wrong, one variant per cause, with the data that names the culprit.

use std::path::PathBuf;

/// What this crate's fallible functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A cause of failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A user number at or beyond the number of users.
    #[error("user {user} is out of range: the matrix has {users} users")]
    UserOutOfRange {
        /// The number that was given.
        user: usize,
        /// How many users there are.
        users: usize,
    },
    /// An item number at or beyond the number of items.
    #[error("item {item} is out of range: the matrix has {items} items")]
    ItemOutOfRange {
        /// The number that was given.
        item: usize,
        /// How many items there are.
        items: usize,
    },
    /// A value (or weight) that is NaN, infinite or negative.
    #[error("the value of user {user} and item {item} is {value}: it must be finite and not negative")]
    InvalidValue {
        /// User of the pair.
        user: u32,
        /// Item of the pair.
        item: u32,
        /// What was given.
        value: f32,
    },
    /// A weight of a row or column that is NaN, infinite or negative.
    #[error("the weight of {side} {index} is {value}: it must be finite and not negative")]
    InvalidWeight {
        /// `user` or `item`.
        side: &'static str,
        /// Its number.
        index: usize,
        /// What was given.
        value: f32,
    },
    /// A target that is NaN or infinite.
    #[error("the target of user {user} and item {item} is {target}: it must be finite")]
    InvalidTarget {
        /// User of the pair.
        user: u32,
        /// Item of the pair.
        item: u32,
        /// What was given.
        target: f32,
    },
    /// A pair given twice where values cannot be summed because each has its own target.
    #[error("user {user} and item {item} were given twice: pairs with targets of their own must be unique")]
    DuplicatePair {
        /// User of the pair.
        user: u32,
        /// Item of the pair.
        item: u32,
    },
    /// A value of a row to fold in that is NaN, infinite or negative.
    #[error("the value at index {index} is {value}: it must be finite and not negative")]
    InvalidRowValue {
        /// Index into the vocabulary of the other side.
        index: u32,
        /// What was given.
        value: f32,
    },
    /// No observed pair at all: there is nothing to learn from.
    #[error("the matrix of {users} users and {items} items holds no pair")]
    NoPairs {
        /// Number of users.
        users: usize,
        /// Number of items.
        items: usize,
    },
    /// No held-out pair to judge by.
    #[error(
        "no held-out pair is left to judge by: {given} were given, {already_seen} of them are in the training matrix"
    )]
    NothingHeldOut {
        /// Distinct pairs that were given.
        given: usize,
        /// Those that the training matrix has too.
        already_seen: usize,
    },
    /// More users or items than a `u32` can number.
    #[error("{axis} number {size}, more than the {} that 32-bit numbers can name", u32::MAX)]
    TooLarge {
        /// `users` or `items`.
        axis: &'static str,
        /// What was asked for.
        size: usize,
    },
    /// A setting outside its range.
    #[error("setting {field} is {got}: expected {expected}")]
    InvalidSetting {
        /// Name of the field of the configuration.
        field: &'static str,
        /// The range.
        expected: &'static str,
        /// What was given.
        got: f64,
    },
    /// A list of candidates of a search that is empty.
    #[error("the search has no candidate for {field}: give at least one")]
    NoCandidates {
        /// Which list.
        field: &'static str,
    },
    /// Factors whose shape differs from what the matrix and the rank call for.
    #[error(
        "{what} have shape [{}, {}], expected [{}, {}]",
        got[0], got[1], expected[0], expected[1]
    )]
    FactorShape {
        /// Which factors.
        what: &'static str,
        /// Rows and columns that were expected.
        expected: [usize; 2],
        /// Rows and columns that were given.
        got: [usize; 2],
    },
    /// Factors that hold NaN or infinite numbers.
    #[error("{what} hold {value} at row {row}, column {column}")]
    FactorValue {
        /// Which factors.
        what: &'static str,
        /// Row.
        row: usize,
        /// Column.
        column: usize,
        /// What stands there.
        value: f32,
    },
    /// A solver that libtorch devices do not run.
    #[cfg(feature = "torch")]
    #[error("a device solves rows exactly and in f32, not by {asked}: fit on the host, or ask for Cholesky")]
    NotOnDevice {
        /// What the configuration asks for.
        asked: String,
    },
    /// libtorch reported an error.
    #[cfg(feature = "torch")]
    #[error("libtorch failed to {action}")]
    Device {
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The normal matrix of a row has no Cholesky factor.
    #[error(
        "the normal matrix of {side} {row} is not positive definite: raise the regularization or the unobserved weight"
    )]
    NotPositiveDefinite {
        /// `user` or `item`.
        side: &'static str,
        /// Number of the row.
        row: usize,
    },
    /// Settings and data that together make a number which the arithmetic of a fit does not hold.
    #[error("{quantity} of {place} is {value}, more than the arithmetic of the fit holds: lower {setting}")]
    Overflow {
        /// Which number.
        quantity: &'static str,
        /// Whose: a row, a pair or a side.
        place: String,
        /// What it comes to.
        value: f64,
        /// What makes it smaller.
        setting: &'static str,
    },
    /// A row whose solution is NaN or infinite.
    #[error(
        "the solution of {side} {row} is not finite: its weights or targets are too large for 32-bit floats beside the \
         regularization; lower them, raise the regularization, or solve exactly (cholesky)"
    )]
    NotFinite {
        /// `user` or `item`.
        side: &'static str,
        /// Number of the row.
        row: usize,
    },
    /// The eigenvalues of a Gram matrix could not be found.
    #[error("the Gram matrix of the {side} factors has no eigendecomposition: are they finite?")]
    Eigendecomposition {
        /// `user` or `item`.
        side: &'static str,
    },
    /// An input or output failure.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file that is not what its name says.
    #[error("{}: {field} is {got}, expected {expected}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Which part of it.
        field: &'static str,
        /// What the reader accepts.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A row that a file of factors does not have.
    #[error("{}: row {row} is out of range: the file has {rows}", path.display())]
    RowOutOfRange {
        /// The file.
        path: PathBuf,
        /// The number that was given.
        row: usize,
        /// How many rows there are.
        rows: usize,
    },
    /// Compressed rows whose three parts do not belong together.
    #[error("compressed rows: {field} is {got}, expected {expected}")]
    CompressedRows {
        /// Which part.
        field: &'static str,
        /// What would fit.
        expected: String,
        /// What was given.
        got: String,
    },
    /// Unfinished work on disk that was begun with something else.
    #[error(
        "{} was begun with {field} {got}, not {expected}: remove it, or choose another folder",
        path.display()
    )]
    ForeignState {
        /// The file that says so.
        path: PathBuf,
        /// What differs.
        field: &'static str,
        /// What is asked for now.
        expected: String,
        /// What the file was begun with.
        got: String,
    },
    /// A checkpoint was asked for when the users of an iteration were solved and its items were not.
    #[error("iteration {iteration} is half done: write the checkpoint once its items are solved")]
    HalfIteration {
        /// The iteration, from 1.
        iteration: usize,
    },
    /// A place that is taken.
    #[error("{} exists already: remove it, or choose another folder", path.display())]
    AlreadyThere {
        /// What is there.
        path: PathBuf,
    },
    /// A matrix with targets of its own was to be sharded.
    #[error("shards hold values and no targets: build the matrix from triplets")]
    ShardedTargets,
    /// A sharded fit was asked for f64.
    #[error("a sharded fit has no f64 arithmetic: set arithmetic to f32")]
    ShardedArithmetic,
    /// A list of ids that does not belong to its factors.
    #[error("{}: {got} ids, expected {expected} (one a row of the factors)", path.display())]
    IdCount {
        /// The file.
        path: PathBuf,
        /// Rows of the factors.
        expected: usize,
        /// Lines of the list.
        got: usize,
    },
    /// An id that cannot stand on a line of its own.
    #[error("id {index} of {} holds a line break", path.display())]
    IdLineBreak {
        /// The file that was to be written.
        path: PathBuf,
        /// Position in the list.
        index: usize,
    },
}
