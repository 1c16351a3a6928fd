//! One SQLite file per study: the study itself, who joined, every answer. An answer is on disk when [`Store::put`] returns.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::answer::{Answer, Answered, Rater};
use crate::error::{Error, Result};
use crate::study::{Shown, Study, Task};

/// Counted up whenever the tables change.
const LAYOUT: i64 = 1;

/// `second` is −1 for single texts, so that it can be part of the key.
const TABLES: &str = "
    CREATE TABLE study (id INTEGER PRIMARY KEY CHECK (id = 1), fingerprint TEXT NOT NULL, body TEXT NOT NULL);
    CREATE TABLE raters (
        rater INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE COLLATE NOCASE,
        joined TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
    );
    CREATE TABLE answers (
        rater INTEGER NOT NULL REFERENCES raters (rater),
        item INTEGER NOT NULL,
        first INTEGER NOT NULL,
        second INTEGER NOT NULL,
        attribute TEXT NOT NULL,
        answer TEXT NOT NULL,
        swapped INTEGER NOT NULL,
        seconds REAL NOT NULL,
        answered TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
        PRIMARY KEY (rater, item, first, second, attribute)
    ) WITHOUT ROWID;
";

/// An open study.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
}

impl Store {
    /// Makes the store of a study, or opens it where it is there already.
    ///
    /// # Errors
    /// [`Error::OtherStudy`] for a store of other texts, rubric, design or seed; [`Error::Layout`], [`Error::Store`].
    pub fn create(path: impl Into<PathBuf>, study: &Study) -> Result<Self> {
        let path = path.into();
        let connection =
            Connection::open(&path).map_err(|source| Error::Store { path: path.clone(), source })?;
        let mut store = Self::over(path, connection)?;
        let (fingerprint, body) = (study.fingerprint(), serde_json::to_string(study));
        let body = body.map_err(|error| store.damaged(format!("the study cannot be written: {error}")))?;
        let fresh = store.run(|connection| {
            let objects: i64 =
                connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
            if objects > 0 {
                return Ok(false);
            }
            let transaction = connection.transaction()?;
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", LAYOUT)?;
            transaction.execute(
                "INSERT INTO study (id, fingerprint, body) VALUES (1, ?1, ?2)",
                params![fingerprint, body],
            )?;
            transaction.commit()?;
            Ok(true)
        })?;
        if !fresh {
            store.check_layout()?;
            let stored = store.run(|connection| {
                connection
                    .query_row("SELECT fingerprint FROM study", [], |row| row.get::<_, String>(0))
                    .optional()
            })?;
            if stored.as_ref() != Some(&fingerprint) {
                return Err(Error::OtherStudy { path: store.path });
            }
        }
        Ok(store)
    }

    /// Opens a store with the study that it holds.
    ///
    /// # Errors
    /// [`Error::NoStudy`] where there is no file; [`Error::Layout`], [`Error::Damaged`], [`Error::Store`].
    pub fn open(path: impl Into<PathBuf>) -> Result<(Self, Study)> {
        let path = path.into();
        if !path.is_file() {
            return Err(Error::NoStudy { path });
        }
        let connection =
            Connection::open(&path).map_err(|source| Error::Store { path: path.clone(), source })?;
        let mut store = Self::over(path, connection)?;
        store.check_layout()?;
        let body: Option<String> = store.run(|connection| {
            connection.query_row("SELECT body FROM study", [], |row| row.get(0)).optional()
        })?;
        let Some(body) = body else { return Err(Error::NoStudy { path: store.path }) };
        let study =
            serde_json::from_str(&body).map_err(|error| store.damaged(format!("its study: {error}")))?;
        Ok((store, study))
    }

    fn over(path: PathBuf, connection: Connection) -> Result<Self> {
        let mut store = Self { path, connection };
        store.run(|connection| {
            // Another program may read results while raters are at work.
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.pragma_update(None, "foreign_keys", true)?;
            // On disk, not only with the operating system, before the page is told.
            connection.pragma_update(None, "synchronous", "FULL")
        })?;
        Ok(store)
    }

    fn check_layout(&mut self) -> Result<()> {
        let got =
            self.run(|connection| connection.pragma_query_value(None, "user_version", |row| row.get(0)))?;
        if got == LAYOUT {
            return Ok(());
        }
        Err(Error::Layout { path: self.path.clone(), expected: LAYOUT, got })
    }

