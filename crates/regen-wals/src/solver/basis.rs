//! The basis in which a Gram matrix is diagonal, and turning factors into it and back.
//!
//! Scores, norms and so the loss do not change when both sides of the factors are turned by the
//! same orthogonal matrix. A fit may therefore leave its factors turned from half-sweep to
//! half-sweep, turn on from there, and turn back only when somebody wants to look.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use ndarray::Array2;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::kernel::product::{Panels, Start, Table, gather, upper_product};
use crate::ordered::in_order;
use crate::simd::{Kernel, Lanes, Level, dispatch, flat};

/// An orthogonal basis that a fit holds both sides of its factors in, so that they need not be turned back between half-sweeps:
/// scores do not change when both are turned alike. A [`Checkpoint`](crate::persist::Checkpoint) keeps it, because turning back
/// rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    /// Columns are the basis vectors, `[rank, rank]`.
    vectors: Mat<f64>,
}

impl Basis {
    /// Principal axes of a Gram matrix and their eigenvalues, largest first. Eigenvalues that
    /// rounding made negative become zero.
    pub(crate) fn of(gram: &Array2<f64>, side: &'static str) -> Result<(Self, Vec<f64>)> {
        let rank = gram.nrows();
        // Normalised, and as a mean of both triangles: faer reads one.
        let matrix = Mat::from_fn(rank, rank, |i, j| 0.5 * (gram[[i, j]] + gram[[j, i]]));
        let failed = |_| Error::Eigendecomposition { side };
        let eigen = matrix.self_adjoint_eigen(faer::Side::Lower).map_err(failed)?;
        let values: Vec<f64> = eigen.S().column_vector().iter().rev().copied().collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Error::Eigendecomposition { side });
        }
        let vectors = Mat::from_fn(rank, rank, |i, j| {
            let column = eigen.U().col(rank - 1 - j);
            // A sign that does not hang on the algorithm: the sum of a vector is not negative.
            let sum: f64 = column.iter().sum();
            if sum < 0.0 { -column[i] } else { column[i] }
        });
        let values = values.into_iter().map(|value| value.max(0.0)).collect();
        Ok((Self { vectors }, values))
    }

    /// The basis that results when factors in `self` are turned by `next`.
    pub(crate) fn then(&self, next: &Self) -> Self {
        Self { vectors: &self.vectors * &next.vectors }
    }

    /// Turns factors into this basis, in place.
    pub(crate) fn turn(&self, factors: &mut [f32]) {
        let rank = self.vectors.nrows();
        apply(&Mat::from_fn(rank, rank, |i, j| self.vectors[(i, j)] as f32), factors);
    }

    /// Turns factors that stand in this basis back.
    pub(crate) fn turn_back(&self, factors: &mut [f32]) {
        let rank = self.vectors.nrows();
        apply(&Mat::from_fn(rank, rank, |i, j| self.vectors[(j, i)] as f32), factors);
    }

    /// The numbers of the basis, row by row, for [`from_numbers`](Self::from_numbers).
    pub(crate) fn numbers(&self) -> Vec<f64> {
        let rank = self.vectors.nrows();
        (0..rank * rank).map(|k| self.vectors[(k / rank, k % rank)]).collect()
    }

    /// A basis as [`numbers`](Self::numbers) gave it, `[rank, rank]`.
    pub(crate) fn from_numbers(rank: usize, numbers: &[f64]) -> Self {
        Self { vectors: Mat::from_fn(rank, rank, |i, j| numbers[i * rank + j]) }
    }

    /// Width of the factors.
    pub(crate) fn rank(&self) -> usize {
        self.vectors.nrows()
    }

    /// Whether the vectors are of unit length, as far as rounding allows; those of a damaged file are not.
    pub(crate) fn is_sound(&self) -> bool {
        let length = |k| self.vectors.col(k).iter().map(|value| value * value).sum::<f64>();
        (0..self.rank()).all(|k| (length(k) - 1.0).abs() < 1e-6)
    }

    /// The basis vectors.
    pub(crate) fn vectors(&self) -> MatRef<'_, f64> {
        self.vectors.as_ref()
    }
}

/// Rows a task turns or sums: the partition must not depend on the number of threads, nor on the
/// part of a matrix that is in memory.
pub(crate) const CHUNK: usize = 512;

