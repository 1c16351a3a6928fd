//! Matrices and fits that do not fit in memory: pairs in shards of rows on disk, in both
//! orientations, and factors in blocks beside them.
//!
//! [`ShardWriter`] takes triplets in any order and in bounded memory, and
//! [`WalsConfig::fit_shards`](crate::WalsConfig::fit_shards) holds one shard at a time with the
//! factors that it touches. Its factors are those of the fit in memory, bit for bit, and it goes on
//! where it was interrupted. What that means for up to a billion items is worked out in
//! `docs/scale.md` of the repository.

mod blocks;
mod file;
mod fit;
mod loss;
mod matrix;
mod state;
mod writer;

pub use fit::{ShardProgress, ShardStep, ShardedFit};
pub use matrix::ShardedMatrix;
pub use writer::{ShardPlan, ShardWriter};
