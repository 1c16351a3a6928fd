//! Sizes and generators that several benchmarks share.

pub mod reviews;
