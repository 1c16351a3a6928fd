//! Sending a question, and sending it again.

use std::time::Duration;

use super::retries::Retries;
use super::wire;
use crate::error::{Error, Result};
use crate::model::{ChatAnswer, ChatModel, ChatRequest};

/// Answers of chat models are far smaller; a larger body is no completion.
const MOST_BYTES: u64 = 16 << 20;
/// How much of a body an error shows.
const EXCERPT: usize = 500;

/// Where to ask, and how patiently.
#[derive(Clone)]
pub struct Endpoint {
    /// The address up to and with its version, such as `http://127.0.0.1:8000/v1`.
    pub base_url: String,
    /// The model's name at the endpoint.
    pub model: String,
    /// Sent as a bearer token; never shown and never journalled.
    pub api_key: Option<String>,
    /// The limit of one attempt, from connecting to the last byte.
    pub timeout: Duration,
    /// What happens to a failed attempt.
    pub retries: Retries,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("base_url", &self.base_url)
            .field("model", &self.model)
            .field("api_key", &self.api_key.as_ref().map(|_| "…"))
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .finish()
    }
}

/// A blocking client of one endpoint. May be used from several threads at once.
#[derive(Clone, Debug)]
pub struct OpenAiClient {
    endpoint: Endpoint,
    url: String,
    agent: ureq::Agent,
}

/// What one attempt came to.
enum Attempt {
    Answer(ChatAnswer),
    /// An error that may pass, and how long the endpoint asked to wait.
    Again(Error, Option<Duration>),
    Failed(Error),
}

impl OpenAiClient {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Endpoint`] for an address that is not `http://` (or `https://` with the feature `https`);
    /// [`Error::OutOfRange`] for retries without an attempt.
    pub fn new(endpoint: Endpoint) -> Result<Self> {
        endpoint.retries.validate()?;
        let refuse = |reason| Err(Error::Endpoint { url: endpoint.base_url.clone(), reason });
        if endpoint.base_url.starts_with("https://") {
            if !cfg!(feature = "https") {
                return refuse("https needs regen-chat's feature `https`");
            }
        } else if !endpoint.base_url.starts_with("http://") {
            return refuse("must begin with http:// or https://");
        }
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(endpoint.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // By default ureq takes a proxy from the environment.
            .proxy(None)
            .user_agent(concat!("regen-chat/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        let url = format!("{}/chat/completions", endpoint.base_url.trim_end_matches('/'));
        Ok(Self { endpoint, url, agent })
    }

    /// Sends the question once.
    fn attempt(&self, body: &str, attempts: u32) -> Attempt {
        let mut request = self.agent.post(&self.url).header("Content-Type", "application/json");
        if let Some(key) = &self.endpoint.api_key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let sent = request.send(body).and_then(|mut response| {
            let status = response.status().as_u16();
            let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
            // The other form, a date, would need a clock; the doubled wait serves.
            let retry_after = header.and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
            let text =
                response.body_mut().with_config().limit(MOST_BYTES).lossy_utf8(true).read_to_string()?;
            Ok((status, retry_after, text))
        });
        let url = self.url.clone();
        match sent {
            Err(error) => self.transport(error, attempts),
            Ok((200..=299, _, text)) => match wire::answer(&text) {
                Ok(answer) => Attempt::Answer(answer),
                Err(reason) => Attempt::Failed(Error::Malformed { url, reason, body: excerpt(&text) }),
            },
            Ok((status, retry_after, text)) => {
                let error = Error::Status { url, status, body: excerpt(&text), retry_after, attempts };
                if matches!(status, 408 | 409 | 429 | 500..=599) {
                    Attempt::Again(error, retry_after)
                } else {
                    Attempt::Failed(error)
                }
            }
        }
    }

    /// What a failure below HTTP means.
    fn transport(&self, error: ureq::Error, attempts: u32) -> Attempt {
        let (url, timeout) = (self.url.clone(), self.endpoint.timeout);
        match error {
            ureq::Error::Timeout(_) => Attempt::Again(Error::Timeout { url, timeout, attempts }, None),
            ureq::Error::BadUri(_) => {
                Attempt::Failed(Error::Endpoint { url, reason: "not an address that HTTP can use" })
            }
            ureq::Error::BodyExceedsLimit(_) => Attempt::Failed(Error::Malformed {
                url,
                reason: "larger than any answer".to_owned(),
                body: String::new(),
            }),
            error => Attempt::Again(Error::Connection { url, attempts, reason: error.to_string() }, None),
        }
    }
}

/// The beginning of a body, without the middle of a character.
fn excerpt(body: &str) -> String {
    match body.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", &body[..end]),
        None => body.to_owned(),
    }
}

fn check_sampling(request: &ChatRequest) -> Result<()> {
    let sampling = &request.sampling;
    let refuse = |field, expected, got| Err(Error::OutOfRange { field, expected, got });
    if !(0.0..=2.0).contains(&sampling.temperature) {
        return refuse("temperature", "0 to 2", sampling.temperature);
    }
    if !(sampling.top_p > 0.0 && sampling.top_p <= 1.0) {
        return refuse("top_p", "above 0 and at most 1", sampling.top_p);
    }
    if sampling.max_tokens == 0 {
        return refuse("max_tokens", "at least 1", 0.0);
    }
    Ok(())
}

impl ChatModel for OpenAiClient {
    fn name(&self) -> &str {
        &self.endpoint.model
    }

    /// # Errors
    /// [`Error::OutOfRange`] for sampling that no endpoint takes; [`Error::Status`], [`Error::Timeout`],
    /// [`Error::Connection`] once retrying has no more use; [`Error::Malformed`] for something other than an answer.
    fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
        check_sampling(request)?;
        let body = wire::body(&self.endpoint.model, request).map_err(|error| Error::Model {
            model: self.endpoint.model.clone(),
            reason: error.to_string(),
        })?;
        let key = request.key(&self.endpoint.model);
        let question = u64::from_str_radix(key.get(..16).unwrap_or_default(), 16).unwrap_or_default();
        let mut attempts = 1;
        loop {
            match self.attempt(&body, attempts) {
                Attempt::Answer(answer) => return Ok(answer),
                Attempt::Failed(error) => return Err(error),
                Attempt::Again(error, asked) => match self.endpoint.retries.wait(attempts, question, asked) {
                    Some(wait) => std::thread::sleep(wait),
                    None => return Err(error),
                },
            }
            attempts += 1;
        }
    }
}
