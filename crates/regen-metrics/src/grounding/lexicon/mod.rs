//! The words that the extractor knows, as data.

mod colours;
mod words;

pub(super) use colours::*;
pub(super) use words::*;
