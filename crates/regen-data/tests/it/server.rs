//! A server that gives prepared answers, one connection each, and keeps what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the server does with a connection.
pub(crate) enum Reply {
    /// Status, further header lines, body.
    Http(u16, &'static str, String),
    /// Closes without a word.
    HangUp,
    /// Says nothing for this long.
    Silence(Duration),
}

/// A completion with this text.
pub(crate) fn completion(text: &str) -> Reply {
    let body = serde_json::json!({
        "choices": [{ "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 11, "completion_tokens": 3 },
    });
    Reply::Http(200, "", body.to_string())
}

pub(crate) struct Asked {
    pub(crate) body: serde_json::Value,
}

pub(crate) struct Server {
    pub(crate) base_url: String,
    thread: JoinHandle<Vec<Asked>>,
}

impl Server {
    pub(crate) fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            replies.into_iter().map(|reply| serve(listener.accept().unwrap().0, reply)).collect()
        });
        Self { base_url, thread }
    }

    /// What was asked, once every reply was given.
    pub(crate) fn asked(self) -> Vec<Asked> {
        self.thread.join().unwrap()
    }
}

fn serve(mut stream: TcpStream, reply: Reply) -> Asked {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "the head ends early: {head:?}");
    }
    let length: usize = head
        .lines()
        .find_map(|line| {
            line.to_lowercase().strip_prefix("content-length:").map(|rest| rest.trim().parse().unwrap())
        })
        .expect("a length");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    match reply {
        Reply::Http(status, headers, text) => {
            let length = text.len();
            write!(
                stream,
                "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{text}"
            )
            .unwrap();
        }
        Reply::HangUp => {}
        Reply::Silence(wait) => std::thread::sleep(wait),
    }
    Asked { body: serde_json::from_slice(&body).unwrap() }
}
