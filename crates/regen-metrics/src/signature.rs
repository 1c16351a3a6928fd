//! What the signatures of all metrics share.

/// The release of sacrebleu whose values are reproduced, and who reproduced them.
pub(crate) const VERSION: &str = concat!("2.6.0+regen.", env!("CARGO_PKG_VERSION"));

/// A switch, in sacrebleu's words.
pub(crate) fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// The same for rouge-score.
pub(crate) const ROUGE_VERSION: &str = concat!("0.1.2+regen.", env!("CARGO_PKG_VERSION"));
