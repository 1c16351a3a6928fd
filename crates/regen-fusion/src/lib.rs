#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod adapter;
mod attribution;
mod config;
mod details;
mod error;
mod inputs;
mod normalise;
mod whitening;

pub use adapter::{Adapter, IntegratedGradients, SoftTokens};
pub use attribution::{Attribution, ReviewShare};
pub use config::{
    AdapterConfig, AdapterKind, DetailInputs, HiddenActivation, Normalisation, ReviewInput, Sources,
};
pub use error::{Error, Result};
pub use inputs::{Details, ItemVectors, Numbers, Side};
pub use whitening::{Moments, Whitening};
