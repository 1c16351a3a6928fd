//! Factors on disk: matrices as `.npy` or safetensors with a list of ids for each, one id a line,
//! line k for row k. Any language with NumPy or forty lines of code can read them.
//!
//! | from | to |
//! | --- | --- |
//! | triplets, a stream of them that may fail, `ndarray`, compressed rows (`sprs`, SciPy), TensorFlow's row and column weights | [`InteractionMatrix`](crate::InteractionMatrix) |
//! | [`WalsModel`] | `.npy` or safetensors with id lists, and back: [`save`], [`save_as`], [`load`] |
//! | a file of factors | single rows, without reading it: [`FactorFile`]; lists and their quality: [`StoredFactors`](crate::StoredFactors) |
//! | a fit on the way | [`Checkpoint`]; what continues from it is, bit for bit, what the fit that wrote it gives, and one that wrote none |

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use ndarray::{Array2, ArrayView2};

pub use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
pub use crate::factor_file::FactorFile;
use crate::model::WalsModel;
use crate::replace::Staged;
use crate::{npy, safetensors};

/// File of the user factors within a folder.
pub const USER_FACTORS: &str = "user_factors.npy";
/// File of the item factors within a folder.
pub const ITEM_FACTORS: &str = "item_factors.npy";
/// File of the user ids within a folder.
pub const USER_IDS: &str = "user_ids.txt";
/// File of the item ids within a folder.
pub const ITEM_IDS: &str = "item_ids.txt";

/// File of both matrices within a folder, as the tensors `user_factors` and `item_factors`.
pub const FACTORS: &str = "factors.safetensors";

/// The tensors of [`FACTORS`].
const TENSORS: [&str; 2] = ["user_factors", "item_factors"];

/// How the matrices of a folder are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FactorFormat {
    /// [`USER_FACTORS`] and [`ITEM_FACTORS`].
    #[default]
    Npy,
    /// One file, [`FACTORS`].
    Safetensors,
}

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

/// Writes factors (as `.npy`) and ids of a model into a folder, which is made if it does not
/// exist.
///
/// All files are written under temporary names before the first is renamed: when the disk has no
/// room for one of them, the folder is as it was.
///
/// # Errors
/// [`Error::IdCount`], [`Error::IdLineBreak`], [`Error::Io`].
pub fn save(
    folder: &Path,
    model: &WalsModel,
    user_ids: &[impl AsRef<str>],
    item_ids: &[impl AsRef<str>],
) -> Result<()> {
    save_as(folder, FactorFormat::Npy, model, user_ids, item_ids)
}

/// As [`save`], in a format of choice. Matrices of the other format that the folder holds are
/// removed, so that it never holds two answers.
///
/// # Errors
/// As [`save`].
pub fn save_as(
    folder: &Path,
    format: FactorFormat,
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
    let mut staged =
        vec![stage_ids(&folder.join(USER_IDS), user_ids)?, stage_ids(&folder.join(ITEM_IDS), item_ids)?];
    let stale: &[&str] = match format {
        FactorFormat::Npy => {
            staged.push(npy::stage(&folder.join(USER_FACTORS), model.user_factors())?);
            staged.push(npy::stage(&folder.join(ITEM_FACTORS), model.item_factors())?);
            &[FACTORS]
        }
        FactorFormat::Safetensors => {
            let tensors = [(TENSORS[0], model.user_factors()), (TENSORS[1], model.item_factors())];
            staged.push(safetensors::stage(&folder.join(FACTORS), &tensors)?);
            &[USER_FACTORS, ITEM_FACTORS]
        }
    };
    staged.into_iter().try_for_each(Staged::commit)?;
    for name in stale {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Io { action: "remove", path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads what [`save`] or [`save_as`] wrote.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`], [`Error::IdCount`], and [`Error::FactorShape`] when the two
/// sides have different ranks.
pub fn load(folder: &Path) -> Result<SavedFactors> {
    let ids = |name: &str, factors: &Array2<f32>| -> Result<Vec<String>> {
        let path = folder.join(name);
        let ids = load_ids(&path)?;
        if ids.len() != factors.nrows() {
            return Err(Error::IdCount { path, expected: factors.nrows(), got: ids.len() });
        }
        Ok(ids)
    };
    let [users, items] = open(folder)?;
    let (user_factors, item_factors) = (users.read(0..users.rows())?, items.read(0..items.rows())?);
    let (user_ids, item_ids) = (ids(USER_IDS, &user_factors)?, ids(ITEM_IDS, &item_factors)?);
    Ok(SavedFactors { user_factors, item_factors, user_ids, item_ids })
}

/// Opens the user and the item factors of a folder, in either format, without reading them.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`], and [`Error::FactorShape`] when the two sides have different
/// ranks.
pub fn open(folder: &Path) -> Result<[FactorFile; 2]> {
    let one = folder.join(FACTORS);
    let [users, items] = if one.exists() {
        [FactorFile::open_tensor(&one, TENSORS[0])?, FactorFile::open_tensor(&one, TENSORS[1])?]
    } else {
        [FactorFile::open(&folder.join(USER_FACTORS))?, FactorFile::open(&folder.join(ITEM_FACTORS))?]
    };
    if users.rank() != items.rank() {
        return Err(Error::FactorShape {
            what: "item factors",
            expected: [items.rows(), users.rank()],
            got: [items.rows(), items.rank()],
        });
    }
    Ok([users, items])
}

/// Writes named matrices as one safetensors file, f32.
///
/// # Errors
/// [`Error::Io`].
pub fn save_safetensors(path: &Path, tensors: &[(&str, ArrayView2<'_, f32>)]) -> Result<()> {
    safetensors::stage(path, tensors)?.commit()
}

/// Reads a two-dimensional f32 tensor of a safetensors file.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for another type or number of dimensions, a name that is not
/// there, and a file that is shorter than its header says.
pub fn load_safetensors(path: &Path, name: &str) -> Result<Array2<f32>> {
    let file = FactorFile::open_tensor(path, name)?;
    file.read(0..file.rows())
}

/// Writes a matrix as `.npy`, f32, C order.
///
/// # Errors
/// [`Error::Io`].
pub fn save_npy(path: &Path, array: ArrayView2<'_, f32>) -> Result<()> {
    npy::stage(path, array)?.commit()
}

/// Reads a two-dimensional f32 `.npy` in C order.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for another type, order or number of dimensions, and for a
/// file that is shorter or longer than its header says.
pub fn load_npy(path: &Path) -> Result<Array2<f32>> {
    let file = FactorFile::open(path)?;
    file.read(0..file.rows())
}

/// Writes ids, one a line.
///
/// # Errors
/// [`Error::IdLineBreak`], [`Error::Io`].
pub fn save_ids(path: &Path, ids: &[impl AsRef<str>]) -> Result<()> {
    stage_ids(path, ids)?.commit()
}

fn stage_ids(path: &Path, ids: &[impl AsRef<str>]) -> Result<Staged> {
    if let Some(index) = ids.iter().position(|id| id.as_ref().contains(['\n', '\r'])) {
        return Err(Error::IdLineBreak { path: path.to_path_buf(), index });
    }
    Staged::write(path, |file| {
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
