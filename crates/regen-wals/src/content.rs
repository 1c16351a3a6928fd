//! From what an item is to where it would stand: factors for items without interactions.

use faer::Mat;
use faer::linalg::solvers::Solve;
use ndarray::{Array2, ArrayView2};

use crate::error::{Error, Result};
use crate::interactions::InteractionMatrix;
use crate::model::{WalsModel, check_factors};

/// An affine map from content vectors (of a text encoder, say) to item factors, fitted by ridge
/// regression on the items that have interactions:
///
/// min Σ_i |f_i − Wᵀ c_i − b|² + λ n |W|², over the n items with pairs.
///
/// **Source** Gantner et al. (2010), "Learning attribute-to-feature mappings for cold-start
/// recommendations", with a linear map.
#[derive(Debug, Clone)]
pub struct ContentMap {
    /// W, `[dim, rank]`.
    weights: Array2<f64>,
    /// b, `[rank]`.
    intercept: Vec<f64>,
}

impl ContentMap {
    /// Fits the map on the items of a model that have pairs in its matrix. λ is a variance: it
    /// is compared with those of the content's coordinates.
    ///
    /// **Shapes** `content: [items, dim]`.
    ///
    /// # Errors
    /// [`Error::FactorShape`] for content or a matrix of another number of items,
    /// [`Error::FactorValue`] for content that is not finite, [`Error::InvalidSetting`] unless λ is finite
    /// and above 0, [`Error::NoPairs`].
    pub fn fit(
        model: &WalsModel,
        matrix: &InteractionMatrix,
        content: ArrayView2<'_, f32>,
        regularization: f64,
    ) -> Result<Self> {
        if !(regularization.is_finite() && regularization > 0.0) {
            let expected = "finite, > 0";
            return Err(Error::InvalidSetting { field: "regularization", expected, got: regularization });
        }
        let (items, dim, rank) = (model.items(), content.ncols(), model.rank());
        if matrix.items() != items {
            let (expected, got) = ([matrix.items(), rank], [items, rank]);
            return Err(Error::FactorShape { what: "item factors", expected, got });
        }
        check_factors("content vectors", content, Some(items), dim)?;
        let known: Vec<usize> = (0..items).filter(|&item| !matrix.item_row(item).0.is_empty()).collect();
        if known.is_empty() {
            return Err(Error::NoPairs { users: matrix.users(), items });
        }
        let rows = |from: ArrayView2<'_, f32>| from.select(ndarray::Axis(0), &known).mapv(f64::from);
        let (mut content, mut factors) = (rows(content), rows(model.item_factors()));
        let centre = |rows: &mut Array2<f64>| {
            let mean = rows.sum_axis(ndarray::Axis(0)) / known.len() as f64;
            *rows -= &mean;
            mean
        };
        let (content_mean, factor_mean) = (centre(&mut content), centre(&mut factors));
        let (normal, right) = (content.t().dot(&content), content.t().dot(&factors));
        let ridge = regularization * known.len() as f64;
        let normal = Mat::from_fn(dim, dim, |i, j| normal[[i, j]] + if i == j { ridge } else { 0.0 });
        // Positive definite by the ridge; what overflows was too large to be content.
        let factor = normal.llt(faer::Side::Lower).map_err(|_| Error::InvalidSetting {
            field: "regularization",
            expected: "more, for content of this size",
            got: regularization,
        })?;
        let solution = factor.solve(Mat::from_fn(dim, rank, |i, j| right[[i, j]]));
        let weights = Array2::from_shape_fn((dim, rank), |(i, j)| solution[(i, j)]);
        let intercept = (&factor_mean - &content_mean.dot(&weights)).to_vec();
        Ok(Self { weights, intercept })
    }

    /// Factors of items by their content, whether they were in the fit or not.
    ///
    /// **Shapes** `content: [n, dim]` → `[n, rank]`.
    ///
    /// # Errors
    /// [`Error::FactorShape`], [`Error::FactorValue`].
    pub fn factors(&self, content: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        check_factors("content vectors", content, None, self.weights.nrows())?;
        let mut factors = content.mapv(f64::from).dot(&self.weights);
        for mut row in factors.rows_mut() {
            row.iter_mut().zip(&self.intercept).for_each(|(value, b)| *value += b);
        }
        Ok(factors.mapv(|value| value as f32))
    }
}
