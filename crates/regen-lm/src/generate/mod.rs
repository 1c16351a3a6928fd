//! Writing text: from prompt embeddings to token ids.

mod decode;
mod options;
mod sampling;
mod stream;
mod writer;

pub use decode::NextToken;
pub use options::{GenerateOptions, Generated, Sampling};
pub use stream::TextStream;
pub use writer::{Writer, generate};
