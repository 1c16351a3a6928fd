//! The fitted factors and what they answer: fold-in of new rows, exact top-k recommendation.

use ndarray::{Array1, Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::config::WalsConfig;
use crate::error::{Error, Result};
use crate::interactions::{Compressed, InteractionMatrix};
use crate::objective::{Objective, gram};
use crate::ranking::{Factors, lists, recommend};
use crate::solver::{Side, fold_in};

/// User and item factors, with the recipe that made them.
#[derive(Debug, Clone)]
pub struct WalsModel {
    config: WalsConfig,
    user_factors: Array2<f32>,
    item_factors: Array2<f32>,
    user_gram: Array2<f64>,
    item_gram: Array2<f64>,
    outcome: Outcome,
}

/// How a fit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All iterations of the configuration ran.
    Finished,
    /// The progress callback broke off, or the factors of an earlier iteration were kept (see
    /// [`EarlyStopping`](crate::EarlyStopping)).
    Stopped {
        /// Iterations whose two half-sweeps both ran.
        completed: usize,
    },
    /// The model was put together from factors made elsewhere.
    Assembled,
}

/// One recommended item.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Recommendation {
    /// Item number.
    pub item: u32,
    /// x·y.
    pub score: f32,
}

/// Whether items that a user already has may be recommended.
#[derive(Debug, Clone, Copy)]
pub enum SeenItems<'a> {
    /// Leave out the items of the user's row in this matrix.
    Exclude(&'a InteractionMatrix),
    /// All items compete.
    Keep,
}

impl WalsModel {
    /// Puts a model together from factors, for example loaded ones.
    ///
    /// **Shapes** `user_factors: [users, config.rank]`, `item_factors: [items, config.rank]`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], [`Error::FactorShape`], [`Error::FactorValue`].
    pub fn from_factors(
        config: WalsConfig,
        user_factors: Array2<f32>,
        item_factors: Array2<f32>,
    ) -> Result<Self> {
        config.validate()?;
        check_factors("user factors", user_factors.view(), None, config.rank)?;
        check_factors("item factors", item_factors.view(), None, config.rank)?;
        Ok(Self::assemble(
            config,
            user_factors.as_standard_layout().into_owned(),
            item_factors.as_standard_layout().into_owned(),
            Outcome::Assembled,
        ))
    }

    /// As [`from_factors`](Self::from_factors), for factors known to be sound and contiguous.
    pub(crate) fn assemble(
        config: WalsConfig,
        user_factors: Array2<f32>,
        item_factors: Array2<f32>,
        outcome: Outcome,
    ) -> Self {
        let user_gram = gram(slice(&user_factors), config.rank);
        let item_gram = gram(slice(&item_factors), config.rank);
        Self { config, user_factors, item_factors, user_gram, item_gram, outcome }
    }

    /// The configuration of the fit.
    pub fn config(&self) -> &WalsConfig {
        &self.config
    }

    /// How the fit ended.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Number of users.
    pub fn users(&self) -> usize {
        self.user_factors.nrows()
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.item_factors.nrows()
    }

    /// Width of the factors.
    pub fn rank(&self) -> usize {
        self.config.rank
    }

