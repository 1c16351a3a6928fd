//! Parity with the reference implementations, and the properties that hold for every metric.

mod golden;
mod parity_bleu;
mod parity_chrf;
mod parity_meteor;
mod parity_rouge;
mod parity_ter;
mod resampling;
