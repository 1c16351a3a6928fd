//! Checkpoints of a fit: everything that continuing it needs, in a folder that is never half
//! written.
//!
//! The factors of each checkpoint have other names than those of the one that stands.
//! `checkpoint.json` names them and is replaced last, so until then the folder is the previous
//! checkpoint, and from then on the new one; what it no longer names is removed.

use std::fs;
use std::io::Write;
use std::path::Path;

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::config::WalsConfig;
use crate::error::{Error, Result};
use crate::fit::InitialFactors;
#[cfg(doc)]
use crate::fit::Progress;
use crate::interactions::InteractionMatrix;
use crate::model::check_shape;
use crate::npy;
use crate::persist::{io_error, load_npy};
use crate::replace::Staged;
use crate::solver::Basis;

/// A fit after some iterations. Continue it with [`WalsConfig::fit_from`] and [`initial`](Self::initial).
///
/// One that [`Progress::save_checkpoint`] wrote leads, bit for bit, to the factors of the fit without any checkpoint: it
/// holds factors as the fit does, and what they are to be turned back by.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The configuration of the fit.
    pub config: WalsConfig,
    /// Iterations that are done.
    pub completed_iterations: usize,
    /// `[users, rank]`, in the basis; [`factors`](Self::factors) gives them without.
    pub user_factors: Array2<f32>,
    /// `[items, rank]`, in the basis.
    pub item_factors: Array2<f32>,
    /// The basis that both stand in, if it is not their own.
    pub basis: Option<Basis>,
}

const INDEX: &str = "checkpoint.json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    config: WalsConfig,
    /// Fingerprint of the matrix; earlier releases wrote none.
    matrix: Option<String>,
    completed_iterations: usize,
    user_factors: String,
    item_factors: String,
    /// Little-endian f64, `[rank, rank]`; absent where factors stand in their own basis, as those of earlier releases do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    basis: Option<String>,
}

