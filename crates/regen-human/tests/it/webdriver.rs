//! As much of the WebDriver protocol as the test of the page needs.
//!
//! **Source** W3C 2018, *WebDriver*; chromedriver's `goog/cdp/execute` for what it lacks.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::request;

/// A headless Chromium with a new profile, ended with this value.
pub(crate) struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts (Debian: chromium-driver)");
        let mut port = None;
        for line in BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok) {
            // "ChromeDriver was started successfully on port 40123."
            if let Some((_, after)) = line.split_once("successfully on port ") {
                port = after.trim_end_matches('.').parse::<u16>().ok();
                break;
            }
        }
        let address = SocketAddr::from(([127, 0, 0, 1], port.expect("chromedriver names its port")));
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self { driver, address, session: String::new(), _profile: profile };
        let data = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1200,1500",
            &data,
        ];
        let wanted =
            json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": arguments } } } });
        let session = browser.send("POST", "/session", &wanted);
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        browser
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let host = self.address.to_string();
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let headers = [("Host", host.as_str()), ("Content-Type", "application/json")];
        let reply = request(self.address, method, path, &headers, &body);
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.json()["value"].clone()
    }

    pub(crate) fn open(&self, url: &str) {
        self.send("POST", &format!("{}/url", self.session), &json!({ "url": url }));
    }

    pub(crate) fn reload(&self) {
        self.send("POST", &format!("{}/refresh", self.session), &json!({}));
    }

    /// The value of a JavaScript expression on the page.
    pub(crate) fn value(&self, expression: &str) -> Value {
        let script = json!({ "script": format!("return {expression}"), "args": [] });
        self.send("POST", &format!("{}/execute/sync", self.session), &script)
    }

    pub(crate) fn text(&self, selector: &str) -> String {
        let found = self.value(&format!("document.querySelector({selector:?}).innerText"));
        found.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true.
    pub(crate) fn wait(&self, expression: &str) {
        let start = Instant::now();
        while self.value(expression) != Value::Bool(true) {
            let waited = start.elapsed();
            assert!(waited < Duration::from_secs(20), "never true: {expression}\n{}", self.text("body"));
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn element(&self, selector: &str) -> String {
        let by = json!({ "using": "css selector", "value": selector });
        let found = self.send("POST", &format!("{}/element", self.session), &by);
        let id = found.as_object().and_then(|object| object.values().next()).and_then(Value::as_str);
        format!("{}/element/{}", self.session, id.unwrap())
    }

    /// A real click: what is hidden or covered cannot be clicked.
    pub(crate) fn click(&self, selector: &str) {
        self.send("POST", &format!("{}/click", self.element(selector)), &json!({}));
    }

    pub(crate) fn write(&self, selector: &str, text: &str) {
        self.send("POST", &format!("{}/value", self.element(selector)), &json!({ "text": text }));
    }

    /// Keys as from a keyboard, to whatever has the focus.
    pub(crate) fn press(&self, keys: &[&str]) {
        let strokes: Vec<Value> = keys
            .iter()
            .flat_map(|key| {
                [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
            })
            .collect();
        let keyboard = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.send("POST", &format!("{}/actions", self.session), &keyboard);
    }

    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let command = json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": features } });
        self.send("POST", &format!("{}/goog/cdp/execute", self.session), &command);
    }

    /// A PNG of what is in the window.
    pub(crate) fn picture(&self, path: &Path) {
        let encoded = self.send("GET", &format!("{}/screenshot", self.session), &Value::Null);
        std::fs::write(path, base64(encoded.as_str().unwrap())).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Without a session there is no browser yet. A failed request must not hide the test's own failure.
        if !self.session.is_empty() && !std::thread::panicking() {
            self.send("DELETE", &self.session.clone(), &json!({}));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b'=').map(value).collect();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for four in digits.chunks(4) {
        let bits =
            four.iter().fold(0u32, |bits, &digit| bits << 6 | u32::from(digit)) << (6 * (4 - four.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}

#[test]
fn pictures_are_decoded() {
    assert_eq!(base64("SGVsbG8="), b"Hello");
    assert_eq!(base64("+/8A"), [0xfb, 0xff, 0x00]);
}
