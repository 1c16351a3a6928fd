//! Error bars: bootstrap intervals and tests between two systems, for every metric alike.

mod bootstrap;
mod compare;
mod draw;

pub(crate) use bootstrap::bootstrap_interval;
pub use bootstrap::{Bootstrap, Interval};
pub use compare::{Comparison, Randomization, approximate_randomization, holm, paired_bootstrap};