impl Checkpoint {
    /// What [`WalsConfig::fit_from`] continues from.
    pub fn initial(&self) -> InitialFactors<'_> {
        InitialFactors {
            user_factors: Some(self.user_factors.view()),
            item_factors: Some(self.item_factors.view()),
            basis: self.basis.as_ref(),
            completed_iterations: self.completed_iterations,
        }
    }

    /// User and item factors, `[users, rank]` and `[items, rank]`, as [`Progress::factors`] shows them.
    pub fn factors(&self) -> (Array2<f32>, Array2<f32>) {
        let turned_back = |factors: &Array2<f32>| {
            let mut factors = factors.as_standard_layout().into_owned();
            if let (Some(basis), Some(numbers)) = (&self.basis, factors.as_slice_mut()) {
                basis.turn_back(numbers);
            }
            factors
        };
        (turned_back(&self.user_factors), turned_back(&self.item_factors))
    }

    /// Writes a checkpoint of a fit of `matrix` into a folder, in place of the one that may be there. The factors are those
    /// that somebody looked at: a fit that goes on from them is the one that was looked at
    /// ([`Progress::factors`]), bit for bit, and the one that was not by rounding only.
    ///
    /// # Errors
    /// [`Error::FactorShape`] for factors of another shape than the matrix and the configuration
    /// call for, [`Error::Io`]; the previous checkpoint then still stands.
    pub fn save(
        folder: &Path,
        config: &WalsConfig,
        matrix: &InteractionMatrix,
        completed_iterations: usize,
        user_factors: ArrayView2<'_, f32>,
        item_factors: ArrayView2<'_, f32>,
    ) -> Result<()> {
        Self::save_in(folder, config, matrix, completed_iterations, [user_factors, item_factors], None)
    }

    /// The same of factors that stand in a basis.
    pub(crate) fn save_in(
        folder: &Path,
        config: &WalsConfig,
        matrix: &InteractionMatrix,
        completed_iterations: usize,
        [user_factors, item_factors]: [ArrayView2<'_, f32>; 2],
        basis: Option<&Basis>,
    ) -> Result<()> {
        check_shape("user factors", user_factors, matrix.users(), config.rank)?;
        check_shape("item factors", item_factors, matrix.items(), config.rank)?;
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
        // Another fit may have left one of the same iteration.
        let standing = fs::read_to_string(folder.join(INDEX)).unwrap_or_default();
        let taken = standing.contains(&format!("_factors.{completed_iterations}.npy"));
        let tag = if taken { format!("{completed_iterations}.b") } else { completed_iterations.to_string() };
        let index = Index {
            config: config.clone(),
            matrix: Some(fingerprint(matrix)),
            completed_iterations,
            user_factors: format!("user_factors.{tag}.npy"),
            item_factors: format!("item_factors.{tag}.npy"),
            basis: basis.map(|_| format!("basis.{tag}.f64")),
        };
        // All of them before the first takes its name: a full disk leaves nothing behind.
        let mut staged = vec![
            npy::stage(&folder.join(&index.user_factors), user_factors)?,
            npy::stage(&folder.join(&index.item_factors), item_factors)?,
        ];
        if let (Some(basis), Some(name)) = (basis, &index.basis) {
            let bytes: Vec<u8> = basis.numbers().into_iter().flat_map(f64::to_le_bytes).collect();
            staged.push(Staged::write(&folder.join(name), |file| file.write_all(&bytes))?);
        }
        staged.push(Staged::write(&folder.join(INDEX), |file| {
            file.write_all(&serde_json::to_vec_pretty(&index)?)
        })?);
        staged.into_iter().try_for_each(Staged::commit)?;
        let entries = fs::read_dir(folder).map_err(io_error("list", folder))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let factors = name.starts_with("user_factors.") || name.starts_with("item_factors.");
            let ours =
                (factors && name.ends_with(".npy")) || (name.starts_with("basis.") && name.ends_with(".f64"));
            let named = [Some(&index.user_factors), Some(&index.item_factors), index.basis.as_ref()];
            if ours && !named.into_iter().flatten().any(|kept| name == *kept) {
                // A leftover costs disk space, nothing else: not worth failing the fit for.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// Reads the checkpoint of a folder, which is to be one of a fit of `matrix`: the factors of a fit of other values
    /// would go on to something that belongs to neither.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`] for a damaged file or one of an earlier release that does not
    /// say which matrix it is of, [`Error::InvalidSetting`] for a configuration that no fit has, [`Error::ForeignState`] for one of another matrix,
    /// [`Error::FactorShape`] for factors of another shape than the matrix and the configuration
    /// call for.
    pub fn load(folder: &Path, matrix: &InteractionMatrix) -> Result<Self> {
        let path = folder.join(INDEX);
        let text = fs::read(&path).map_err(io_error("read", &path))?;
        let index: Index = serde_json::from_slice(&text).map_err(|error| Error::Format {
            path: path.clone(),
            field: "content",
            expected: "a checkpoint".to_owned(),
            got: error.to_string(),
        })?;
        let expected = fingerprint(matrix);
        match index.matrix {
            None => {
                return Err(Error::Format {
                    path,
                    field: "matrix",
                    expected: format!(
                        "{expected} (the checkpoint is of an earlier release: remove it and start anew)"
                    ),
                    got: "missing".to_owned(),
                });
            }
            Some(got) if got != expected => {
                return Err(Error::ForeignState { path, field: "the matrix", expected, got });
            }
            Some(_) => {}
        }
        index.config.validate()?;
        let factors = |what, name: &str, rows| -> Result<Array2<f32>> {
            let factors = load_npy(&folder.join(name))?;
            check_shape(what, factors.view(), rows, index.config.rank)?;
            Ok(factors)
        };
        let basis =
            index.basis.as_ref().map(|name| load_basis(&folder.join(name), index.config.rank)).transpose()?;
        Ok(Self {
            basis,
            user_factors: factors("user factors", &index.user_factors, matrix.users())?,
            item_factors: factors("item factors", &index.item_factors, matrix.items())?,
            completed_iterations: index.completed_iterations,
            config: index.config,
        })
    }
}

fn load_basis(path: &Path, rank: usize) -> Result<Basis> {
    let format =
        |field, expected: String, got: String| Error::Format { path: path.to_owned(), field, expected, got };
    let size = fs::metadata(path).map_err(io_error("inspect", path))?.len();
    if size != 8 * (rank * rank) as u64 {
        return Err(format("file size", format!("{} bytes", 8 * rank * rank), format!("{size} bytes")));
    }
    let bytes = fs::read(path).map_err(io_error("read", path))?;
    let numbers: Vec<f64> = bytes.as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
    if numbers.len() != rank * rank {
        return Err(format(
            "file size",
            format!("{} bytes", 8 * rank * rank),
            format!("{} bytes", bytes.len()),
        ));
    }
    let basis = Basis::from_numbers(rank, &numbers);
    if !basis.is_sound() {
        return Err(format("content", "vectors of length 1".to_owned(), "others".to_owned()));
    }
    Ok(basis)
}

fn fingerprint(matrix: &InteractionMatrix) -> String {
    format!("{:016x}", matrix.fingerprint())
}
