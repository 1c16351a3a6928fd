//! What can go wrong between a question and its answer.

use std::path::PathBuf;
use std::time::Duration;

/// A cause for which no answer can be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address that cannot be asked.
    #[error("endpoint {url}: {reason}")]
    Endpoint {
        /// The address as given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A number outside its range.
    #[error("{field} must be {expected}, got {got}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// The range in words.
        expected: &'static str,
        /// The value that was given.
        got: f64,
    },
    /// The connection could not be made or was lost, after all attempts.
    #[error("no connection to {url} after {attempts} attempts: {reason}")]
    Connection {
        /// The address.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// The cause in words.
        reason: String,
    },
    /// No answer came in time, after all attempts.
    #[error("no answer from {url} within {timeout:?}, tried {attempts} times")]
    Timeout {
        /// The address.
        url: String,
        /// The limit of one attempt.
        timeout: Duration,
        /// How often it was tried.
        attempts: u32,
    },
    /// The endpoint answered with an error, after all attempts where it was one that may pass.
    #[error("{url} answered status {status} after {attempts} attempts: {body}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of the body.
        body: String,
        /// How long the endpoint asked to wait.
        retry_after: Option<Duration>,
        /// How often it was tried.
        attempts: u32,
    },
    /// What came back is no chat completion.
    #[error("{url} gave no chat completion ({reason}): {body}")]
    Malformed {
        /// The address.
        url: String,
        /// What is missing.
        reason: String,
        /// The beginning of the body.
        body: String,
    },
    /// A line of a journal that is not the last cannot be read.
    #[error("{path}:{line}: {reason}", path = path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Another program has the journal open.
    #[error("{path} is in use by another run", path = path.display())]
    JournalInUse {
        /// The journal.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{path}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A model other than [`OpenAiClient`](crate::OpenAiClient) could not answer.
    #[error("{model}: {reason}")]
    Model {
        /// Its name.
        model: String,
        /// The cause in words.
        reason: String,
    },
}

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;
