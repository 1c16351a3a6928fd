//! Tensors on the host in pieces, so that whole passes over many of them are shared by the threads of our own pool.

use rayon::prelude::*;
use regen_kernel::{Level, Work, dot};
use tch::{Device, Kind, Tensor};

use crate::error::Result;

/// Numbers of a piece: few enough that libtorch works on the thread that asks, and that they stay in its cache.
pub(crate) const AT_ONCE: usize = 16_384;

/// Views of a contiguous tensor's numbers, front to back.
pub(crate) fn pieces(tensor: &Tensor) -> Result<Vec<Tensor>> {
    let flat = tensor.f_view([-1])?;
    let count = flat.numel();
    let starts = (0..count).step_by(AT_ONCE);
    starts.map(|start| Ok(flat.f_narrow(0, start as i64, AT_ONCE.min(count - start) as i64)?)).collect()
}

/// The same of a leaf's gradient, if there is one, on the host and in f32.
pub(crate) fn pieces_of_gradient(leaf: &Tensor) -> Option<Vec<Tensor>> {
    let gradient = leaf.grad();
    let plain = gradient.defined() && gradient.device() == Device::Cpu && gradient.kind() == Kind::Float;
    if plain && gradient.is_contiguous() { pieces(&gradient.detach()).ok() } else { None }
}

/// Root of the sum of squares of pieces that lie one after another, which does not depend on who sums which.
pub(crate) fn norm(pieces: Vec<Tensor>) -> Result<f64> {
    let squares = pieces.into_par_iter().with_min_len(4).map(|piece| {
        let mut values = vec![0.0f32; piece.numel()];
        let count = values.len();
        piece.f_copy_data(&mut values, count)?;
        let mut sum = 0.0;
        match Level::best() {
            Some(level) => level.run(Squares { values: &values, sum: &mut sum }),
            None => Squares { values: &values, sum: &mut sum }.run(),
        }
        Ok(sum)
    });
    Ok(squares.collect::<Result<Vec<f64>>>()?.into_iter().sum::<f64>().sqrt())
}

struct Squares<'a> {
    values: &'a [f32],
    sum: &'a mut f64,
}

impl Work for Squares<'_> {
    #[inline(always)]
    fn run(self) {
        // In f32 as far as that rounds little.
        for part in self.values.chunks(1024) {
            *self.sum += f64::from(dot(part, part));
        }
    }
}
