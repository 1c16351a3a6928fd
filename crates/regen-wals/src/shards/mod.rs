//! Matrices and fits that do not fit in memory: pairs in shards of rows on disk, in both
//! orientations, and factors in blocks beside them.

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
