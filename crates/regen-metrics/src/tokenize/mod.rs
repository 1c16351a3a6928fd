//! From text to words, in the ways of the reference implementations.

mod bleu;
mod categories;
mod mteval;
mod whitespace;

pub use bleu::BleuTokenizer;
pub(crate) use bleu::Span;
