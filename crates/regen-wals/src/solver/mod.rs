//! Half-sweeps: one side of the factors solved while the other is held fixed.

mod basis;
mod batch;
mod block;
mod conjugate_gradient;
mod large;
mod order;
mod plain;
mod rows;
mod sweep;
#[cfg(test)]
mod tests;

pub use basis::Basis;
pub(crate) use basis::{CHUNK, GramParts};
pub(crate) use order::Order;
#[cfg(feature = "torch")]
pub(crate) use plain::{Base, Indefinite, Problem};
pub(crate) use sweep::{Side, Sweep, fold_in, solve_turned};
