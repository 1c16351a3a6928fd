//! Files that are replaced whole: written under a temporary name, then renamed, so that a reader
//! or a crash sees the old file or the new one, never a part.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::persist::io_error;

/// A file that is written in full and has not got its name yet. Dropped without
/// [`commit`](Self::commit), it is removed: several files are staged first and then named, so that
/// a disk that fills up on the way leaves all of the old ones.
#[must_use = "a staged file takes its name by `commit`"]
pub(crate) struct Staged {
    temporary: PathBuf,
    path: PathBuf,
}

impl Staged {
    /// Writes what is to stand at `path` beside it.
    pub(crate) fn write(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.tmp", std::process::id()));
        let staged = Self { temporary: path.with_file_name(name), path: path.to_path_buf() };
        let attempt = || -> io::Result<()> {
            let mut file = File::create(&staged.temporary)?;
            write(&mut file)?;
            file.sync_all()
        };
        attempt().map_err(io_error("write", path))?;
        Ok(staged)
    }

    /// Gives the file its name, in place of the one that may have it.
    pub(crate) fn commit(self) -> Result<()> {
        fs::rename(&self.temporary, &self.path).map_err(io_error("write", &self.path))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After `commit` nothing has this name. Otherwise a failure is on its way to the caller:
        // a leftover file is the lesser evil.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Stages a single file and names it.
pub(crate) fn replace_file(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    Staged::write(path, write)?.commit()
}
