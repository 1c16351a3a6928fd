//! Looking for settings: a grid of cells, each a fit that is judged on held-out pairs.

mod journal;
mod run;
mod space;

pub use run::{Search, SearchProgress, SearchReport, Trial};
pub use space::{SearchSpace, Strategy};
