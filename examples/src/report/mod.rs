//! The report folder of a comparison: `metrics.json`, `narratives.jsonl`, `run.json` and one offline page.

pub(crate) mod charts;
mod files;
mod page;
mod style;

pub use files::{ArmResult, Comparison, FactShare, Sample, write, write_exploration};
pub(crate) use style::{STYLE, escape};
