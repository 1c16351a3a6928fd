//! The arithmetic that takes the time, once for all vector widths.

pub(crate) mod inner;
pub(crate) mod interleaved;
pub(crate) mod packed;
pub(crate) mod product;
pub(crate) mod single;
