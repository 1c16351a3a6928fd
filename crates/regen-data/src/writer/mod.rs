//! Narratives written by a chat model from what users bought and said, as REGEN was made: our own prompts, checks of every
//! answer, one attempt at repair, and an account of what was refused.
//!
//! The way: [`writing_cases`] says what is to be written, [`estimate`] what it would take, [`NarrativeWriter`] writes. Any
//! [`ChatModel`](regen_chat::ChatModel) serves; put it behind a [`Journal`](regen_chat::Journal), and a run that was stopped
//! goes on without asking anything twice.
//!
//! **Source** Sayana et al., "Beyond Retrieval: Generating Narratives in Conversational Recommender Systems" (2024) for the
//! kinds and for making them from history and reviews. DIFFERENCE: the prompts are our own, since the release has none.

mod cases;
mod checks;
mod materials;
mod pace;
mod prompt;
mod report;
mod run;
mod titles;

pub use cases::{CasesConfig, WritingCase, writing_cases};
pub use checks::{CheckConfig, Rejection};
pub use materials::{ReviewText, ReviewTexts, looks_like_instructions};
pub use pace::Paced;
pub use prompt::{Estimate, Template};
pub use prompt::{PROMPT_VERSION, estimate, template};
pub use report::{Outcome, WriteReport};
pub use run::{NarrativeWriter, WriterConfig};
