//! An experiment over arms, adapters, seeds, histories, language models and data sets: a plan becomes cells, each cell is
//! run once and kept, and what they hold together becomes findings with error bars.
//!
//! ```text
//! Plan ─► Cell … ─► World (data, split, vectors) ─► CellRecord (kept in a file) ─► Findings ─► Document ─► HTML, Markdown
//! ```

mod attribution;
mod cell;
mod claims;
mod co_training;
mod contrasts;
mod document;
mod findings;
mod jobs;
mod kinds;
mod plan;
mod pooled;
mod records;
mod run;
mod tables;
mod world;

pub use claims::{Claim, Verdict};
pub use co_training::{CoTraining, CoTrainingSettings, NextItemRanks, NextItemScores, ranks};
pub use document::{Block, Document};
pub use findings::{Findings, Setting};
pub use jobs::Jobs;
pub use kinds::KindWorth;
pub use plan::{Cell, DataSource, NamedData, Plan};
pub use pooled::Pooled;
pub use records::{CellRecord, WorldRecord, Written};
pub use run::{Worker, finished, run, work};
