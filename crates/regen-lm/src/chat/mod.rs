//! Conversations in the format that a language model was tuned on: its chat template, rendered and encoded.

mod marks;
mod message;
mod python;
mod template;
mod time;

pub use message::{Chat, Message, Role};
pub use template::ChatTemplate;
pub use time::ChatTime;
