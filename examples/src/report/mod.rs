//! The report folder of a comparison: `metrics.json`, `narratives.jsonl`, `run.json` and one offline page.

pub(crate) mod charts;
mod files;
pub(crate) mod page;

pub use files::{ArmResult, Comparison, FactShare, Sample, write, write_exploration};
