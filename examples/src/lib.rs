//! What several programs share: command lines and progress, the stages of the pipeline wired together, scores and
//! the report page. A program reads as a story because the chapters are here.

// First, so that the modules after it print by its macro.
#[macro_use]
pub mod stdout;

pub mod ablation;
pub mod arms;
pub mod asked;
pub mod budget;
pub mod cli;
pub mod compare;
pub mod controls;
pub mod drawn;
pub mod encoder;
pub mod evaluation;
pub mod explore;
pub mod features;
pub mod finished;
pub mod given;
pub mod health;
pub mod identity;
pub mod input;
pub mod inputs;
pub mod item_reviews;
pub mod item_texts;
mod json_lines;
pub mod known_reviews;
pub mod language_model;
pub mod pairs;
pub mod passages;
pub mod pipeline;
pub mod print;
mod progress;
pub mod prompts;
pub mod purchase_reviews;
pub mod report;
pub mod requests;
pub mod review_encoder;
pub mod run_log;
pub mod scalars;
pub mod scores;
pub mod sharded;
pub mod similarity;
pub mod together;
pub mod tuning;
pub mod usage;
pub mod wals_args;
pub mod whole_file;
pub mod writing_args;
pub mod written;

/// The version of libtorch that the binaries are built for.
pub fn libtorch_version() -> &'static str {
    "2.11.0"
}
