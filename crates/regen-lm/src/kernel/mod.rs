//! Products of a few rows with a weight that stays the same: the work of writing text.
//!
//! libtorch computes a one-row product on one core, far below what memory delivers. Here a weight is packed once
//! into panels of 32 outputs, and panels are split over the cores. Processors without AVX2 keep libtorch's path.

#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(not(target_arch = "x86_64"))]
#[path = "none.rs"]
mod lanes;
mod packed;

pub(crate) use packed::Packed;
