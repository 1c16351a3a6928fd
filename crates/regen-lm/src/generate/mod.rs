//! Writing text: from prompt embeddings to token ids.

mod beam;
mod continuation;
mod decode;
mod defaults;
mod ending;
mod options;
mod prefix;
mod sampling;
mod stream;
mod text;
mod writer;

pub use beam::{BeamEnd, BeamOptions, Hypothesis, HypothesisText};
pub use decode::NextToken;
pub use defaults::GenerationDefaults;
pub use ending::Ending;
pub use options::{GenerateOptions, Generated, Sampling};
pub use prefix::Prefix;
pub use stream::TextStream;
pub use text::Written;
pub use writer::{Writer, generate};