/// factors ← factors · turn
fn apply(turn: &Mat<f32>, factors: &mut [f32]) {
    let rank = turn.nrows();
    factors.par_chunks_mut(CHUNK * rank).for_each_init(Vec::new, |source: &mut Vec<f32>, chunk| {
        for chunk in chunk.chunks_mut(CHUNK / 4 * rank) {
            source.clear();
            source.extend_from_slice(chunk);
            let rows = chunk.len() / rank;
            // Rows of ours are columns to faer: Fᵀ ← turnᵀ Fᵀ.
            let from = MatRef::from_column_major_slice(source, rank, rows);
            let to = MatMut::from_column_major_slice_mut(chunk, rank, rows);
            matmul(to, Accum::Replace, turn.transpose(), from, 1.0f32, Par::Seq);
        }
    });
}

/// FᵀF: products in f32 over a chunk of rows, the chunks summed in f64 in order.
pub(crate) fn fast_gram(level: Level, factors: &[f32], rank: usize) -> Array2<f64> {
    let parts = GramParts::of(factors.len() / rank, rank);
    let mut gram = Array2::zeros((rank, rank));
    let piece = |rows: &[f32]| {
        let mut sum = parts.zero();
        parts.add(level, rows, &mut sum);
        sum
    };
    in_order(factors, parts.rows * rank, piece, |sum| parts.take(&sum, &mut gram));
    mirror(&mut gram);
    gram
}

/// The parts of a Gram matrix: rows are cut into a few pieces, each piece becomes a sum of its
/// own, and the sums are added up in order. So it does not matter who computes a piece, nor when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GramParts {
    /// Rows of a piece but the last.
    pub(crate) rows: usize,
    /// Pieces.
    pub(crate) count: usize,
    rank: usize,
}

impl GramParts {
    pub(crate) fn of(rows: usize, rank: usize) -> Self {
        // Few, large pieces: each is a matrix of rank² numbers in memory.
        let piece = (CHUNK * rows.div_ceil(CHUNK * 32)).max(CHUNK);
        Self { rows: piece, count: rows.div_ceil(piece), rank }
    }

    pub(crate) fn zero(&self) -> Vec<f64> {
        vec![0.0; self.rank * self.rank]
    }

    /// Adds the upper triangle of rows to a piece: all of its rows at once, or in order by
    /// multiples of [`CHUNK`].
    pub(crate) fn add(&self, level: Level, rows: &[f32], sum: &mut [f64]) {
        for chunk in rows.chunks(CHUNK / 2 * self.rank) {
            dispatch(level, Gram { chunk, rank: self.rank, sum });
        }
    }

    /// The whole from its pieces, both triangles filled.
    pub(crate) fn reduce(&self, pieces: &[Vec<f64>]) -> Array2<f64> {
        let mut gram = Array2::zeros((self.rank, self.rank));
        pieces.iter().for_each(|piece| self.take(piece, &mut gram));
        mirror(&mut gram);
        gram
    }

    /// Adds the upper triangle of a piece.
    fn take(&self, piece: &[f64], gram: &mut Array2<f64>) {
        for i in 0..self.rank {
            for j in i..self.rank {
                gram[[i, j]] += piece[i * self.rank + j];
            }
        }
    }
}

/// Fills the lower triangle from the upper one.
fn mirror(gram: &mut Array2<f64>) {
    for i in 0..gram.nrows() {
        for j in 0..i {
            gram[[i, j]] = gram[[j, i]];
        }
    }
}

struct Gram<'a> {
    chunk: &'a [f32],
    rank: usize,
    sum: &'a mut [f64],
}

impl Kernel for Gram<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let rank = self.rank;
        let count = rank.div_ceil(L::WIDTH);
        let mut panels = Panels::<L>::new();
        let mut out = vec![L::Block::default(); count * L::WIDTH * count];
        let mut nothing = vec![L::Block::default(); count];
        let depth = (512 / count).clamp(32, 256);
        let mut start = Start::Zero;
        for part in self.chunk.chunks(depth * rank) {
            let rows: Vec<u32> = (0..(part.len() / rank) as u32).collect();
            let (scales, pulls) = (vec![1.0; rows.len()], vec![0.0; rows.len()]);
            let table = Table::new(part, rank);
            gather(l, table, &rows, &scales, &pulls, &mut panels, &mut nothing);
            upper_product(l, panels.view(), panels.view(), rank, &mut out, start);
            start = Start::Add;
        }
        for (i, row) in out.chunks_exact(count).take(rank).enumerate() {
            let row = &flat(row)[i..rank];
            for (sum, value) in self.sum[i * rank + i..].iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
        }
    }
}
