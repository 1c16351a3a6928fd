#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod config;
mod dense;
mod doubts;
mod embedding_file;
mod error;
mod families;
mod fields;
mod folder;
mod hash;
mod memory;
mod neighbours;
mod npy;
mod plan;
mod pooling;
mod sentence;
mod store;
mod template;
mod threads;
mod token_vectors;
mod tokens;
mod transformer;

pub use config::{Activation, EncoderConfig, Positions, Window};
pub use doubts::TokenizerDoubt;
pub use embedding_file::EmbeddingFile;
pub use error::{Error, Result};
pub use families::Family;
pub use folder::Pooling;
pub use hash::{TextsHash, hash_file, hash_model};
pub use neighbours::{nearest, nearest_in_file};
pub use npy::load_embeddings;
pub use plan::Padding;
pub use sentence::{EncodeOptions, Prompt, SentenceEncoder};
pub use store::{EmbeddingStore, Origin, Storage};
pub use template::ItemText;
pub use token_vectors::TokenVectors;
