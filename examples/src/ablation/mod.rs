//! An experiment over arms, adapters, seeds, histories, language models and data sets: a plan becomes cells, each cell is
//! run once and kept, and what they hold together becomes findings with error bars.
//!
//! ```text
//! Plan ─► Cell … ─► World (data, split, vectors) ─► CellRecord (kept in a file) ─► Findings ─► Document ─► HTML, Markdown
//! ```

mod across;
mod attribution;
mod cell;
mod cells;
mod claims;
#[cfg(test)]
mod claims_tests;
mod co_training;
mod cold;
mod content;
mod contrasts;
mod data;
mod document;
mod enough;
mod findings;
mod jobs;
mod kinds;
mod load;
mod memory;
mod own;
mod plan;
#[cfg(test)]
mod planted;
mod pooled;
mod published;
mod reading;
mod records;
mod run;
mod soft_tokens;
mod tables;
mod validate;
mod world;

pub use cells::Cell;
pub use claims::{Claim, Verdict};
pub use co_training::{CoTraining, CoTrainingSettings, NextItemRanks, NextItemScores, ranks};
pub use cold::{ColdScores, ColdVectors, PartScores};
pub use content::{Encoder, EncoderFacts, data_sha256, language_model_sha256};
pub use data::{DataSource, Division, NamedData, PreparedData};
pub use document::{Block, Document};
pub use enough::LEAST_USERS;
pub use findings::{Findings, Setting};
pub use jobs::Jobs;
pub use kinds::KindWorth;
pub use plan::Plan;
pub use pooled::Pooled;
pub use published::{Published, PublishedValue};
pub use reading::{ControlledScore, Cost};
pub(crate) use records::difference;
pub use records::{CellRecord, WorldRecord, Written};
pub use run::{Worker, finished, run, work};
