//! From text to words, in the ways of the reference implementations.

mod bleu;
mod categories;
mod mteval;
mod rouge;
#[cfg(test)]
mod tests;
mod whitespace;

pub use bleu::BleuTokenizer;
pub(crate) use bleu::{Span, WordBuffer};
pub(crate) use mteval::{Ends, western};
pub(crate) use rouge::{Folded, Found};
pub(crate) use whitespace::{is_python_whitespace, split_python, trim_end_python};
