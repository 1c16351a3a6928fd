//! Single systems that are too large to factor many at once: faer's Cholesky, in place.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{
    LltParams, LltRegularization, cholesky_in_place, cholesky_in_place_scratch,
};
use faer::linalg::cholesky::llt::solve::solve_in_place;
use faer::{MatMut, Par, Spec};

/// Scratch memory of the factorisation, kept between rows.
#[derive(Default)]
pub(crate) struct Large {
    order: usize,
    memory: Option<MemBuffer>,
}

impl Large {
    /// Solves A x = b in place of b. `matrix` holds the upper triangle of A by rows of `stride`
    /// numbers, which is the lower triangle by columns. False if A is not positive definite.
    pub(crate) fn solve(&mut self, matrix: &mut [f32], stride: usize, right: &mut [f32]) -> bool {
        let order = right.len();
        let params: Spec<LltParams, f32> = Spec::default();
        if self.memory.is_none() || self.order < order {
            let request = cholesky_in_place_scratch::<f32>(order, Par::Seq, params);
            self.memory = Some(MemBuffer::new(request));
            self.order = order;
        }
        let Some(memory) = &mut self.memory else {
            return false;
        };
        let mut a = MatMut::from_column_major_slice_with_stride_mut(matrix, order, order, stride);
        let regularization = LltRegularization::default();
        let stack = MemStack::new(memory);
        if cholesky_in_place(a.as_mut(), regularization, Par::Seq, stack, params).is_err() {
            return false;
        }
        let b = MatMut::from_column_major_slice_mut(right, order, 1);
        solve_in_place(a.as_ref(), b, Par::Seq, MemStack::new(memory));
        right.iter().all(|v| v.is_finite())
    }
}
