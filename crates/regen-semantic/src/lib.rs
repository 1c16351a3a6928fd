#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bert;
mod config;
mod error;
mod folder;
mod pooling;
mod sentence;
mod tokens;

pub use config::{Activation, EncoderConfig};
pub use error::{Error, Result};
pub use folder::Pooling;
pub use sentence::{EncodeOptions, SentenceEncoder};
