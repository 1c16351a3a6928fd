//! From sums on the host to the gradients of tensors.

use rayon::prelude::*;
use tch::Tensor;

use crate::error::Result;
use crate::recompute::push;
use crate::train::pieces::{AT_ONCE, pieces_of_gradient};

/// Adds to the gradient of a leaf, row by row as `values` are, or makes it. A leaf that is frozen gets none.
pub(super) fn add_gradient(leaf: &Tensor, values: &[f32]) -> Result<()> {
    if !leaf.requires_grad() {
        return Ok(());
    }
    let mut gradient = leaf.grad();
    if !gradient.defined() {
        // The one way to a first gradient: autograd's own.
        return push(leaf, &Tensor::f_from_slice(values)?.f_view(leaf.size().as_slice())?);
    }
    let Some(pieces) = pieces_of_gradient(leaf) else {
        let _ = gradient.f_add_(&Tensor::f_from_slice(values)?.f_view(leaf.size().as_slice())?)?;
        return Ok(());
    };
    let pairs: Vec<_> = pieces.into_iter().zip(values.chunks(AT_ONCE)).collect();
    pairs.into_par_iter().with_min_len(4).try_for_each(|(mut piece, values)| {
        let _ = piece.f_add_(&Tensor::f_from_slice(values)?)?;
        Ok(())
    })
}

/// Sums of pieces, in their order. **Shapes** `parts: [pieces, width] → into: [width]`.
pub(super) fn sum_pieces(parts: &[f32], width: usize, from: usize, into: &mut Vec<f32>, count: usize) {
    into.clear();
    into.resize(count, 0.0);
    for part in parts.chunks_exact(width) {
        into.iter_mut().zip(&part[from..from + count]).for_each(|(sum, part)| *sum += part);
    }
}
