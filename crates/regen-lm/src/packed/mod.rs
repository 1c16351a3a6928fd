//! One token at a time without libtorch: the work of writing text on a CPU.
//!
//! A decoding step is a chain of products of a few rows with every weight of the model. libtorch computes them well below
//! what memory delivers, and starts some thirty operations a layer. Here weights are packed once into panels of 32
//! outputs, panels are split over the cores, and what happens between two products is plain loops. The prompt, which has
//! many rows, stays libtorch's. Processors without AVX2 keep libtorch's path for everything.

mod block;
mod cache;
mod decoder;
mod exp;
#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(not(target_arch = "x86_64"))]
#[path = "none.rs"]
mod lanes;
mod matrix;
mod rows;

pub(crate) use self::cache::PackedCache;
pub(crate) use self::decoder::PackedDecoder;
