//! The solvers in plain f64 loops: the obvious code, for [`Arithmetic::F64`] and for the rare row
//! whose f32 factorisation breaks down.
//!
//! [`Arithmetic::F64`]: crate::Arithmetic::F64

use ndarray::ArrayView2;

use crate::config::Solver;
use crate::interactions::Compressed;
use crate::objective::Objective;

/// A pivot that was not positive, or all rounding error.
#[derive(Debug)]
pub(crate) struct Indefinite;

/// A pivot below this share of its diagonal number is rounding error.
const SMALLEST_PIVOT: f64 = 16.0 * f64::EPSILON;

/// α₀ G: what every row shares.
#[derive(Clone, Copy)]
pub(crate) enum Base<'a> {
    /// G in the basis of the factors, `[rank, rank]`.
    Gram(ArrayView2<'a, f64>),
    /// α₀Λ, where G is diagonal.
    Diagonal(&'a [f64]),
}

/// One row's problem in f64: gathered rows Y, coefficients c, right-hand terms t = w p.
pub(crate) struct Problem {
    rank: usize,
    rows: Vec<f64>,
    excess: Vec<f64>,
    pull: Vec<f64>,
    /// α₀ G + λρ I, `[rank, rank]`.
    base: Vec<f64>,
}

impl Problem {
    /// `table(column)` yields the numbers of a fixed factor.
    pub(crate) fn new<Y: IntoIterator<Item = f64>>(
        objective: &Objective,
        rows: &Compressed,
        row: usize,
        rank: usize,
        base: Base<'_>,
        table: impl Fn(usize) -> Y,
    ) -> Self {
        let mut problem = Self {
            rank,
            rows: Vec::with_capacity(rows.length(row) * rank),
            excess: Vec::new(),
            pull: Vec::new(),
            base: vec![0.0; rank * rank],
        };
        let ridge = objective.ridge(rows.length(row), rows.width());
        match base {
            Base::Gram(gram) => {
                for (to, from) in problem.base.iter_mut().zip(gram) {
                    *to = objective.unobserved_weight() * from;
                }
            }
            Base::Diagonal(spectrum) => {
                for (k, value) in spectrum.iter().enumerate() {
                    problem.base[k * rank + k] = *value;
                }
            }
        }
        for k in 0..rank {
            problem.base[k * rank + k] += ridge;
        }
        for (column, value, target) in rows.row(row).entries() {
            let weight = objective.weight(value);
            problem.excess.push(objective.excess(weight));
            problem.pull.push(weight * f64::from(target));
            problem.rows.extend(table(column));
        }
        problem
    }

    /// Improves or solves the row by the given solver, from the start value in `x`.
    pub(crate) fn solve(&self, solver: Solver, x: &mut [f64]) -> Result<(), Indefinite> {
        match self.improve(solver, x) {
            // Where nothing pulls, zero is a minimum, be it not the only one.
            Err(Indefinite) if self.pull.iter().all(|&pull| pull == 0.0) => {
                x.fill(0.0);
                Ok(())
            }
            solved => solved,
        }
    }

    fn improve(&self, solver: Solver, x: &mut [f64]) -> Result<(), Indefinite> {
        match solver {
            Solver::Cholesky => self.minimise_block(0, self.rank, x),
            Solver::ConjugateGradient { steps } => {
                self.conjugate_gradient(steps, x);
                Ok(())
            }
            Solver::Block { size, relaxation } => {
                let start = x.to_vec();
                (0..self.rank)
                    .step_by(size)
                    .try_for_each(|first| self.minimise_block(first, size.min(self.rank - first), x))?;
                self.relax(relaxation.into(), &start, x);
                Ok(())
            }
        }
    }

    /// b − A x.
    fn residual(&self, x: &[f64]) -> Vec<f64> {
        let mut residual: Vec<f64> = self.base.chunks_exact(self.rank).map(|row| -dot(row, x)).collect();
        for ((y, excess), pull) in self.rows.chunks_exact(self.rank).zip(&self.excess).zip(&self.pull) {
            let scale = pull - excess * dot(y, x);
            for (r, v) in residual.iter_mut().zip(y) {
                *r += scale * v;
            }
        }
        residual
    }

    /// Sets the coordinates `start..start + size` of x to their minimum given the others.
    fn minimise_block(&self, start: usize, size: usize, x: &mut [f64]) -> Result<(), Indefinite> {
        x[start..start + size].fill(0.0);
        let mut right = self.residual(x)[start..start + size].to_vec();
        let mut normal = vec![0f64; size * size];
        for i in 0..size {
            for j in 0..=i {
                normal[i * size + j] = self.base[(start + i) * self.rank + start + j];
            }
        }
        for (y, excess) in self.rows.chunks_exact(self.rank).zip(&self.excess) {
            let y = &y[start..start + size];
            for i in 0..size {
                let scaled = excess * y[i];
                for (a, v) in normal[i * size..=i * size + i].iter_mut().zip(y) {
                    *a += scaled * v;
                }
            }
        }
        cholesky_solve(&mut normal, &mut right)?;
        x[start..start + size].copy_from_slice(&right);
        Ok(())
    }

    /// Goes `relaxation` times the way from `start` to x, or to the minimum along it where that
    /// lies before x.
    fn relax(&self, relaxation: f64, start: &[f64], x: &mut [f64]) {
        if relaxation == 1.0 {
            return;
        }
        let way: Vec<f64> = x.iter().zip(start).map(|(x, start)| x - start).collect();
        let residual = self.residual(start);
        let slope = dot(&residual, &way);
        let curvature = slope - dot(&self.residual(x), &way);
        let end = if slope < curvature { (slope / curvature).max(0.0) } else { 1.0 };
        for ((x, start), way) in x.iter_mut().zip(start).zip(&way) {
            *x = start + relaxation * end * way;
        }
    }

    /// Preconditioned by the diagonal of what all rows share.
    fn conjugate_gradient(&self, steps: usize, x: &mut [f64]) {
        let rank = self.rank;
        let diagonal: Vec<f64> = (0..rank).map(|k| self.base[k * rank + k]).collect();
        let inverse = preconditioner(&diagonal);
        let scaled =
            |residual: &[f64]| -> Vec<f64> { residual.iter().zip(&inverse).map(|(r, m)| r * m).collect() };
        let mut residual = self.residual(x);
        let mut direction = scaled(&residual);
        let mut norm = dot(&residual, &direction);
        for _ in 0..steps {
            if norm == 0.0 {
                break;
            }
            let mut image: Vec<f64> = self.base.chunks_exact(rank).map(|row| dot(row, &direction)).collect();
            for (y, excess) in self.rows.chunks_exact(rank).zip(&self.excess) {
                let scale = excess * dot(y, &direction);
                for (r, v) in image.iter_mut().zip(y) {
                    *r += scale * v;
                }
            }
            let curvature = dot(&direction, &image);
            // At the end of the Krylov space both are rounding error.
            if curvature.is_nan() || curvature <= 0.0 {
                break;
            }
            let step = norm / curvature;
            for k in 0..rank {
                x[k] += step * direction[k];
                residual[k] -= step * image[k];
            }
            let preconditioned = scaled(&residual);
            let next = dot(&residual, &preconditioned);
            let ratio = next / norm;
            norm = next;
            for (d, z) in direction.iter_mut().zip(&preconditioned) {
                *d = z + ratio * *d;
            }
        }
    }
}

/// Inverses of a diagonal, kept from exploding where it vanishes.
pub(crate) fn preconditioner(diagonal: &[f64]) -> Vec<f64> {
    let largest = diagonal.iter().fold(0f64, |m, &d| m.max(d));
    if largest == 0.0 {
        return vec![1.0; diagonal.len()];
    }
    diagonal.iter().map(|&d| 1.0 / d.max(1e-6 * largest)).collect()
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(a, b)| a * b).sum()
}

/// Solves A x = b in place; A's lower triangle, row-major, is overwritten by its factor.
fn cholesky_solve(a: &mut [f64], b: &mut [f64]) -> Result<(), Indefinite> {
    let n = b.len();
    for i in 0..n {
        let (above, rest) = a.split_at_mut(i * n);
        let row = &mut rest[..n];
        for j in 0..i {
            let other = &above[j * n..=j * n + j];
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let diagonal = row[i];
        let pivot = diagonal - dot(&row[..i], &row[..i]);
        if !(pivot > SMALLEST_PIVOT * diagonal && pivot.is_finite()) {
            return Err(Indefinite);
        }
        row[i] = pivot.sqrt();
        b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
    }
    for i in (0..n).rev() {
        b[i] /= a[i * n + i];
        let (before, rest) = b.split_at_mut(i);
        for (x, l) in before.iter_mut().zip(&a[i * n..i * n + i]) {
            *x -= l * rest[0];
        }
    }
    Ok(())
}
