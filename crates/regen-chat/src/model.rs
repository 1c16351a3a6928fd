//! What is asked of a chat model and what it gives back.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::usage::Usage;

/// Something that answers messages.
pub trait ChatModel {
    /// The model's name: part of a journal's keys, so that two models never share answers.
    fn name(&self) -> &str;

    /// One answer.
    ///
    /// # Errors
    /// Whatever keeps the model from answering; a refusal in words is an answer, see [`Stop::Refused`].
    fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer>;
}

impl<M: ChatModel + ?Sized> ChatModel for &M {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
        (**self).ask(request)
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The instructions that stand above the conversation.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

/// A turn of the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// Instructions above the conversation.
    pub fn system(content: impl Into<String>) -> Self {
        Self { role: Role::System, content: content.into() }
    }

    /// A question.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: Role::User, content: content.into() }
    }

    /// An earlier answer.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self { role: Role::Assistant, content: content.into() }
    }
}

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 takes the likeliest token; at most 2.
    pub temperature: f64,
    /// Share of probability that the candidates hold together, in (0, 1].
    pub top_p: f64,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// Seed for endpoints that honour one.
    pub seed: Option<u64>,
}

impl Sampling {
    /// The likeliest tokens, no more than `max_tokens`.
    pub fn greedy(max_tokens: u32) -> Self {
        Self { temperature: 0.0, top_p: 1.0, max_tokens, seed: None }
    }
}

/// A schema that the answer must follow; endpoints that ignore it answer in prose, so validate all the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JsonSchema {
    /// A short name of letters, digits and `_`.
    pub name: String,
    /// The JSON Schema.
    pub schema: serde_json::Value,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// The form that the answer must have.
    pub schema: Option<JsonSchema>,
    /// Which of several samples of the same question this is. Not sent; it keeps the samples apart in a journal.
    pub sample: u32,
}

impl ChatRequest {
    /// A question in free text, asked once.
    pub fn new(messages: Vec<Message>, sampling: Sampling) -> Self {
        Self { messages, sampling, schema: None, sample: 0 }
    }

    /// What a journal knows the question by: SHA-256 of the model's name and all of the request, in hexadecimal.
    pub fn key(&self, model: &str) -> String {
        // A tuple of plain data always serialises; the fallback would only merge questions that cannot be sent.
        let bytes = serde_json::to_vec(&(model, self)).unwrap_or_default();
        Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The model was done.
    End,
    /// `max_tokens` cut it off.
    Length,
    /// The model or a filter refused; the text says why, if anything does.
    Refused,
    /// A reason that is not known here.
    Other,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatAnswer {
    /// What the model said.
    pub text: String,
    /// Why it ended.
    pub stop: Stop,
    /// What it cost.
    pub usage: Usage,
}
