//! Who may ask. A page of another site that the rater has open can send requests to this machine, by name (DNS rebinding)
//! or by form; it cannot choose `Host`, `Origin`, `Sec-Fetch-Site`, or send JSON without asking first.

use tiny_http::{Header, Method};

use super::reply::Reply;

/// Refuses requests that do not come from the page itself.
///
/// `port` is where the server listens.
pub(super) fn check(method: &Method, headers: &[Header], port: u16) -> Result<(), Reply> {
    let values = |name: &'static str| {
        headers.iter().filter(move |header| header.field.equiv(name)).map(|header| header.value.as_str())
    };
    let ours = |host: &str| {
        [format!("127.0.0.1:{port}"), format!("localhost:{port}")]
            .iter()
            .any(|known| host.eq_ignore_ascii_case(known))
    };
    let hosts: Vec<&str> = values("Host").collect();
    if !matches!(hosts[..], [host] if ours(host)) {
        return Err(Reply::error(
            403,
            "this page is served to this machine only, under its loopback address",
        ));
    }
    let foreign = |origin: &str| !origin.strip_prefix("http://").is_some_and(ours);
    if values("Origin").any(foreign) {
        return Err(Reply::error(403, "requests of other pages are refused"));
    }
    if values("Sec-Fetch-Site").any(|site| !["same-origin", "none"].contains(&site)) && *method != Method::Get
    {
        return Err(Reply::error(403, "requests of other pages are refused"));
    }
    if *method == Method::Post {
        let kind = values("Content-Type").next().unwrap_or_default();
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            return Err(Reply::error(415, "send application/json"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, headers: &[(&str, &str)]) -> u16 {
        let headers: Vec<Header> =
            headers.iter().map(|(name, value)| Header::from_bytes(*name, *value).unwrap()).collect();
        check(&method, &headers, 8377).err().map_or(200, |reply| reply.status)
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:8377");
    const JSON: (&str, &str) = ("Content-Type", "application/json");

    #[test]
    fn the_page_itself_may_ask() {
        assert_eq!(status(Method::Get, &[HOST]), 200);
        assert_eq!(status(Method::Get, &[("Host", "LOCALHOST:8377"), ("Sec-Fetch-Site", "none")]), 200);
        let own = ("Origin", "http://127.0.0.1:8377");
        assert_eq!(status(Method::Post, &[HOST, own, JSON, ("Sec-Fetch-Site", "same-origin")]), 200);
        assert_eq!(status(Method::Post, &[HOST, ("Content-Type", "application/json; charset=utf-8")]), 200);
    }

    #[test]
    fn another_name_for_this_machine_is_refused() {
        for host in ["evil.example:8377", "127.0.0.1:80", "127.0.0.1", "127.0.0.1:8377.evil.example", ""] {
            assert_eq!(status(Method::Get, &[("Host", host)]), 403, "{host}");
        }
        assert_eq!(status(Method::Get, &[]), 403);
        assert_eq!(status(Method::Get, &[HOST, HOST]), 403);
    }

    #[test]
    fn another_page_is_refused() {
        for origin in ["http://evil.example", "https://127.0.0.1:8377", "null", "http://127.0.0.1:8378"] {
            assert_eq!(status(Method::Post, &[HOST, JSON, ("Origin", origin)]), 403, "{origin}");
        }
        assert_eq!(status(Method::Post, &[HOST, JSON, ("Sec-Fetch-Site", "cross-site")]), 403);
        assert_eq!(status(Method::Post, &[HOST, ("Content-Type", "text/plain")]), 415);
        assert_eq!(status(Method::Post, &[HOST]), 415);
    }
}
