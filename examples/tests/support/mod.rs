//! What tests of the programs share.

mod program;

pub(crate) use program::program;
