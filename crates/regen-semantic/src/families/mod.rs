//! Encoder families that share one set of layers: a family is how its configuration is read, and a name map.
//!
//! They differ in the names of their tensors, in how positions enter, in where norms stand, in what a token sees, and in
//! MPNet's bias by distance. Decoder-type embedders are among them: a causal mask, heads that share keys and a norm of
//! queries and keys are all that they add, so nothing of a language model is needed, nor its crate.

mod decoders;
mod family;
mod names;
mod post_norm;
mod rotary;

pub use family::Family;
pub(crate) use family::read;
pub(crate) use names::{Inner, Names, NormKind, Norms, Projections};
