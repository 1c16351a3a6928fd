//! Writing text: from prompt embeddings to token ids.

mod decode;
mod options;
mod sampling;
mod stream;

pub use decode::{generate, generate_with};
pub use options::{GenerateOptions, Generated, Sampling};
pub use stream::TextStream;
