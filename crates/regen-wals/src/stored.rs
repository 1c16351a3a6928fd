//! Factors on disk that answer as a model in memory does.

use std::path::Path;

use crate::error::{Error, Result};
use crate::evaluate::{Judge, RankingReport};
use crate::factor_file::FactorFile;
use crate::interactions::InteractionMatrix;
use crate::model::{Recommendation, SeenItems};
use crate::persist::open;
use crate::ranking::{Factors, recommend};

/// User and item factors that stay on disk: lists and their quality are those of
/// [`WalsModel`](crate::WalsModel) with the same factors, bit for bit.
///
/// Memory: 8 MiB of item factors at a time, and the factors and lists of 4,096 users. The item factors are read once for so
/// many users.
#[derive(Debug)]
pub struct StoredFactors {
    users: FactorFile,
    items: FactorFile,
}

impl StoredFactors {
    /// Opens the factors of a folder, in either format ([`save_as`](crate::persist::save_as)), without reading them.
    ///
    /// # Errors
    /// As [`open`](crate::persist::open).
    pub fn open(folder: &Path) -> Result<Self> {
        let [users, items] = open(folder)?;
        Self::new(users, items)
    }

    /// Puts two files together.
    ///
    /// # Errors
    /// [`Error::FactorShape`] when they have different ranks.
    pub fn new(users: FactorFile, items: FactorFile) -> Result<Self> {
        if users.rank() != items.rank() {
            let (expected, got) = ([items.rows(), users.rank()], [items.rows(), items.rank()]);
            return Err(Error::FactorShape { what: "item factors", expected, got });
        }
        Ok(Self { users, items })
    }

    /// Number of users.
    pub fn users(&self) -> usize {
        self.users.rows()
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.items.rows()
    }

    /// Width of the factors.
    pub fn rank(&self) -> usize {
        self.items.rank()
    }

    /// The `k` best items for each of the given users, as [`WalsModel::recommend`](crate::WalsModel::recommend) gives them.
    ///
    /// # Errors
    /// As there; [`Error::FactorValue`] for a number that is not finite, [`Error::Io`].
    pub fn recommend(
        &self,
        users: &[u32],
        k: usize,
        seen: SeenItems<'_>,
    ) -> Result<Vec<Vec<Recommendation>>> {
        if let SeenItems::Exclude(matrix) = seen {
            self.check_users(matrix.users())?;
            self.check_items(matrix)?;
        }
        let (user_factors, items) = self.sides();
        recommend(user_factors, items, users, k, seen)
    }

    /// Ranks all unseen items for every user with held-out pairs, as [`evaluate`](crate::evaluate::evaluate) does.
    ///
    /// # Errors
    /// As there; [`Error::FactorValue`] for a number that is not finite, [`Error::Io`].
    pub fn evaluate(
        &self,
        train: &InteractionMatrix,
        held_out: &[(u32, u32)],
        k: usize,
    ) -> Result<RankingReport> {
        self.check_users(train.users())?;
        self.check_items(train)?;
        let (users, items) = self.sides();
        Judge::new(train, held_out, k)?.report_of(users, items, |user| user)
    }

    /// The same where `train` and `held_out` speak of some of the users: user u of theirs is row `rows[u]` of the factors.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_some(
        &self,
        rows: &[u32],
        train: &InteractionMatrix,
        held_out: &[(u32, u32)],
        k: usize,
    ) -> Result<RankingReport> {
        if rows.len() != train.users() {
            let (expected, got) = ([train.users(), self.rank()], [rows.len(), self.rank()]);
            return Err(Error::FactorShape { what: "user factors", expected, got });
        }
        let (users, items) = self.sides();
        users.check_users(rows)?;
        self.check_items(train)?;
        Judge::new(train, held_out, k)?.report_of(users, items, |user| rows[user as usize])
    }

    fn sides(&self) -> (Factors<'_>, Factors<'_>) {
        let side = |file, what| Factors::File { file, what };
        (side(&self.users, "user factors"), side(&self.items, "item factors"))
    }

    fn check_users(&self, users: usize) -> Result<()> {
        let (expected, got) = ([users, self.rank()], [self.users(), self.rank()]);
        if expected == got { Ok(()) } else { Err(Error::FactorShape { what: "user factors", expected, got }) }
    }

    fn check_items(&self, matrix: &InteractionMatrix) -> Result<()> {
        let (expected, got) = ([matrix.items(), self.rank()], [self.items(), self.rank()]);
        if expected == got { Ok(()) } else { Err(Error::FactorShape { what: "item factors", expected, got }) }
    }
}
