//! A training pass of the blocks by our own kernels, forward and backward, without autograd.
//!
//! libtorch records some forty operations a block and computes each over all tokens, padding included, from memory to memory.
//! Here tokens go through a block some hundred at a time, so that what stands between two products stays in a core's cache; padding is
//! left out; the gradients of weights are products over tokens with the tiles of every other product. What leaves the last block is a
//! leaf, from which any loss may be computed with libtorch.
//!
//! A step of N parameters and T tokens is 6 N T multiplications and additions here as everywhere: 2 N T there, 2 N T back to what entered, 2 N T
//! for the weights' own gradients, which frozen ones do without.
//!
//! **Source** Goto and van de Geijn 2008 for the products, Dao et al. 2022, "FlashAttention", for what attention keeps.

mod backward;
mod block;
mod forward;
mod gradient;
mod head;
mod layout;
mod pass;
mod stack;

pub use self::pass::{Computed, TrainingKernels};
