//! What a training loop needs beside the model: optimiser, schedule, clipping. The loop itself is the caller's.

mod adamw;
mod clip;
pub(crate) mod pieces;
mod schedule;
mod snapshot;

pub use adamw::{AdamW, AdamWConfig, ParameterGroup};
pub use clip::{clip_gradients, largest_gradients};
pub use schedule::Schedule;
pub use snapshot::{load_snapshot, read_cursor, save_snapshot};
