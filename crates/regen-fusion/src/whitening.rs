//! Whitening of a side: the affine map after which a table has mean 0 and the identity for its covariance.
//!
//! The eigen-decomposition is libtorch's own in f64: `ndarray-linalg` would bring a second LAPACK into a crate that links
//! libtorch, which is what the workspace's decision 0001 fences in, for one call on a small matrix at set-up time.

use regen_torch::Numbers;
use tch::{Device, Kind, Tensor};

use crate::error::{Torch, torch};
use crate::{Error, Result};

/// Below this share of the largest, an eigenvalue is rounding: the table does not vary along its direction.
const FLAT: f64 = 1e-10;

/// `x ↦ M (x − m)`, with M = U Λ^(−½) Uᵀ of the covariance U Λ Uᵀ: of all whitening maps the one that moves vectors least.
///
/// Directions along which the table does not vary are mapped to zero.
///
/// **Source** Kessy, Lewin, Strimmer 2018, "Optimal Whitening and Decorrelation" (there ZCA).
#[derive(Debug)]
pub struct Whitening {
    pub(crate) mean: Tensor,
    pub(crate) matrix: Tensor,
    directions: usize,
}

impl Whitening {
    /// The map that changes nothing, of width `dim`: for an adapter whose parameters are about to be loaded.
    pub fn identity(dim: i64) -> Self {
        let options = (Kind::Double, Device::Cpu);
        Self {
            mean: Tensor::zeros([dim], options),
            matrix: Tensor::eye(dim, options),
            directions: dim as usize,
        }
    }

    /// Width of the vectors.
    pub fn dim(&self) -> i64 {
        self.mean.numel() as i64
    }

    /// Directions along which the table varies; after the map it has variance 1 along these and 0 along others.
    pub fn directions(&self) -> usize {
        self.directions
    }

    /// The map of `vectors: [.., dim]`, in f64.
    ///
    /// # Errors
    /// [`Error::Torch`], for vectors of another width too.
    pub fn apply(&self, vectors: &Tensor) -> Result<Tensor> {
        apply(vectors, &self.mean, &self.matrix).map_err(torch("whiten vectors"))
    }
}

/// `vectors: [.., dim]` brought to the kind of the map.
pub(crate) fn apply(vectors: &Tensor, mean: &Tensor, matrix: &Tensor) -> Torch<Tensor> {
    vectors.f_to_kind(mean.kind())?.f_sub(mean)?.f_linear(matrix, None::<&Tensor>)
}

/// Sums over the rows of a table from which its whitening follows, taken block by block, so that a table on disk need not fit
/// into memory.
#[derive(Debug)]
pub struct Moments {
    count: f64,
    sum: Tensor,
    products: Tensor,
}

impl Moments {
    /// Of no rows yet, of width `dim`.
    pub fn new(dim: i64) -> Self {
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Double, Device::Cpu));
        Self { count: 0.0, sum: zeros(&[dim]), products: zeros(&[dim, dim]) }
    }

    /// Counts the rows of `vectors: [rows, dim]` that `present: [rows]` says are there.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::WrongKind`], [`Error::Torch`].
    pub fn add(&mut self, vectors: &Tensor, present: &Tensor) -> Result<()> {
        let dim = self.sum.numel() as i64;
        let rows = present.size().first().copied().unwrap_or(0);
        for (tensor, given, expected) in
            [("present", present, vec![rows]), ("vectors", vectors, vec![rows, dim])]
        {
            if given.size() != expected {
                return Err(Error::ShapeMismatch { tensor, expected, got: given.size() });
            }
        }
        if present.kind() != Kind::Bool {
            return Err(Error::WrongKind { tensor: "present", expected: "Bool", got: present.kind() });
        }
        tch::no_grad(|| self.take(vectors, present)).map_err(torch("sum up rows of a table"))
    }

    fn take(&mut self, vectors: &Tensor, present: &Tensor) -> Torch<()> {
        let there = present.f_nonzero()?.f_reshape([-1])?;
        let known = vectors.f_index_select(0, &there)?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
        let sum = self.sum.f_add(&known.f_sum_dim_intlist([0i64].as_slice(), false, Kind::Double)?)?;
        self.products = self.products.f_add(&known.f_tr()?.f_matmul(&known)?)?;
        (self.sum, self.count) = (sum, self.count + known.size()[0] as f64);
        Ok(())
    }

    /// The map that whitens the rows counted so far.
    ///
    /// # Errors
    /// [`Error::Whitening`] for fewer than two rows, rows that are all alike, or numbers that are not finite.
    pub fn whitening(&self) -> Result<Whitening> {
        let refuse = |reason| Err(Error::Whitening { reason });
        if self.count < 2.0 {
            return refuse("fewer than two of its rows are there");
        }
        let found = tch::no_grad(|| self.decompose()).map_err(torch("decompose a covariance"))?;
        found.or_else(refuse)
    }

    /// The map, or why there is none.
    fn decompose(&self) -> Torch<std::result::Result<Whitening, &'static str>> {
        let mean = self.sum.try_div(self.count)?;
        let covariance = self.products.try_div(self.count)?.f_sub(&mean.f_outer(&mean)?)?;
        if covariance.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
            return Ok(Err("it holds a number that is not finite"));
        }
        let (values, vectors) = covariance.f_linalg_eigh("L")?;
        let largest = values.f_max()?.f_double_value(&[])?;
        if largest <= 0.0 {
            return Ok(Err("its rows are all alike"));
        }
        let varies = values.try_gt(largest * FLAT)?;
        let scales =
            values.try_clamp_min(largest * FLAT)?.f_rsqrt()?.f_mul(&varies.f_to_kind(Kind::Double)?)?;
        let matrix = vectors.f_mul(&scales)?.f_matmul(&vectors.f_tr()?)?;
        let directions = varies.f_sum(Kind::Int64)?.f_int64_value(&[])? as usize;
        Ok(Ok(Whitening { mean, matrix, directions }))
    }
}
