//! The words that the extractor knows, as data.

mod colours;
mod elsewhere;
mod words;

pub(super) use colours::*;
pub(super) use elsewhere::*;
pub(super) use words::*;
