//! The encoder's arithmetic: embeddings, then layers of attention and a perceptron, whose norms stand where the family
//! puts them.
//!
//! Tokens of all texts of a batch lie one after another, `[tokens, hidden]`, so that no product is computed for padding;
//! only attention looks at texts, group by group of equal length.
//!
//! There are two ways to compute it, libtorch's and that of `packed.rs`, which the tests hold equal to one another.
//!
//! **Source** Vaswani et al. 2017; Devlin et al. 2019, "BERT", section 3.

mod attention;
mod batch;
mod encoder;
mod engine;
mod layer;
mod load;
mod packed;
mod parts;
mod relative;

pub(crate) use batch::{Batch, Group};
pub(crate) use encoder::{Torch, Transformer, torch};
pub(crate) use engine::Engine;
