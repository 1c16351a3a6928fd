#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod checkpoint;
mod config;
mod construct;
mod content;
#[cfg(feature = "torch")]
mod device;
mod error;
pub mod evaluate;
mod factor_file;
mod fit;
mod hold_out;
mod interactions;
mod kernel;
mod limits;
mod model;
mod npy;
mod objective;
mod ordered;
pub mod persist;
mod ranking;
mod replace;
mod safetensors;
pub mod search;
pub mod shards;
mod simd;
mod solver;
mod stopping;
mod stored;

pub use config::{Arithmetic, Confidence, Frequency, Init, Solver, UnobservedScope, WalsConfig};
pub use content::ContentMap;
#[cfg(feature = "torch")]
pub use device::OnDevice;
pub use error::{Error, Result};
pub use fit::{InitialFactors, Progress, Stage};
pub use hold_out::HoldOut;
pub use interactions::InteractionMatrix;
pub use model::{Outcome, Recommendation, SeenItems, WalsModel};
pub use objective::Objective;
pub use solver::Basis;
pub use stopping::{EarlyStopped, EarlyStopping};
pub use stored::StoredFactors;
