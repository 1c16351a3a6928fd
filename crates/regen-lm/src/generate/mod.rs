//! Writing text: from prompt embeddings to token ids.

mod decode;
mod options;
mod sampling;
mod stream;

pub use decode::{NextToken, generate, generate_scored, generate_with};
pub use options::{GenerateOptions, Generated, Sampling};
pub use stream::TextStream;
