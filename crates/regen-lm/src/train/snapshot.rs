//! Snapshots of a run: what it takes to go on after a crash as if nothing had happened.
//!
//! A snapshot is a folder that appears under its name only when all of it is on disk, so that a run killed at any
//! moment leaves either the last snapshot or the one before it.

use std::fs::File;
use std::path::{Path, PathBuf};

use regen_torch::{Checkpoint, Surplus, save_tensors};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::Tensor;

use super::AdamW;
use crate::error::{Error, Result};

const PARAMETERS: &str = "parameters.safetensors";
const OPTIMISER: &str = "optimiser.safetensors";
const CURSOR: &str = "cursor.json";

/// Writes `dir/step-N` with the parameters, the optimiser's state and the caller's `cursor` (where the data
/// stands, the state of its generators, whatever the loop needs), then removes older snapshots.
///
/// # Errors
/// [`Error::Io`], [`Error::Json`], [`Error::Checkpoint`].
pub fn save_snapshot<T: Serialize>(
    dir: &Path,
    parameters: &[(String, Tensor)],
    optimiser: &AdamW,
    cursor: &T,
) -> Result<()> {
    let name = format!("step-{:09}", optimiser.steps());
    let (temporary, whole) = (dir.join(format!("{name}.tmp")), dir.join(&name));
    remove(&temporary)?;
    std::fs::create_dir_all(&temporary).map_err(Error::io("make", &temporary))?;
    save_tensors(&temporary.join(PARAMETERS), parameters, &[])?;
    optimiser.save(&temporary.join(OPTIMISER))?;
    let path = temporary.join(CURSOR);
    let text = serde_json::to_vec_pretty(cursor).map_err(Error::json(&path))?;
    crate::files::write(&path, &text)?;
    for file in [PARAMETERS, OPTIMISER, CURSOR] {
        let path = temporary.join(file);
        File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io("write", &path))?;
    }
    remove(&whole)?;
    std::fs::rename(&temporary, &whole).map_err(Error::io("replace", &whole))?;
    for older in snapshots(dir)?.into_iter().filter(|path| *path != whole) {
        remove(&older)?;
    }
    Ok(())
}

/// Reads the newest snapshot in `dir` into the parameters and the optimiser; returns its cursor, or `None` if there
/// is no snapshot yet.
///
/// # Errors
/// [`Error::Io`], [`Error::Json`]; [`Error::Checkpoint`] or [`Error::StateMismatch`] if the snapshot is of another
/// model.
pub fn load_snapshot<T: DeserializeOwned>(
    dir: &Path,
    parameters: &[(String, Tensor)],
    optimiser: &mut AdamW,
) -> Result<Option<T>> {
    let Some(newest) = snapshots(dir)?.pop() else {
        return Ok(None);
    };
    let stored = Checkpoint::open(&newest.join(PARAMETERS))?;
    stored.check_surplus(|name| parameters.iter().any(|(known, _)| known == name), Surplus::Refuse)?;
    for (name, tensor) in parameters {
        let value = stored.tensor(name, &tensor.size())?;
        tch::no_grad(|| tensor.shallow_clone().f_copy_(&value))?;
    }
    optimiser.load(&newest.join(OPTIMISER))?;
    cursor_of(&newest).map(Some)
}

/// The cursor of the newest snapshot in `dir` alone, to tell whose it is before anything is overwritten; `None` if there is
/// no snapshot yet.
///
/// # Errors
/// [`Error::Io`], [`Error::Json`].
pub fn read_cursor<T: DeserializeOwned>(dir: &Path) -> Result<Option<T>> {
    snapshots(dir)?.pop().map(|newest| cursor_of(&newest)).transpose()
}

fn cursor_of<T: DeserializeOwned>(snapshot: &Path) -> Result<T> {
    let path = snapshot.join(CURSOR);
    let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
    serde_json::from_slice(&text).map_err(Error::json(&path))
}

/// Whole snapshots, oldest first.
fn snapshots(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io("read", dir))? {
        let path = entry.map_err(Error::io("read", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let step = name.strip_prefix("step-").unwrap_or_default();
        if !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn remove(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", dir)(error)),
        _ => Ok(()),
    }
}
