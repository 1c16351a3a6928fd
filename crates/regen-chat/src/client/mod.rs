//! The client of OpenAI-compatible endpoints: what goes over the wire, and when it is tried again.

mod endpoint;
mod retries;
mod wire;

pub use endpoint::{Endpoint, OpenAiClient};
pub use retries::Retries;
