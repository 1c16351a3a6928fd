//! Training adapter and language model together on the narrative's tokens.

mod batches;
mod best;
mod config;
mod optimizer;
mod precision;
mod report;
mod run;
mod snapshots;
mod step;

pub use config::{Memory, TableRates, TrainConfig, Trains};
pub use precision::TrainPrecision;
pub use report::{LossPoint, TrainProgress, TrainReport};
pub use snapshots::Snapshots;
