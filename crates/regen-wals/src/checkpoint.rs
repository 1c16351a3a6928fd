//! Checkpoints of a fit: everything that continuing it needs, in a folder that is never half
//! written.
//!
//! The factors of each checkpoint have names of their own. `checkpoint.json` names them and is
//! replaced last, so until then the folder is the previous checkpoint, and from then on the new
//! one; what it no longer names is removed.

use std::fs;
use std::io::Write;
use std::path::Path;

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::config::WalsConfig;
use crate::error::{Error, Result};
use crate::interactions::InteractionMatrix;
use crate::model::check_shape;
use crate::npy;
use crate::persist::{io_error, load_npy};
use crate::replace::Staged;

/// A fit after some iterations. Continue it with [`WalsConfig::fit_from`].
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The configuration of the fit.
    pub config: WalsConfig,
    /// Iterations that are done.
    pub completed_iterations: usize,
    /// `[users, rank]`.
    pub user_factors: Array2<f32>,
    /// `[items, rank]`.
    pub item_factors: Array2<f32>,
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
}

impl Checkpoint {
    /// Writes a checkpoint of a fit of `matrix` into a folder, in place of the one that may be there.
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
        check_shape("user factors", user_factors, matrix.users(), config.rank)?;
        check_shape("item factors", item_factors, matrix.items(), config.rank)?;
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
        let index = Index {
            config: config.clone(),
            matrix: Some(fingerprint(matrix)),
            completed_iterations,
            user_factors: format!("user_factors.{completed_iterations}.npy"),
            item_factors: format!("item_factors.{completed_iterations}.npy"),
        };
        // All of them before the first takes its name: a full disk leaves nothing behind.
        let staged = [
            npy::stage(&folder.join(&index.user_factors), user_factors)?,
            npy::stage(&folder.join(&index.item_factors), item_factors)?,
            Staged::write(&folder.join(INDEX), |file| file.write_all(&serde_json::to_vec_pretty(&index)?))?,
        ];
        staged.into_iter().try_for_each(Staged::commit)?;
        let entries = fs::read_dir(folder).map_err(io_error("list", folder))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let ours = name.ends_with(".npy")
                && (name.starts_with("user_factors.") || name.starts_with("item_factors."));
            if ours && name != index.user_factors && name != index.item_factors {
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
    /// say which matrix it is of, [`Error::ForeignState`] for one of another matrix,
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
        let factors = |what, name: &str, rows| -> Result<Array2<f32>> {
            let factors = load_npy(&folder.join(name))?;
            check_shape(what, factors.view(), rows, index.config.rank)?;
            Ok(factors)
        };
        Ok(Self {
            user_factors: factors("user factors", &index.user_factors, matrix.users())?,
            item_factors: factors("item factors", &index.item_factors, matrix.items())?,
            completed_iterations: index.completed_iterations,
            config: index.config,
        })
    }
}

fn fingerprint(matrix: &InteractionMatrix) -> String {
    format!("{:016x}", matrix.fingerprint())
}
