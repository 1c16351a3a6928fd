//! Everything that needs a folder on disk.

mod batching;
mod families;
mod folders;
mod minilm;
mod parity;
mod settings;
mod stores;
mod support;
