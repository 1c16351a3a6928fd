//! A half-sweep on a device: the fixed side lies there, the rows' pairs come in batches, the solutions go back.

use std::ops::ControlFlow;

use ndarray::ArrayView2;
use regen_torch::{Numbers, tensor_from_f32, tensor_to_vec_f32};
use tch::{Device, Kind, Tensor};

use super::batches::{Batch, Batches};
use crate::config::{Arithmetic, Solver, WalsConfig};
use crate::error::{Error, Result};
use crate::fit::{InitialFactors, Progress};
use crate::interactions::InteractionMatrix;
use crate::model::WalsModel;
use crate::objective::{Objective, Terms};
use crate::solver::{Base, Indefinite, Problem, Sweep};

type Torch<T> = std::result::Result<T, tch::TchError>;

/// Where half-sweeps are computed, and how much at once.
///
/// The device holds the factors of the fixed side and one batch. The matrix stays with the host and is sent row by row in
/// every half-sweep, so it may be larger than the device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnDevice {
    /// The device.
    pub device: Device,
    /// Most f32 numbers of gathered factors at once, and as many of normal matrices; a batch needs about four times as many
    /// in all.
    pub most_numbers: usize,
}

impl OnDevice {
    /// Batches of 64 Mi numbers: about 1 GiB.
    pub fn new(device: Device) -> Self {
        Self { device, most_numbers: 1 << 26 }
    }
}

impl WalsConfig {
    /// As [`fit_from`](Self::fit_from), each half-sweep solved on a libtorch device in f32: rows of similar length side by
    /// side, their normal matrices and Cholesky factors in batches. A row whose f32 factorisation breaks down is solved on the
    /// host in f64. The factors equal those of the fit on the host up to rounding (the loss an f64 fit's to 1e-6, the factors
    /// to 1e-3 of the largest: `examples/tests/wals_device.rs`, on libtorch's CPU device; it has not met a GPU yet), and
    /// depend in their last digits on the device.
    ///
    /// # Errors
    /// As [`fit_from`](Self::fit_from), [`Error::NotOnDevice`] for another solver than the exact one in f32, and
    /// [`Error::Device`] for what libtorch reports, such as memory that ran out.
    pub fn fit_on(
        &self,
        device: OnDevice,
        matrix: &InteractionMatrix,
        initial: InitialFactors<'_>,
        progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<WalsModel> {
        if self.solver != Solver::Cholesky || self.arithmetic != Arithmetic::F32 {
            return Err(Error::NotOnDevice { asked: format!("{:?} in {:?}", self.solver, self.arithmetic) });
        }
        self.fit_by(matrix, initial, progress, &mut |sweep, solved, fixed| {
            let run = || device.sweep(sweep, solved, fixed);
            tch::no_grad(run).map(|()| None)
        })
    }
}

fn failed(action: &'static str) -> impl Fn(tch::TchError) -> Error {
    move |source| Error::Device { action, source: Box::new(source) }
}

impl OnDevice {
    fn sweep(self, sweep: &Sweep<'_>, solved: &mut [f32], fixed: &[f32]) -> Result<()> {
        let rank = sweep.config.rank;
        let objective = Objective::new(sweep.config);
        let placed = |numbers: &[f32], shape: &[i64]| {
            let tensor = tensor_from_f32(numbers, shape)
                .map_err(|source| Error::Device { action: "make a tensor", source: Box::new(source) })?;
            tensor.f_to_device(self.device).map_err(failed("send factors to the device"))
        };
        let table = placed(fixed, &[(fixed.len() / rank) as i64, rank as i64])?;
        let gram = gram(&table).map_err(failed("compute the Gram matrix"))?;
        let shared = gram
            .try_mul(objective.unobserved_weight())
            .and_then(|shared| shared.f_to_kind(Kind::Float))
            .map_err(failed("compute the Gram matrix"))?;
        let work = Work { on: self, sweep, objective, table, shared, rank: rank as i64 };

        solved.fill(0.0);
        let mut batches = Batches::of(sweep.rows, rank, self.most_numbers);
        while let Some(batch) = batches.next() {
            let (factors, broken) = work.solve(&batch).map_err(failed("solve a batch of rows"))?;
            let factors = tensor_to_vec_f32(&factors)
                .map_err(|source| Error::Device { action: "fetch factors", source: Box::new(source) })?;
            for ((&row, factor), broken) in batch.rows.iter().zip(factors.chunks_exact(rank)).zip(broken) {
                let target = &mut solved[row as usize * rank..][..rank];
                if broken || factor.iter().any(|value| !value.is_finite()) {
                    work.solve_on_host(row as usize, fixed, &gram, target)?;
                } else {
                    target.copy_from_slice(factor);
                }
            }
        }
        Ok(())
    }
}

/// `table: [n, rank]` f32 `→ [rank, rank]` f64, in pieces so that the wide copy stays small.
fn gram(table: &Tensor) -> Torch<Tensor> {
    const PIECE: i64 = 1 << 16;
    let (rows, rank) = (table.size()[0], table.size()[1]);
    let mut sum = Tensor::f_zeros([rank, rank], (Kind::Double, table.device()))?;
    let mut start = 0;
    while start < rows {
        let wide = table.f_narrow(0, start, PIECE.min(rows - start))?.f_to_kind(Kind::Double)?;
        sum = sum.f_addmm(&wide.f_tr()?, &wide)?;
        start += PIECE;
    }
    Ok(sum)
}

/// What all batches of a half-sweep share.
struct Work<'a> {
    on: OnDevice,
    sweep: &'a Sweep<'a>,
    objective: Objective,
    /// `[fixed, rank]`
    table: Tensor,
    /// α₀G, `[rank, rank]`
    shared: Tensor,
    rank: i64,
}

