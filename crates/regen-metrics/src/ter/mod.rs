//! Translation edit rate: how many words must be inserted, deleted, replaced or moved in blocks.

mod edits;
mod metric;
mod words;

pub use metric::{Ter, TerConfig, TerScore, TerStats};
