//! The solvers in plain f64 loops: the obvious code.

use crate::config::Solver;
use crate::solver::Sweep;

/// A pivot that was not positive.
#[derive(Debug)]
pub(crate) struct Indefinite;

/// One row's problem in f64: gathered rows Y, coefficients c, right-hand terms t = w p.
struct Problem {
    rank: usize,
    rows: Vec<f64>,
    excess: Vec<f64>,
    pull: Vec<f64>,
    /// α₀ G + λρ I, `[rank, rank]`.
    base: Vec<f64>,
}

pub(crate) fn solve_row(sweep: &Sweep<'_>, row: usize, factor: &mut [f32]) -> Result<(), Indefinite> {
    let problem = Problem::new(sweep, row);
    let mut x: Vec<f64> = factor.iter().map(|&v| v.into()).collect();
    match sweep.solver {
        Solver::Cholesky => problem.minimise_block(0, sweep.rank, &mut x)?,
        Solver::ConjugateGradient { steps } => problem.conjugate_gradient(steps, &mut x),
        Solver::Block { size } => {
            for start in (0..sweep.rank).step_by(size) {
                problem.minimise_block(start, size.min(sweep.rank - start), &mut x)?;
            }
        }
    }
    for (to, from) in factor.iter_mut().zip(x) {
        *to = from as f32;
    }
    Ok(())
}

impl Problem {
    fn new(sweep: &Sweep<'_>, row: usize) -> Self {
        let rank = sweep.rank;
        let objective = &sweep.objective;
        let mut problem = Self {
            rank,
            rows: Vec::new(),
            excess: Vec::new(),
            pull: Vec::new(),
            base: sweep.gram.iter().map(|g| objective.unobserved_weight() * g).collect(),
        };
        let ridge = objective.ridge(sweep.rows.length(row), sweep.rows.width());
        for k in 0..rank {
            problem.base[k * rank + k] += ridge;
        }
        for (column, value, target) in sweep.rows.row(row).entries() {
            let weight = objective.weight(value);
            problem.excess.push(objective.excess(weight));
            problem.pull.push(weight * f64::from(target));
            let fixed = &sweep.fixed[column * rank..][..rank];
            problem.rows.extend(fixed.iter().map(|&v| f64::from(v)));
        }
        problem
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

    fn conjugate_gradient(&self, steps: usize, x: &mut [f64]) {
        let mut residual = self.residual(x);
        let mut direction = residual.clone();
        let mut norm = dot(&residual, &residual);
        let first = norm;
        for _ in 0..steps {
            // Below this the division amplifies noise.
            if norm <= 1e-30 * first || norm == 0.0 {
                break;
            }
            let mut image: Vec<f64> =
                self.base.chunks_exact(self.rank).map(|row| dot(row, &direction)).collect();
            for (y, excess) in self.rows.chunks_exact(self.rank).zip(&self.excess) {
                let scale = excess * dot(y, &direction);
                for (r, v) in image.iter_mut().zip(y) {
                    *r += scale * v;
                }
            }
            let step = norm / dot(&direction, &image);
            for k in 0..self.rank {
                x[k] += step * direction[k];
                residual[k] -= step * image[k];
            }
            let next = dot(&residual, &residual);
            let ratio = next / norm;
            norm = next;
            for (d, r) in direction.iter_mut().zip(&residual) {
                *d = r + ratio * *d;
            }
        }
    }
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
        let pivot = row[i] - dot(&row[..i], &row[..i]);
        if !(pivot > 0.0 && pivot.is_finite()) {
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
