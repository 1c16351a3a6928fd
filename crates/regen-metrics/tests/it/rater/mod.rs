//! The rater with models that answer by rule: no network, every answer known.

mod agreement;
mod fake;
mod pairwise;
mod pointwise;
mod prompts;