    /// Where the store lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn damaged(&self, what: String) -> Error {
        Error::Damaged { path: self.path.clone(), what }
    }

    fn run<T>(&mut self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T> {
        work(&mut self.connection).map_err(|source| Error::Store { path: self.path.clone(), source })
    }

    /// The rater of a name, who joins now if the name is new. Case does not tell names apart.
    ///
    /// # Errors
    /// [`Error::Refused`] for a name that is empty, longer than 40 characters, or has others than letters, digits, spaces,
    /// `.`, `_` and `-`, or does not begin with a letter or digit; [`Error::Store`].
    pub fn join(&mut self, name: &str) -> Result<Rater> {
        let name = name.trim();
        let fits = |c: char| c.is_alphanumeric() || " ._-".contains(c);
        // A name that begins with a mark could be read as a formula where an export is opened.
        if !name.starts_with(char::is_alphanumeric) || !name.chars().all(fits) || name.chars().count() > 40 {
            return Err(Error::refused(
                "a name has up to 40 letters, digits, spaces, full stops, hyphens or underscores, and begins with a letter \
                 or digit",
            ));
        }
        self.run(|connection| {
            // Numbers begin at 0 and have no gaps, because stretches of the order follow from them.
            connection.execute(
                "INSERT INTO raters (rater, name) SELECT count(*), ?1 FROM raters WHERE true ON CONFLICT (name) DO NOTHING",
                [name],
            )?;
            connection.query_row("SELECT rater, name FROM raters WHERE name = ?1", [name], |row| {
                Ok(Rater { number: row.get::<_, i64>(0)?.unsigned_abs() as usize, name: row.get(1)? })
            })
        })
    }

    /// Everyone who joined, in that order.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn raters(&mut self) -> Result<Vec<Rater>> {
        self.run(|connection| {
            let mut statement = connection.prepare("SELECT rater, name FROM raters ORDER BY rater")?;
            let raters = statement.query_map([], |row| {
                Ok(Rater { number: row.get::<_, i64>(0)?.unsigned_abs() as usize, name: row.get(1)? })
            })?;
            raters.collect()
        })
    }

    /// Keeps an answer, in place of an earlier one of the same rater to the same question.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn put(
        &mut self,
        rater: usize,
        task: Task,
        attribute: &str,
        answer: Answer,
        swapped: bool,
        seconds: f64,
    ) -> Result<()> {
        let (item, [first, second]) = (task.case as i64, numbers(task.shown));
        self.run(|connection| {
            connection.execute(
                "INSERT OR REPLACE INTO answers (rater, item, first, second, attribute, answer, swapped, seconds)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![rater as i64, item, first, second, attribute, answer.as_str(), swapped, seconds],
            )
        })?;
        Ok(())
    }

    /// All answers, or those of one rater, in the order of raters, cases, systems and names of attributes.
    ///
    /// # Errors
    /// [`Error::Damaged`] for an answer that the study's design does not have; [`Error::Store`].
    pub fn answers(&mut self, study: &Study, of: Option<usize>) -> Result<Vec<Answered>> {
        let rows: Vec<(Answered, String)> = self.run(|connection| {
            let mut statement = connection.prepare(
                "SELECT rater, item, first, second, attribute, answer, swapped, seconds, answered FROM answers
                 WHERE ?1 IS NULL OR rater = ?1 ORDER BY rater, item, first, second, attribute",
            )?;
            let rows = statement.query_map([of.map(|rater| rater as i64)], |row| {
                let number = |at: usize| row.get::<_, i64>(at);
                let first = number(2)?.unsigned_abs() as usize;
                let shown = match number(3)? {
                    second if second >= 0 => Shown::Two { first, second: second as usize },
                    _ => Shown::One { system: first },
                };
                let answered = Answered {
                    rater: number(0)?.unsigned_abs() as usize,
                    task: Task { case: number(1)?.unsigned_abs() as usize, shown },
                    attribute: row.get(4)?,
                    answer: Answer::Unsure,
                    swapped: row.get(6)?,
                    seconds: row.get(7)?,
                    at: row.get(8)?,
                };
                Ok((answered, row.get(5)?))
            })?;
            rows.collect()
        })?;
        rows.into_iter()
            .map(|(answered, word)| match Answer::parse(&word, study.design) {
                Some(answer) => Ok(Answered { answer, ..answered }),
                None => Err(self.damaged(format!("an answer reads `{word}`"))),
            })
            .collect()
    }
}

fn numbers(shown: Shown) -> [i64; 2] {
    match shown {
        Shown::One { system } => [system as i64, -1],
        Shown::Two { first, second } => [first as i64, second as i64],
    }
}
