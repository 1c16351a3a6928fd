//! From tokens to claims. Each file knows one kind of claim; the order in `sentence.rs` says which words are spoken for.

mod brands;
mod colours;
mod counts;
mod names;
mod prices;
mod purchases;
mod sentence;
mod sizes;

pub(super) use names::{stem_of, stems};
pub(super) use sentence::{Words, contains_run, extract, tokens_of};
