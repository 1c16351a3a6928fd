#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod adapter;
mod attribution;
mod config;
mod error;
mod inputs;
mod normalise;

pub use adapter::{Adapter, SoftTokens};
pub use attribution::Attribution;
pub use config::{AdapterConfig, AdapterKind, Normalisation, Sources};
pub use error::{Error, Result};
pub use inputs::{ItemVectors, Side};
