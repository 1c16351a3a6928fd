//! What is sent, what is tried again, and what each failure is called.

use std::time::Duration;

use regen_chat::{
    ChatModel, ChatRequest, Endpoint, Error, JsonSchema, Message, OpenAiClient, Retries, Sampling, Stop,
    Usage,
};

use crate::server::{Reply, Server, completion};

fn endpoint(base_url: &str) -> Endpoint {
    Endpoint {
        base_url: base_url.to_owned(),
        model: "tiny".to_owned(),
        api_key: Some("very-secret".to_owned()),
        timeout: Duration::from_secs(10),
        retries: Retries {
            attempts: 3,
            first_wait: Duration::from_millis(2),
            longest_wait: Duration::from_secs(2),
            seed: 4,
        },
    }
}

fn client(base_url: &str) -> OpenAiClient {
    OpenAiClient::new(endpoint(base_url)).unwrap()
}

fn question() -> ChatRequest {
    ChatRequest::new(vec![Message::system("Be brief."), Message::user("Why?")], Sampling::greedy(20))
}

fn failing(status: u16, body: &str) -> Reply {
    Reply::Http(status, "", body.to_owned())
}

#[test]
fn a_question_carries_messages_sampling_schema_and_key() {
    let server = Server::start(vec![completion("Because.")]);
    let mut request = question();
    request.sampling.seed = Some(9);
    request.schema =
        Some(JsonSchema { name: "score".into(), schema: serde_json::json!({ "type": "object" }) });
    let answer = client(&server.base_url).ask(&request).unwrap();
    assert_eq!((answer.text.as_str(), answer.stop), ("Because.", Stop::End));
    assert_eq!(answer.usage, Usage { prompt_tokens: 11, completion_tokens: 3 });
    let asked = server.asked().remove(0);
    assert!(asked.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{}", asked.head);
    assert!(asked.head.to_lowercase().contains("authorization: bearer very-secret"), "{}", asked.head);
    let expected = serde_json::json!({
        "model": "tiny",
        "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Why?" }],
        "temperature": 0.0, "top_p": 1.0, "max_tokens": 20, "seed": 9,
        "response_format": {
            "type": "json_schema",
            "json_schema": { "name": "score", "schema": { "type": "object" }, "strict": true },
        },
    });
    assert_eq!(asked.body, expected);
}

#[test]
fn passing_failures_are_tried_again() {
    let replies = vec![failing(503, "busy"), Reply::HangUp, completion("At last.")];
    let server = Server::start(replies);
    assert_eq!(client(&server.base_url).ask(&question()).unwrap().text, "At last.");
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn the_wait_that_the_endpoint_asks_for_is_kept() {
    let server =
        Server::start(vec![Reply::Http(429, "Retry-After: 1\r\n", "slow down".into()), completion("Yes.")]);
    let start = std::time::Instant::now();
    client(&server.base_url).ask(&question()).unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_wait_beyond_the_bound_is_an_error_that_says_how_long() {
    let server = Server::start(vec![Reply::Http(429, "Retry-After: 600\r\n", "slow down".into())]);
    let error = client(&server.base_url).ask(&question()).unwrap_err();
    let Error::Status { status: 429, retry_after, attempts: 1, body, .. } = error else { panic!("{error}") };
    assert_eq!((retry_after, body.as_str()), (Some(Duration::from_secs(600)), "slow down"));
}

#[test]
fn attempts_are_bounded() {
    let server = Server::start((0..3).map(|_| failing(500, "broken")).collect());
    let error = client(&server.base_url).ask(&question()).unwrap_err();
    assert!(matches!(error, Error::Status { status: 500, attempts: 3, .. }), "{error}");
}

#[test]
fn a_wrong_question_is_not_asked_twice_and_the_error_shows_the_beginning_of_the_body() {
    let server = Server::start(vec![failing(400, &format!("no such model {}", "é".repeat(4_000)))]);
    let error = client(&server.base_url).ask(&question()).unwrap_err();
    let Error::Status { status: 400, attempts: 1, body, .. } = error else { panic!("{error}") };
    assert!(body.starts_with("no such model é") && body.chars().count() == 501, "{body}");
}

#[test]
fn silence_is_a_timeout() {
    let server = Server::start(vec![Reply::Silence(Duration::from_millis(600))]);
    let mut endpoint = endpoint(&server.base_url);
    endpoint.timeout = Duration::from_millis(150);
    endpoint.retries.attempts = 1;
    let error = OpenAiClient::new(endpoint).unwrap().ask(&question()).unwrap_err();
    assert!(matches!(error, Error::Timeout { attempts: 1, .. }), "{error}");
}

#[test]
fn nobody_listening_is_a_lost_connection() {
    // Bound and dropped: the port was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = client(&format!("http://{address}/v1")).ask(&question()).unwrap_err();
    assert!(matches!(error, Error::Connection { attempts: 3, .. }), "{error}");
}

#[test]
fn refusals_and_cut_answers_are_answers_that_say_so() {
    let said = |message: serde_json::Value, reason: &str| {
        let body = serde_json::json!({ "choices": [{ "message": message, "finish_reason": reason }] });
        Reply::Http(200, "", body.to_string())
    };
    let server = Server::start(vec![
        said(serde_json::json!({ "content": null, "refusal": "I cannot." }), "stop"),
        said(serde_json::json!({ "content": null }), "content_filter"),
        said(serde_json::json!({ "content": "half an ans" }), "length"),
    ]);
    let client = client(&server.base_url);
    let answers: Vec<_> = (0..3).map(|_| client.ask(&question()).unwrap()).collect();
    let stops: Vec<_> = answers.iter().map(|answer| (answer.stop, answer.text.as_str())).collect();
    assert_eq!(stops, [(Stop::Refused, "I cannot."), (Stop::Refused, ""), (Stop::Length, "half an ans")]);
    assert_eq!(answers[0].usage, Usage::default());
}

#[test]
fn what_is_no_completion_is_named() {
    for body in ["<html>hello</html>", "{}", r#"{"choices": []}"#, r#"{"choices": [{"message": {}}]}"#] {
        let server = Server::start(vec![failing(200, body)]);
        let error = client(&server.base_url).ask(&question()).unwrap_err();
        assert!(matches!(&error, Error::Malformed { body: shown, .. } if shown == body), "{error}");
    }
}

#[test]
fn addresses_and_sampling_that_cannot_be_asked_are_refused() {
    assert!(matches!(OpenAiClient::new(endpoint("ftp://x")), Err(Error::Endpoint { .. })));
    assert_eq!(OpenAiClient::new(endpoint("https://x")).is_ok(), cfg!(feature = "https"));
    let mut request = question();
    request.sampling.temperature = 3.0;
    assert!(matches!(
        client("http://127.0.0.1:1").ask(&request),
        Err(Error::OutOfRange { field: "temperature", .. })
    ));
    request.sampling = Sampling::greedy(0);
    assert!(matches!(
        client("http://127.0.0.1:1").ask(&request),
        Err(Error::OutOfRange { field: "max_tokens", .. })
    ));
}

#[test]
fn the_key_is_not_shown() {
    assert!(!format!("{:?}", client("http://127.0.0.1:1")).contains("very-secret"));
}
