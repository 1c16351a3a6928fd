#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod checkpoint;
mod config;
mod error;
pub mod evaluate;
mod fit;
mod interactions;
mod kernel;
mod model;
mod npy;
mod objective;
pub mod persist;
mod simd;
mod solver;

pub use config::{Arithmetic, Confidence, Frequency, Init, Solver, UnobservedScope, WalsConfig};
pub use error::{Error, Result};
pub use fit::{InitialFactors, Progress, Stage};
pub use interactions::InteractionMatrix;
pub use model::{Outcome, Recommendation, SeenItems, WalsModel};
pub use objective::Objective;
