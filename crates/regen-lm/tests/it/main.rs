//! Integration tests of regen-lm, one binary because linking libtorch is slow.

mod decoding;
mod errors;
mod families;
mod support;
mod tokenizer;
mod training;
