//! The layers that every family is made of.

mod attention;
mod block;
mod dropout;
mod mlp;
mod norm;
mod projection;
mod rope;
mod weights;

pub(crate) use attention::Qkv;
pub(crate) use block::{Block, Shared};
pub use dropout::DropoutDraw;
pub(crate) use mlp::MlpInto;
pub(crate) use norm::Norm;
pub(crate) use projection::{LowRank, Projection};
pub(crate) use rope::{Rotary, RotaryTables};
pub(crate) use weights::Weights;
