//! The arithmetic that takes the time, once for all vector widths.

pub(crate) mod interleaved;
pub(crate) mod product;
