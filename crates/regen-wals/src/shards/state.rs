//! What an interrupted sharded fit leaves behind: factors after a number of half-sweeps, in a
//! folder of their own, and a file that says how many.
//!
//! The file is replaced once all blocks of the next half-sweep stand, so until then the fit is
//! where it was, and blocks that are already there need not be computed again.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::blocks::Blocks;
use super::matrix::ShardedMatrix;
use crate::config::WalsConfig;
use crate::error::{Error, Result};
use crate::persist::io_error;
use crate::replace::replace_file;
use crate::solver::{Basis, Side};

const STATE: &str = "fit.json";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    config: WalsConfig,
    /// Fingerprint of the matrix.
    matrix: String,
    half_sweeps: usize,
}

/// Removes the files below a folder; folders, and links to elsewhere, stay.
fn remove_files(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
        let entry = entry.map_err(io_error("list", folder))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(io_error("list", folder))?);
        if kind.is_dir() {
            remove_files(&path)?;
        } else if kind.is_file() {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

/// The folder of a fit.
pub(super) struct Work<'a> {
    folder: &'a Path,
    config: &'a WalsConfig,
    matrix: &'a ShardedMatrix,
}

impl<'a> Work<'a> {
    pub(super) fn new(folder: &'a Path, config: &'a WalsConfig, matrix: &'a ShardedMatrix) -> Result<Self> {
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
        Ok(Self { folder, config, matrix })
    }

    /// Removes factors that no state speaks of: those of a fit whose state was removed would be taken for this one's.
    pub(super) fn clear(&self) -> Result<()> {
        for entry in fs::read_dir(self.folder).map_err(io_error("list", self.folder))? {
            let path = entry.map_err(io_error("list", self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let number = name.strip_prefix("factors-").unwrap_or_default();
            if number.len() == 6 && number.bytes().all(|digit| digit.is_ascii_digit()) {
                remove_files(&path)?;
            }
        }
        Ok(())
    }

    /// Half-sweeps that are done, or `None` for a fit that has not begun.
    pub(super) fn done(&self) -> Result<Option<usize>> {
        let path = self.folder.join(STATE);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(&path).map_err(io_error("read", &path))?;
        let saved: Saved = serde_json::from_slice(&text).map_err(|error| Error::Format {
            path: path.clone(),
            field: "content",
            expected: "the state of a sharded fit".to_owned(),
            got: error.to_string(),
        })?;
        let foreign = |field, expected, got| Err(Error::ForeignState { path, field, expected, got });
        if saved.matrix != self.matrix.fingerprint() {
            return foreign("the matrix", self.matrix.fingerprint().to_owned(), saved.matrix);
        }
        // A fit may go on for longer than it was begun for.
        let iterations = self.config.iterations;
        if (WalsConfig { iterations, ..saved.config.clone() }) != *self.config {
            let (expected, got) = (format!("{:?}", self.config), format!("{:?}", saved.config));
            return foreign("the configuration", expected, got);
        }
        if saved.half_sweeps > 2 * iterations {
            let got = format!("{} half-sweeps", saved.half_sweeps);
            return foreign("iterations", format!("at most {}", 2 * iterations), got);
        }
        Ok(Some(saved.half_sweeps))
    }

    /// Says that a half-sweep is done, and removes the factors before it.
    pub(super) fn advance(&self, half_sweeps: usize) -> Result<()> {
        let saved =
            Saved { config: self.config.clone(), matrix: self.matrix.fingerprint().to_owned(), half_sweeps };
        replace_file(&self.folder.join(STATE), |file| file.write_all(&serde_json::to_vec_pretty(&saved)?))?;
        if let Some(before) = half_sweeps.checked_sub(1) {
            let before = self.generation(before);
            if before.folder.exists() {
                fs::remove_dir_all(&before.folder).map_err(io_error("remove", &before.folder))?;
            }
        }
        Ok(())
    }

    /// The factors after a number of half-sweeps.
    pub(super) fn generation(&self, half_sweeps: usize) -> Generation {
        let folder = self.folder.join(format!("factors-{half_sweeps:06}"));
        let blocks = |side: Side| Blocks {
            folder: folder.join(format!("{}s", side.name())),
            rows: self.matrix.rows(side),
            rows_per_block: self.matrix.rows_per_shard(side),
            rank: self.config.rank,
        };
        Generation { users: blocks(Side::User), items: blocks(Side::Item), folder }
    }
}

/// User and item factors on disk, and the basis that both stand in.
pub(super) struct Generation {
    folder: PathBuf,
    pub(super) users: Blocks,
    pub(super) items: Blocks,
}

const BASIS: &str = "basis.f64";

impl Generation {
    pub(super) fn side(&self, side: Side) -> &Blocks {
        match side {
            Side::User => &self.users,
            Side::Item => &self.items,
        }
    }

    pub(super) fn create(&self) -> Result<()> {
        for blocks in [&self.users, &self.items] {
            fs::create_dir_all(&blocks.folder).map_err(io_error("create", &blocks.folder))?;
        }
        Ok(())
    }

    /// The basis, unless the factors were never turned.
    pub(super) fn basis(&self) -> Result<Option<Basis>> {
        let path = self.folder.join(BASIS);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        let rank = self.users.rank;
        if bytes.len() != 8 * rank * rank {
            return Err(Error::Format {
                path,
                field: "file size",
                expected: format!("{} bytes", 8 * rank * rank),
                got: format!("{} bytes", bytes.len()),
            });
        }
        let numbers: Vec<f64> = bytes.as_chunks::<8>().0.iter().map(|&b| f64::from_le_bytes(b)).collect();
        Ok(Some(Basis::from_numbers(rank, &numbers)))
    }

    pub(super) fn write_basis(&self, basis: &Basis) -> Result<()> {
        let bytes: Vec<u8> = basis.numbers().into_iter().flat_map(f64::to_le_bytes).collect();
        replace_file(&self.folder.join(BASIS), |file| file.write_all(&bytes))
    }
}
