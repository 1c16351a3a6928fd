//! The words that the extractor knows, as data.

mod colours;
mod elsewhere;
mod makers;
mod money;
mod purchases;
mod words;

pub(super) use colours::*;
pub(super) use elsewhere::*;
pub(super) use makers::*;
pub(super) use money::*;
pub(super) use purchases::*;
pub(super) use words::*;
