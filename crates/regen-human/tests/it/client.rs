//! The few lines of HTTP that tests need: one request per connection, headers as given.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Status, headers in lower case, body.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }
}

pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut text =
        format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{text}\r\n{body}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 16 * 1024];
    // chromedriver keeps connections open, so the length says where the answer ends.
    loop {
        let (head, rest) = match answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            Some(end) => (String::from_utf8_lossy(&answer[..end]).to_lowercase(), answer.len() - end - 4),
            None => (String::new(), 0),
        };
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if length.is_some_and(|length| rest >= length) {
            let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
            let body = String::from_utf8(answer.split_off(answer.len() - rest)).unwrap();
            return Reply { status, headers: head, body };
        }
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the connection ended early: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
    }
}
