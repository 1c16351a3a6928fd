//! What can be wrong with inputs, the store and what a page sends.

use std::path::PathBuf;

/// A cause for which a study cannot be made, kept or evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Lines of an input are not what they should be; the first twenty of them are shown, and all counted.
    #[error("{}: {} malformed lines:\n{}", path.display(), lines.len(), in_lines(lines))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line numbers, counted from 1, and what is wrong.
        lines: Vec<(usize, String)>,
    },
    /// Two files of pairs belong together line by line and differ in length.
    #[error("{}: expected {expected} pairs as in {}, got {got}", path.display(), first.display())]
    CountMismatch {
        /// The first file.
        first: PathBuf,
        /// The file that differs.
        path: PathBuf,
        /// Pairs of the first file.
        expected: usize,
        /// Pairs of this file.
        got: usize,
    },
    /// A system of this name occurs nowhere in the input.
    #[error("no system `{name}` in the input; there are: {}", known.join(", "))]
    UnknownSystem {
        /// The name.
        name: String,
        /// The names that occur.
        known: Vec<String>,
    },
    /// Two inputs were given the same name.
    #[error("the system `{name}` is given twice: name the files apart, as in NAME=FILE")]
    DuplicateSystem {
        /// The name.
        name: String,
    },
    /// Nothing is left to judge.
    #[error("nothing to judge: {reason}")]
    NothingToJudge {
        /// Why.
        reason: &'static str,
    },
    /// A rubric cannot be asked.
    #[error("the rubric cannot be used")]
    Rubric {
        /// The cause.
        source: regen_metrics::Error,
    },
    /// The store belongs to a study with other texts, rubric, design or seed.
    #[error(
        "{} holds another study (other texts, rubric, design or seed): choose a new file, or leave out the inputs to go on \
         with the stored study",
        path.display()
    )]
    OtherStudy {
        /// The store.
        path: PathBuf,
    },
    /// The store was written by a release with another layout.
    #[error("{} has layout {got}, this release reads {expected}", path.display())]
    Layout {
        /// The store.
        path: PathBuf,
        /// The layout of this release.
        expected: i64,
        /// The layout of the file; 0 for a database that is none of ours.
        got: i64,
    },
    /// There is no study where one should be resumed or evaluated.
    #[error("{} holds no study: give its inputs once to make one", path.display())]
    NoStudy {
        /// The store.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("the store {} failed", path.display())]
    Store {
        /// The store.
        path: PathBuf,
        /// The cause.
        source: rusqlite::Error,
    },
    /// What the store holds cannot be read back.
    #[error("the store {} is damaged: {what}", path.display())]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The page cannot be served at this port.
    #[error("cannot serve at 127.0.0.1:{port}: choose another port, or 0 for a free one")]
    Bind {
        /// The port.
        port: u16,
        /// The cause.
        source: std::io::Error,
    },
    /// A rater sent what cannot be accepted; shown on the page.
    #[error("{reason}")]
    Refused {
        /// Why, for the rater.
        reason: String,
    },
    /// A statistic is refused.
    #[error("the answers cannot be evaluated")]
    Statistics {
        /// The cause.
        source: regen_metrics::Error,
    },
    /// The export cannot be written.
    #[error("cannot write {}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: csv::Error,
    },
}

fn in_lines(lines: &[(usize, String)]) -> String {
    /// A file of another kind has nothing but malformed lines.
    const SHOWN: usize = 20;
    let mut told: Vec<String> =
        lines.iter().take(SHOWN).map(|(line, what)| format!("  line {line}: {what}")).collect();
    if lines.len() > SHOWN {
        told.push(format!("  and {} more", lines.len() - SHOWN));
    }
    told.join("\n")
}

/// The result of everything here that can be refused.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }
}
