//! Integration tests of regen-lm, one binary because linking libtorch is slow.

mod adapters;
mod beams;
mod chat;
mod computed;
mod conversion;
mod decoding;
mod errors;
mod families;
mod folders;
mod injection;
mod lighter_cache;
mod prefixes;
mod published;
mod published_folders;
mod recompute;
mod resume;
mod settings;
mod spaces;
mod strings;
mod support;
mod tokenizer;
mod tokenizer_settings;
mod training;
mod writing;