    /// Factors of the users, `[users, rank]`.
    pub fn user_factors(&self) -> ArrayView2<'_, f32> {
        self.user_factors.view()
    }

    /// Factors of the items, `[items, rank]`.
    pub fn item_factors(&self) -> ArrayView2<'_, f32> {
        self.item_factors.view()
    }

    /// XᵀX of the user factors, `[rank, rank]`: all that a fold-in of items needs of the users
    /// who did not touch them.
    pub fn user_gram(&self) -> ArrayView2<'_, f64> {
        self.user_gram.view()
    }

    /// YᵀY of the item factors, `[rank, rank]`.
    pub fn item_gram(&self) -> ArrayView2<'_, f64> {
        self.item_gram.view()
    }

    /// L of this model on a matrix.
    ///
    /// # Errors
    /// [`Error::FactorShape`] when the matrix has another number of users or items.
    pub fn objective(&self, matrix: &InteractionMatrix) -> Result<f64> {
        self.check_matrix(matrix)?;
        let (users, items) = (slice(&self.user_factors), slice(&self.item_factors));
        Ok(Objective::new(&self.config).of_slices(matrix, users, items, self.rank()))
    }

    /// Factor of a user who was not in the fit, by the exact solve against the item factors.
    ///
    /// `pairs` are (item, value) in any order; values of a repeated item are summed. No pairs
    /// give the zero factor.
    ///
    /// # Errors
    /// [`Error::ItemOutOfRange`], [`Error::InvalidRowValue`], [`Error::NotPositiveDefinite`], [`Error::Overflow`],
    /// [`Error::NotFinite`].
    pub fn fold_in_user(&self, pairs: &[(u32, f32)]) -> Result<Array1<f32>> {
        let row = one_row(self.items(), pairs)?;
        Ok(self.fold_in_rows(Side::User, row.by_user())?.into())
    }

    /// Factor of an item that was not in the fit; `pairs` are (user, value).
    ///
    /// # Errors
    /// As [`fold_in_user`](Self::fold_in_user), with [`Error::UserOutOfRange`].
    pub fn fold_in_item(&self, pairs: &[(u32, f32)]) -> Result<Array1<f32>> {
        let row = one_row(self.users(), pairs).map_err(|error| match error {
            Error::ItemOutOfRange { item, items } => Error::UserOutOfRange { user: item, users: items },
            other => other,
        })?;
        Ok(self.fold_in_rows(Side::Item, row.by_user())?.into())
    }

    /// Factors of many new users at once, `[rows of the matrix, rank]`: the matrix speaks of the
    /// model's items and of users of its own.
    ///
    /// # Errors
    /// [`Error::FactorShape`], [`Error::NotPositiveDefinite`], [`Error::Overflow`], [`Error::NotFinite`].
    pub fn fold_in_users(&self, matrix: &InteractionMatrix) -> Result<Array2<f32>> {
        if matrix.items() != self.items() {
            return Err(Error::FactorShape {
                what: "item factors",
                expected: [matrix.items(), self.rank()],
                got: [self.items(), self.rank()],
            });
        }
        self.fold_in_many(Side::User, matrix.by_user())
    }

    /// Factors of many new items at once, `[items of the matrix, rank]`: the matrix speaks of the
    /// model's users and of items of its own.
    ///
    /// # Errors
    /// As [`fold_in_users`](Self::fold_in_users).
    pub fn fold_in_items(&self, matrix: &InteractionMatrix) -> Result<Array2<f32>> {
        if matrix.users() != self.users() {
            return Err(Error::FactorShape {
                what: "user factors",
                expected: [matrix.users(), self.rank()],
                got: [self.users(), self.rank()],
            });
        }
        self.fold_in_many(Side::Item, matrix.by_item())
    }

    /// The `k` best items for each of the given users, best first; ties go to the lower item
    /// number. Exact: every item is scored. Each user's list is the same whatever other users
    /// stand beside them.
    ///
    /// # Errors
    /// [`Error::UserOutOfRange`], and [`Error::FactorShape`] when the matrix of seen items has
    /// another shape than the model.
    pub fn recommend(
        &self,
        users: &[u32],
        k: usize,
        seen: SeenItems<'_>,
    ) -> Result<Vec<Vec<Recommendation>>> {
        if let SeenItems::Exclude(matrix) = seen {
            self.check_matrix(matrix)?;
        }
        let numbers = slice(&self.user_factors);
        recommend(Factors::Memory { numbers, rank: self.rank() }, self.ranked_items(), users, k, seen)
    }

    /// The `k` best items for a factor, for example of a folded-in user, without those in `seen`.
    ///
    /// # Errors
    /// [`Error::FactorShape`] when the factor is not `[rank]`, [`Error::FactorValue`] when it holds a number that is not
    /// finite, [`Error::ItemOutOfRange`].
    pub fn recommend_for(&self, factor: &[f32], k: usize, seen: &[u32]) -> Result<Vec<Recommendation>> {
        if factor.len() != self.rank() {
            return Err(Error::FactorShape {
                what: "user factors",
                expected: [1, self.rank()],
                got: [1, factor.len()],
            });
        }
        if let Some(column) = factor.iter().position(|value| !value.is_finite()) {
            let what = "user factors";
            return Err(Error::FactorValue { what, row: 0, column, value: factor[column] });
        }
        if let Some(&item) = seen.iter().find(|&&item| item as usize >= self.items()) {
            return Err(Error::ItemOutOfRange { item: item as usize, items: self.items() });
        }
        let mut seen = seen.to_vec();
        seen.sort_unstable();
        seen.dedup();
        let alone = Factors::Memory { numbers: factor, rank: self.rank() };
        let lists = lists(alone, self.ranked_items(), &[(0, &seen)], k)?;
        Ok(lists.into_iter().next().unwrap_or_default())
    }

    fn ranked_items(&self) -> Factors<'_> {
        Factors::Memory { numbers: slice(&self.item_factors), rank: self.rank() }
    }

    fn fold_in_many(&self, side: Side, rows: &Compressed) -> Result<Array2<f32>> {
        let factors = self.fold_in_rows(side, rows)?;
        match Array2::from_shape_vec((rows.rows(), self.rank()), factors) {
            Ok(factors) => Ok(factors),
            Err(_) => unreachable!("allocated with that size"),
        }
    }

    /// `rows`: one row a new user or item, its columns the other side of the model.
    fn fold_in_rows(&self, side: Side, rows: &Compressed) -> Result<Vec<f32>> {
        let (fixed, gram) = match side {
            Side::User => (&self.item_factors, &self.item_gram),
            Side::Item => (&self.user_factors, &self.user_gram),
        };
        fold_in(&self.config, side, rows, fixed, gram.view())
    }

    fn check_matrix(&self, matrix: &InteractionMatrix) -> Result<()> {
        let rank = self.rank();
        check_shape("user factors", self.user_factors(), matrix.users(), rank)?;
        check_shape("item factors", self.item_factors(), matrix.items(), rank)
    }
}

