//! Answers of the server: the page's files, JSON, errors. None is kept by the browser or may load anything from elsewhere.

use serde::Serialize;

/// Only this page's own files; no frames, forms or plug-ins.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Status, type and body.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) status: u16,
    kind: &'static str,
    body: Vec<u8>,
}

impl Reply {
    /// A file of the page; `None` for any other path.
    pub(super) fn file(path: &str) -> Option<Self> {
        let (kind, body) = match path {
            "/" => ("text/html; charset=utf-8", include_str!("../../page/index.html")),
            "/style.css" => ("text/css; charset=utf-8", include_str!("../../page/style.css")),
            "/page.js" => ("text/javascript; charset=utf-8", include_str!("../../page/page.js")),
            _ => return None,
        };
        Some(Self { status: 200, kind, body: body.as_bytes().to_vec() })
    }

    pub(super) fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self { status: 200, kind: "application/json", body },
            Err(error) => Self::error(500, &error.to_string()),
        }
    }

    /// `{"error": reason}`.
    pub(super) fn error(status: u16, reason: &str) -> Self {
        let body = serde_json::json!({ "error": reason }).to_string().into_bytes();
        Self { status, kind: "application/json", body }
    }

    pub(super) fn into_response(self) -> tiny_http::Response<std::io::Cursor<Vec<u8>>> {
        let headers = [
            ("Content-Type", self.kind),
            ("Content-Security-Policy", POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ];
        let mut response = tiny_http::Response::from_data(self.body).with_status_code(self.status);
        // Names and values are ours and valid: none is left out.
        for header in
            headers.into_iter().filter_map(|(name, value)| tiny_http::Header::from_bytes(name, value).ok())
        {
            response.add_header(header);
        }
        response
    }
}
