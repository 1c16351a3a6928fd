//! The report folder of a comparison: `metrics.json`, `narratives.jsonl`, `run.json` and one offline page.

mod charts;
mod files;
mod page;

pub use files::{ArmResult, Comparison, FactShare, Sample, write, write_exploration};
