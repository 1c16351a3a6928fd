//! What the language model is shown: the layout of a prompt, and batches of it as tensors.
//!
//! A prompt is a beginning, the places of the history's soft tokens, a mark and the places of the target's, each phrase of a
//! passage behind a mark of its own, and what asks for the kind of narrative; then the narrative and its end. An item has
//! `tokens_per_item` places; an adapter that reads a history as a whole has `tokens_per_history` for all of it instead. The user
//! has a place behind the history, where the adapter reads the user's own vector. The marks
//! are tokens that only prompts use, `<bos> item … item [<last> item] [<text> phrase …] <kind>`, or the words of
//! [`PromptWords`]. One model writes every kind.

mod batch;
mod request;
mod review;
mod sequence;
mod tokens;

pub(crate) use batch::{Batch, Padding, splice};
pub use request::{Detail, Example, Request};
pub use review::ReviewVector;
#[cfg(test)]
pub(crate) use sequence::testing;
pub(crate) use sequence::{Places, Sequence};
pub(crate) use tokens::PromptTokens;
pub use tokens::{PromptWords, special_tokens};
