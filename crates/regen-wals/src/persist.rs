//! Factors on disk: `.npy` matrices with a list of ids beside each, one id a line, line k for
//! row k. Any language with NumPy or forty lines of code can read them.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayView2};

pub use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::model::WalsModel;
use crate::npy;

/// File of the user factors within a folder.
pub const USER_FACTORS: &str = "user_factors.npy";
/// File of the item factors within a folder.
pub const ITEM_FACTORS: &str = "item_factors.npy";
/// File of the user ids within a folder.
pub const USER_IDS: &str = "user_ids.txt";
/// File of the item ids within a folder.
pub const ITEM_IDS: &str = "item_ids.txt";

/// Factors and ids as they stand in a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedFactors {
    /// `[users, rank]`.
    pub user_factors: Array2<f32>,
    /// `[items, rank]`.
    pub item_factors: Array2<f32>,
    /// Line k names row k of the user factors.
    pub user_ids: Vec<String>,
    /// Line k names row k of the item factors.
    pub item_ids: Vec<String>,
}

/// Writes factors and ids of a model into a folder, which is made if it does not exist.
///
/// Each file is written under a temporary name and then renamed.
///
/// # Errors
/// [`Error::IdCount`], [`Error::IdLineBreak`], [`Error::Io`].
pub fn save(
    folder: &Path,
    model: &WalsModel,
    user_ids: &[impl AsRef<str>],
    item_ids: &[impl AsRef<str>],
) -> Result<()> {
    fs::create_dir_all(folder).map_err(io_error("create", folder))?;
    for (name, ids, rows) in
        [(USER_IDS, user_ids.len(), model.users()), (ITEM_IDS, item_ids.len(), model.items())]
    {
        if ids != rows {
            return Err(Error::IdCount { path: folder.join(name), expected: rows, got: ids });
        }
    }
    save_ids(&folder.join(USER_IDS), user_ids)?;
    save_ids(&folder.join(ITEM_IDS), item_ids)?;
    save_npy(&folder.join(USER_FACTORS), model.user_factors())?;
    save_npy(&folder.join(ITEM_FACTORS), model.item_factors())
}

/// Reads what [`save`] wrote.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`], [`Error::IdCount`], and [`Error::FactorShape`] when the two
/// sides have different ranks.
pub fn load(folder: &Path) -> Result<SavedFactors> {
    let side = |factors: &str, ids: &str| -> Result<(Array2<f32>, Vec<String>)> {
        let factors = load_npy(&folder.join(factors))?;
        let path = folder.join(ids);
        let ids = load_ids(&path)?;
        if ids.len() != factors.nrows() {
            return Err(Error::IdCount { path, expected: factors.nrows(), got: ids.len() });
        }
        Ok((factors, ids))
    };
    let (user_factors, user_ids) = side(USER_FACTORS, USER_IDS)?;
    let (item_factors, item_ids) = side(ITEM_FACTORS, ITEM_IDS)?;
    if user_factors.ncols() != item_factors.ncols() {
        return Err(Error::FactorShape {
            what: "item factors",
            expected: [item_factors.nrows(), user_factors.ncols()],
            got: [item_factors.nrows(), item_factors.ncols()],
        });
    }
    Ok(SavedFactors { user_factors, item_factors, user_ids, item_ids })
}

/// Writes a matrix as `.npy`, f32, C order.
///
/// # Errors
/// [`Error::Io`].
pub fn save_npy(path: &Path, array: ArrayView2<'_, f32>) -> Result<()> {
    npy::write(path, array)
}

/// Reads a two-dimensional f32 `.npy` in C order.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for another type, order or number of dimensions, and for a
/// file that is shorter or longer than its header says.
pub fn load_npy(path: &Path) -> Result<Array2<f32>> {
    npy::read(path)
}

/// Writes ids, one a line.
///
/// # Errors
/// [`Error::IdLineBreak`], [`Error::Io`].
pub fn save_ids(path: &Path, ids: &[impl AsRef<str>]) -> Result<()> {
    if let Some(index) = ids.iter().position(|id| id.as_ref().contains(['\n', '\r'])) {
        return Err(Error::IdLineBreak { path: path.to_path_buf(), index });
    }
    replace_file(path, |file| {
        let mut out = BufWriter::new(file);
        for id in ids {
            writeln!(out, "{}", id.as_ref())?;
        }
        out.flush()
    })
}

/// Reads ids, one a line.
///
/// # Errors
/// [`Error::Io`].
pub fn load_ids(path: &Path) -> Result<Vec<String>> {
    let file = File::open(path).map_err(io_error("open", path))?;
    BufReader::new(file).lines().collect::<io::Result<_>>().map_err(io_error("read", path))
}

/// Gives an I/O failure its path and what was being done.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { action, path, source }
}

/// Writes `path` through a temporary neighbour, so that a reader or a crash sees the old file or
/// the whole new one, never a part. The neighbour is removed when writing fails.
pub(crate) fn replace_file(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary: PathBuf = path.with_file_name(name);
    let attempt = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        write(&mut file)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    attempt().map_err(|source| {
        // The first failure is the one to report; a leftover file is the lesser evil.
        let _ = fs::remove_file(&temporary);
        io_error("write", path)(source)
    })
}
