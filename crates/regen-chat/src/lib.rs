#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod client;
mod error;
mod journal;
mod model;
mod usage;

pub use client::{Endpoint, OpenAiClient, Retries};
pub use error::{Error, Result};
pub use journal::Journal;
pub use model::{ChatAnswer, ChatModel, ChatRequest, JsonSchema, Message, Role, Sampling, Stop};
pub use usage::{Prices, Tally, Usage};
