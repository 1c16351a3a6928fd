//! Reading and writing without libtorch: the work of generating text on a CPU.
//!
//! A decoding step is a chain of products of a few rows with every weight of the model. libtorch computes them well below
//! what memory delivers, and starts some thirty operations a layer. Here weights are packed once into the panels of
//! `regen-kernel`, panels or rows are split over the cores, and what happens between two products is plain loops. Prompts
//! go the same way, row by row of the batch without padding. Processors without a kernel keep libtorch's path.

mod block;
mod cache;
mod decoder;
mod held;
mod memory;
mod rows;
mod weights;

pub(crate) use self::cache::PackedCache;
pub(crate) use self::decoder::PackedDecoder;
pub use self::held::CacheStorage;
pub(crate) use self::rows::{Frequencies, Turn};
pub(crate) use self::weights::{kernel, row_norm};
