//! What a chat template is given.

use serde_json::{Map, Value, json};

use super::time::ChatTime;
use crate::error::{Error, Result};

/// Who speaks. Roles are the program's, never a user's: templates make control tokens of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Whoever runs the model.
    System,
    /// As system, under the name that some newer templates want.
    Developer,
    /// Who asks.
    User,
    /// The model.
    Assistant,
    /// What a tool answered.
    Tool,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// What else the template reads of a turn, such as `tool_calls` or `reasoning_content`; not `role` or `content`.
    pub fields: Map<String, Value>,
}

impl Message {
    /// A turn of text alone.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), fields: Map::new() }
    }
}

/// A conversation, and how it is to be rendered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chat {
    /// Turns, oldest first.
    pub messages: Vec<Message>,
    /// Whether the beginning of the model's next turn is added, so that it speaks next.
    pub add_generation_prompt: bool,
    /// Whether the conversation ends where the content of its last turn ends, so that the model goes on writing that turn. Contradicts
    /// `add_generation_prompt`.
    pub continue_final_message: bool,
    /// JSON schemas of tools that the model may call.
    pub tools: Vec<Value>,
    /// Further variables of the template, such as `enable_thinking`.
    pub variables: Map<String, Value>,
    /// What `strftime_now` tells; without it, a template that asks for the date fails.
    pub now: Option<ChatTime>,
}

/// Names under which a turn's reasoning is passed; the first is what most templates read.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// Variables that every template is given.
const OWN: [&str; 4] = ["messages", "tools", "documents", "add_generation_prompt"];

impl Chat {
    /// A conversation after which the model speaks.
    pub fn asking(messages: Vec<Message>) -> Self {
        Self { messages, add_generation_prompt: true, ..Self::default() }
    }

    /// A conversation whose last turn the model goes on writing.
    pub fn continuing(messages: Vec<Message>) -> Self {
        Self { messages, continue_final_message: true, ..Self::default() }
    }

    /// Refuses fields and variables under the names of what the conversation says itself.
    pub(super) fn check(&self) -> Result<()> {
        let refuse =
            |what, expected, name: &str| Err(Error::Argument { what, expected, got: format!("{name:?}") });
        let fields = self.messages.iter().flat_map(|message| message.fields.keys());
        if let Some(name) = fields.into_iter().find(|name| ["role", "content"].contains(&name.as_str())) {
            let expected = "a name other than \"role\" and \"content\", which the message has of its own";
            return refuse("the name of a message's field", expected, name);
        }
        if let Some(name) = self.variables.keys().find(|name| OWN.contains(&name.as_str())) {
            let expected = "a name other than those of what the conversation holds";
            return refuse("the name of a template's variable", expected, name);
        }
        Ok(())
    }

    /// What the template sees, every string of it changed by `text`, but not names of roles and fields.
    pub(super) fn values(&self, text: &dyn Fn(&str) -> String) -> Map<String, Value> {
        let messages: Vec<Value> = self
            .messages
            .iter()
            .map(|message| {
                let mut turn = json!({ "role": message.role.name(), "content": text(&message.content) });
                let reasoning = REASONING.iter().find_map(|name| message.fields.get(*name));
                let fields = message.fields.iter().map(|(name, value)| (name.as_str(), value));
                let aliases = reasoning
                    .into_iter()
                    .flat_map(|value| REASONING[..2].iter().map(move |name| (*name, value)));
                for (name, value) in aliases.chain(fields) {
                    turn[name] = changed(value, text);
                }
                turn
            })
            .collect();
        let list = |values: &[Value]| match values {
            [] => Value::Null,
            values => values.iter().map(|value| changed(value, text)).collect(),
        };
        let mut all: Map<String, Value> =
            self.variables.iter().map(|(name, value)| (name.clone(), changed(value, text))).collect();
        all.insert("messages".to_owned(), Value::Array(messages));
        all.insert("tools".to_owned(), list(&self.tools));
        all.insert("documents".to_owned(), Value::Null);
        all.insert("add_generation_prompt".to_owned(), Value::Bool(self.add_generation_prompt));
        all
    }
}

fn changed(value: &Value, text: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(string) => Value::String(text(string)),
        Value::Array(list) => list.iter().map(|value| changed(value, text)).collect(),
        Value::Object(map) => {
            map.iter().map(|(name, value)| (name.clone(), changed(value, text))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}
