//! Sizes and generators that several benchmarks share.