impl Work<'_> {
    /// Solutions of a batch, `[batch, rank]`, and which of its normal matrices had no Cholesky factor.
    fn solve(&self, batch: &Batch<'_>) -> Torch<(Tensor, Vec<bool>)> {
        let (count, rank, device) = (batch.rows.len() as i64, self.rank, self.on.device);
        let length = |row: u32| self.sweep.rows.length(row as usize);
        let width = self.sweep.rows.width();
        let ridges: Vec<f32> =
            batch.rows.iter().map(|&row| self.objective.ridge(length(row), width) as f32).collect();
        let eye = Tensor::f_eye(rank, (Kind::Float, device))?;
        let ridges = Tensor::f_from_slice(&ridges)?.f_to_device(device)?.f_view([count, 1, 1])?;
        let mut normal = eye.f_unsqueeze(0)?.f_mul(&ridges)?.f_add(&self.shared)?;
        let mut right = Tensor::f_zeros([count, 1, rank], (Kind::Float, device))?;
        let terms: Vec<Terms> = batch
            .rows
            .iter()
            .map(|&row| {
                let mut terms = Terms::default();
                self.objective.terms(self.sweep.rows.row(row as usize), &mut terms);
                terms
            })
            .collect();
        for piece in batch.pieces() {
            let long = piece.len();
            let cells = batch.rows.len() * long;
            // Filling: factor 0, counted zero times.
            let (mut columns, mut excesses, mut pulls) =
                (vec![0i64; cells], vec![0f32; cells], vec![0f32; cells]);
            for (place, (&row, terms)) in batch.rows.iter().zip(&terms).enumerate() {
                let own = piece.start.min(length(row))..piece.end.min(length(row));
                let cells = place * long..place * long + own.len();
                let from = &self.sweep.rows.row(row as usize).columns[own.clone()];
                for (to, &column) in columns[cells.clone()].iter_mut().zip(from) {
                    *to = i64::from(column);
                }
                excesses[cells.clone()].copy_from_slice(&terms.excesses[own.clone()]);
                pulls[cells].copy_from_slice(&terms.pulls[own]);
            }
            let placed = |numbers: &[f32]| Tensor::f_from_slice(numbers)?.f_to_device(device);
            let columns = Tensor::f_from_slice(&columns)?.f_to_device(device)?;
            let gathered = self.table.f_index_select(0, &columns)?.f_view([count, long as i64, rank])?;
            let weighted = gathered.f_mul(&placed(&excesses)?.f_view([count, long as i64, 1])?)?;
            // Not in one call, whose factors are numbers, with which tch panics where memory runs out.
            let _ = normal.f_add_(&weighted.f_transpose(1, 2)?.f_bmm(&gathered)?)?;
            let _ = right.f_add_(&placed(&pulls)?.f_view([count, 1, long as i64])?.f_bmm(&gathered)?)?;
        }
        let (lower, info) = normal.f_linalg_cholesky_ex(false, false)?;
        let factors = right.f_transpose(1, 2)?.f_cholesky_solve(&lower, false)?.f_squeeze_dim(2)?;
        let info = info.f_to_device(Device::Cpu)?.f_to_kind(Kind::Int64)?;
        let broken = Vec::<i64>::try_from(&info)?.into_iter().map(|info| info != 0).collect();
        Ok((factors, broken))
    }

    /// One row in f64.
    fn solve_on_host(&self, row: usize, fixed: &[f32], gram: &Tensor, target: &mut [f32]) -> Result<()> {
        let rank = self.rank as usize;
        let numbers = gram.f_to_device(Device::Cpu).map_err(failed("fetch the Gram matrix"))?;
        let numbers: Vec<f64> =
            Vec::try_from(numbers.reshape([-1])).map_err(failed("fetch the Gram matrix"))?;
        let Ok(gram) = ArrayView2::from_shape((rank, rank), &numbers) else {
            unreachable!("a Gram matrix has rank × rank numbers")
        };
        let table = |column: usize| fixed[column * rank..][..rank].iter().map(|&value| f64::from(value));
        let base = Base::Gram(gram);
        let problem = Problem::new(&self.objective, self.sweep.rows, row, rank, base, table);
        let mut wide = vec![0.0; rank];
        problem
            .solve(Solver::Cholesky, &mut wide)
            .map_err(|Indefinite| Error::NotPositiveDefinite { side: self.sweep.side.name(), row })?;
        for (to, from) in target.iter_mut().zip(wide) {
            *to = from as f32;
        }
        Ok(())
    }
}
