//! Half-sweeps: one side of the factors solved while the other is held fixed.

mod plain;
mod sweep;

pub(crate) use sweep::{Side, Sweep};
