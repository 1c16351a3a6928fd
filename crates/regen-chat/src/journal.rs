//! Answers on disk, so that an interrupted run goes on where it stopped.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{ChatAnswer, ChatModel, ChatRequest};
use crate::usage::Tally;

/// A model whose answers are written down, one JSON line each, and never asked for again.
///
/// The file only grows: unlike other files of the house it is not written under a temporary name, because each line is
/// complete by itself. Lines reach the operating system before an answer is returned, so a killed program loses none; a
/// power cut may lose the last. Threads may share a journal; if two ask the same question at once, both are sent and
/// the first answer counts for both. Another program that opens the file meanwhile gets [`Error::JournalInUse`].
#[derive(Debug)]
pub struct Journal<M> {
    model: M,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    answers: HashMap<String, ChatAnswer>,
    tally: Tally,
}

#[derive(Serialize)]
struct Written<'a> {
    key: &'a str,
    model: &'a str,
    request: &'a ChatRequest,
    answer: &'a ChatAnswer,
}

/// What is needed to go on; the request stands there for people.
#[derive(Deserialize)]
struct Entry {
    key: String,
    answer: ChatAnswer,
}

impl<M: ChatModel> Journal<M> {
    /// Opens a journal, or begins one. A last line that is torn is cut off.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::JournalInUse`]; [`Error::Journal`] for another line that cannot be read.
    pub fn open(model: M, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let io = |source| Error::Io { path: path.clone(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::JournalInUse { path }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let (answers, complete) = read(&bytes, &path)?;
        file.set_len(complete as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        let state = Mutex::new(State { file, answers, tally: Tally::default() });
        Ok(Self { model, path, state })
    }

    /// What this run has asked and what it found answered.
    pub fn tally(&self) -> Tally {
        self.state().tally
    }

    /// Number of answers in the journal.
    pub fn len(&self) -> usize {
        self.state().answers.len()
    }

    /// Whether the journal holds no answer.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The model that answers what the journal does not know.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The state holds whole answers only, so a thread that panicked leaves nothing half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All answers, and how many bytes the complete lines have.
fn read(bytes: &[u8], path: &Path) -> Result<(HashMap<String, ChatAnswer>, usize)> {
    let mut answers = HashMap::new();
    let mut complete = 0;
    for (number, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        // A line without its end is torn, even where it happens to parse.
        if line.last() != Some(&b'\n') {
            break;
        }
        let entry: Entry = match serde_json::from_slice(line) {
            Ok(entry) => entry,
            // Only the last line can be torn; blocks of zeros after a power cut end in no line.
            Err(_) if complete + line.len() == bytes.len() => break,
            Err(error) => {
                return Err(Error::Journal {
                    path: path.to_owned(),
                    line: number + 1,
                    reason: error.to_string(),
                });
            }
        };
        answers.entry(entry.key).or_insert(entry.answer);
        complete += line.len();
    }
    Ok((answers, complete))
}

impl<M: ChatModel> ChatModel for Journal<M> {
    fn name(&self) -> &str {
        self.model.name()
    }

    /// # Errors
    /// Those of the model, which are not written down, and [`Error::Io`].
    fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
        let key = request.key(self.model.name());
        {
            let mut state = self.state();
            if let Some(answer) = state.answers.get(&key).cloned() {
                state.tally.replayed_answers += 1;
                state.tally.replayed += answer.usage;
                return Ok(answer);
            }
        }
        // Not under the lock: other threads may ask meanwhile.
        let answer = self.model.ask(request)?;
        let mut state = self.state();
        state.tally.answers += 1;
        state.tally.asked += answer.usage;
        if let Some(first) = state.answers.get(&key) {
            return Ok(first.clone());
        }
        let written = Written { key: &key, model: self.model.name(), request, answer: &answer };
        let io = |source| Error::Io { path: self.path.clone(), source };
        let mut line = serde_json::to_vec(&written).map_err(|error| io(error.into()))?;
        line.push(b'\n');
        let end = state.file.stream_position().map_err(io)?;
        if let Err(error) = state.file.write_all(&line) {
            // Half a line, left by a full disk, would damage the next one. If even this fails, the first error counts.
            let _ = state.file.set_len(end).and_then(|()| state.file.seek(SeekFrom::Start(end)));
            return Err(io(error));
        }
        state.answers.insert(key, answer.clone());
        Ok(answer)
    }
}
