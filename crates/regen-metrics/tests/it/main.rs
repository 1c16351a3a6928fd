//! Parity with the reference implementations, and the properties that hold for every metric.

mod agreement;
mod consensus;
mod golden;
mod grounding;
mod parity_bertscore;
mod parity_bleu;
mod parity_chrf;
mod parity_meteor;
mod parity_rouge;
mod parity_self_bleu;
mod parity_ter;
mod properties;
mod rater;
mod resampling;
mod vectors;
