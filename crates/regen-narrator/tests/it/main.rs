//! The whole as its users meet it, on a world so small that a narrator can learn it in seconds.

mod bundle;
mod injection;
mod learning;
mod memory;
mod next_item;
mod optional;
mod passage;
mod precision;
mod pretrained;
mod resampler;
mod resume;
mod reviews;
mod serving;
mod tables;
mod world;
mod writing;
