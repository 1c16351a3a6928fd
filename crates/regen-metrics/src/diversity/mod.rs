//! How varied generated texts are, among themselves and against the texts that a model was trained on.
//!
//! [`distinct`], [`unique_sentence_ratio`] and the coverage and diversity of [`Features`] count *different*
//! things, which do not add up over segments: drawing segments twice would make any corpus look less varied.
//! Their error bars therefore come from leaving segments out one by one ([`Jackknife`]) instead of the bootstrap.

mod distinct;
mod features;
mod jackknife;
mod novelty;
mod self_bleu;

pub use distinct::{distinct, unique_sentence_ratio};
pub use features::Features;
pub use jackknife::Jackknife;
pub use novelty::{Novelty, RatioStats};
pub use self_bleu::self_bleu;
