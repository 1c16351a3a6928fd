//! The adapter: normalised item vectors to soft tokens, one map behind one type.

mod core;
mod integrated;
mod kinks;
mod maps;
mod path;
mod resampler;

pub use core::{Adapter, SoftTokens};
pub use integrated::IntegratedGradients;
