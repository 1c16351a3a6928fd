#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod config;
mod dense;
mod error;
mod family;
mod folder;
mod plan;
mod pooling;
mod sentence;
mod tokens;
mod transformer;

pub use config::{Activation, EncoderConfig};
pub use error::{Error, Result};
pub use family::Family;
pub use folder::Pooling;
pub use plan::Padding;
pub use sentence::{EncodeOptions, Prompt, SentenceEncoder};
