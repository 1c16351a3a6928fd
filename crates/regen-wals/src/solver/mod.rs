//! Half-sweeps: one side of the factors solved while the other is held fixed.

mod basis;
mod batch;
mod block;
mod conjugate_gradient;
mod large;
mod plain;
mod rows;
mod sweep;
#[cfg(test)]
mod tests;

pub(crate) use basis::Basis;
pub(crate) use rows::by_length;
pub(crate) use sweep::{Side, Sweep, fold_in};
