//! Writing text: from prompt embeddings to token ids.

mod beam;
mod continuation;
mod decode;
mod options;
mod prefix;
mod sampling;
mod stream;
mod writer;

pub use beam::{BeamEnd, BeamOptions, Hypothesis};
pub use decode::NextToken;
pub use options::{GenerateOptions, Generated, Sampling};
pub use prefix::Prefix;
pub use stream::TextStream;
pub use writer::{Writer, generate};
