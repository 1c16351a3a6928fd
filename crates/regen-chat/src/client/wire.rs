//! The JSON of `/chat/completions`, as far as it is used.

use serde::{Deserialize, Serialize};

use crate::model::{ChatAnswer, ChatRequest, Message, Stop};
use crate::usage::Usage;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: &'a [Message],
    temperature: f64,
    top_p: f64,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<serde_json::Value>,
}

/// The body of a question.
pub(super) fn body(model: &str, request: &ChatRequest) -> serde_json::Result<String> {
    let response_format = request.schema.as_ref().map(|schema| {
        serde_json::json!({
            "type": "json_schema",
            "json_schema": { "name": schema.name, "schema": schema.schema, "strict": true },
        })
    });
    serde_json::to_string(&Body {
        model,
        messages: &request.messages,
        temperature: request.sampling.temperature,
        top_p: request.sampling.top_p,
        max_tokens: request.sampling.max_tokens,
        seed: request.sampling.seed,
        response_format,
    })
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    /// Some local servers count nothing.
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// The answer in a body, or what is wrong with it.
pub(super) fn answer(body: &str) -> Result<ChatAnswer, String> {
    let completion: Completion = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let choice = completion.choices.into_iter().next().ok_or("no choices")?;
    let usage = completion.usage.map_or_else(Usage::default, |counts| Usage {
        prompt_tokens: counts.prompt_tokens,
        completion_tokens: counts.completion_tokens,
    });
    if let Some(refusal) = choice.message.refusal {
        return Ok(ChatAnswer { text: refusal, stop: Stop::Refused, usage });
    }
    let stop = match choice.finish_reason.as_deref() {
        Some("stop") | None => Stop::End,
        Some("length") => Stop::Length,
        Some("content_filter") => Stop::Refused,
        Some(_) => Stop::Other,
    };
    match choice.message.content {
        Some(text) => Ok(ChatAnswer { text, stop, usage }),
        None if stop == Stop::Refused => Ok(ChatAnswer { text: String::new(), stop, usage }),
        None => Err("no content".to_owned()),
    }
}
