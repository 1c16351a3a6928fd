//! A chat model that answers by a function of the request, and keeps what it was asked.

use std::sync::Mutex;

use regen_chat::{ChatAnswer, ChatModel, ChatRequest, Result, Stop, Usage};
use regen_metrics::rater::{Case, NarrativeKind, Rater, RaterConfig, Rubric};

type Rule = dyn Fn(&ChatRequest) -> Result<ChatAnswer> + Send + Sync;

pub(crate) struct Fake {
    rule: Box<Rule>,
    pub(crate) asked: Mutex<Vec<ChatRequest>>,
}

impl Fake {
    pub(crate) fn new(rule: impl Fn(&ChatRequest) -> Result<ChatAnswer> + Send + Sync + 'static) -> Self {
        Self { rule: Box::new(rule), asked: Mutex::new(Vec::new()) }
    }

    /// Answers with a text made from the request.
    pub(crate) fn saying(text: impl Fn(&ChatRequest) -> String + Send + Sync + 'static) -> Self {
        Self::new(move |request| Ok(answer(&text(request), Stop::End)))
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl ChatModel for Fake {
    fn name(&self) -> &str {
        "fake"
    }

    fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
        self.asked.lock().unwrap().push(request.clone());
        (self.rule)(request)
    }
}

pub(crate) fn answer(text: &str, stop: Stop) -> ChatAnswer {
    ChatAnswer { text: text.to_owned(), stop, usage: Usage { prompt_tokens: 100, completion_tokens: 20 } }
}

pub(crate) fn config(samples: u32) -> RaterConfig {
    RaterConfig { samples, ..RaterConfig::seeded(40) }
}

pub(crate) fn rater(model: Fake, samples: u32) -> Rater<Fake> {
    Rater::new(model, Rubric::standard(), config(samples)).unwrap()
}

pub(crate) fn case(kind: NarrativeKind) -> Case {
    Case {
        kind,
        item: "Kestrel Gel Pen, Teal".into(),
        history: vec!["Halden Stapler".into(), "Osprey Notebook".into()],
        context: Some("I need something for lectures.".into()),
    }
}

/// A valid pointwise answer with one score for all attributes.
pub(crate) fn all_scores(score: u8) -> String {
    let entries = Rubric::standard()
        .attributes
        .into_iter()
        .map(|attribute| (attribute.name, serde_json::json!({ "reason": "because", "score": score })));
    serde_json::Value::Object(entries.collect()).to_string()
}

/// A valid pairwise answer with one choice for all attributes.
pub(crate) fn all_choices(better: &str) -> String {
    let entries = Rubric::standard()
        .attributes
        .into_iter()
        .map(|attribute| (attribute.name, serde_json::json!({ "reason": "because", "better": better })));
    serde_json::Value::Object(entries.collect()).to_string()
}

/// The material of a request, as the model sees it.
pub(crate) fn material(request: &ChatRequest) -> serde_json::Value {
    let question = &request.messages[1].content;
    let line = question.lines().skip_while(|line| *line != "Material:").nth(1).unwrap();
    serde_json::from_str(line).unwrap()
}
