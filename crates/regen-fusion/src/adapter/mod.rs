//! The adapter: normalised item vectors to soft tokens, one map behind one type.

mod core;
mod maps;

pub use core::{Adapter, SoftTokens};