/// Refuses factors of another shape.
pub(crate) fn check_shape(
    what: &'static str,
    factors: ArrayView2<'_, f32>,
    rows: usize,
    rank: usize,
) -> Result<()> {
    let (expected, got) = ([rows, rank], [factors.nrows(), factors.ncols()]);
    if got == expected { Ok(()) } else { Err(Error::FactorShape { what, expected, got }) }
}

/// Refuses factors of another shape, or with numbers that are not finite.
pub(crate) fn check_factors(
    what: &'static str,
    factors: ArrayView2<'_, f32>,
    rows: Option<usize>,
    rank: usize,
) -> Result<()> {
    check_shape(what, factors, rows.unwrap_or(factors.nrows()), rank)?;
    match factors.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((row, column), &value)) => Err(Error::FactorValue { what, row, column, value }),
    }
}

/// A matrix of one row, so that fold-in runs through the very code of the fit.
fn one_row(width: usize, pairs: &[(u32, f32)]) -> Result<InteractionMatrix> {
    let triplets = pairs.iter().map(|&(column, value)| (0, column, value));
    InteractionMatrix::from_triplets(1, width, triplets).map_err(|error| match error {
        Error::InvalidValue { item, value, .. } => Error::InvalidRowValue { index: item, value },
        other => other,
    })
}

pub(crate) fn slice(array: &Array2<f32>) -> &[f32] {
    match array.as_slice() {
        Some(slice) => slice,
        None => unreachable!("factors are kept in standard layout"),
    }
}
