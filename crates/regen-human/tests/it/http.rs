//! The page's requests over HTTP: blindness, sides, resuming, and who is refused.

use std::net::SocketAddr;
use std::path::Path;

use regen_human::{Answer, Design, Server, Shown, Store, Study, order_of};
use serde_json::{Value, json};

use crate::client::{Reply, request};
use crate::studies::{SYSTEMS, study};

/// Runs `work` against a served study.
pub(crate) fn served(study: &Study, path: &Path, work: impl FnOnce(SocketAddr)) {
    served_at(0, study, path, work);
}

/// The same at a given port.
pub(crate) fn served_at(port: u16, study: &Study, path: &Path, work: impl FnOnce(SocketAddr)) {
    let store = Store::create(path, study).unwrap();
    let server = Server::bind(port, study.clone(), store).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| server.serve());
        // Also where the work fails, so that the test ends.
        struct Stop<'a>(&'a Server);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.stop();
            }
        }
        let _stop = Stop(&server);
        work(server.address());
    });
}

fn post(address: SocketAddr, path: &str, body: &Value) -> Reply {
    let host = address.to_string();
    request(
        address,
        "POST",
        path,
        &[("Host", &host), ("Content-Type", "application/json")],
        &body.to_string(),
    )
}

fn ok(address: SocketAddr, path: &str, body: Value) -> Value {
    let reply = post(address, path, &body);
    assert_eq!(reply.status, 200, "{path}: {}", reply.body);
    reply.json()
}

#[test]
fn the_page_never_hears_which_system_wrote_what() {
    let folder = tempfile::tempdir().unwrap();
    for design in [Design::Single, Design::Pairs] {
        served(&study(design, 3), &folder.path().join(format!("{design:?}")), |address| {
            let total = ok(address, "/api/join", json!({ "name": "Ada" }))["total"].as_u64().unwrap();
            for place in 0..total {
                let said = post(address, "/api/task", &json!({ "name": "Ada", "place": place })).body;
                assert!(said.contains("writes"), "{said}");
                assert!(SYSTEMS.iter().all(|system| !said.contains(system)), "{said}");
                assert!(!said.contains("\"case\"") && !said.contains("\"system"), "{said}");
            }
        });
    }
}

#[test]
fn a_preference_for_a_side_is_stored_as_one_for_the_system_that_stood_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.sqlite");
    let study = study(Design::Pairs, 6);
    served(&study, &path, |address| {
        let total = ok(address, "/api/join", json!({ "name": "Ada" }))["total"].as_u64().unwrap();
        assert_eq!(total, 6);
        for place in 0..total {
            let task = ok(address, "/api/task", json!({ "name": "Ada", "place": place }));
            // Ada always prefers beta, wherever it stands.
            let texts: Vec<&str> =
                task["task"]["texts"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            let side = if texts[0].starts_with("beta") { "left" } else { "right" };
            let say = json!({ "name": "Ada", "place": place, "attribute": "fluency", "answer": side, "seconds": 2.5 });
            ok(address, "/api/answer", say);
            let again = ok(address, "/api/task", json!({ "name": "Ada", "place": place }));
            assert_eq!(again["task"]["given"], json!({ "fluency": side }));
        }
    });
    let (mut store, _) = Store::open(&path).unwrap();
    let answers = store.answers(&study, None).unwrap();
    assert_eq!(answers.len(), 6);
    assert!(answers.iter().all(|answered| answered.answer == Answer::Second && answered.seconds == 2.5));
    assert_eq!(answers.iter().filter(|answered| answered.swapped).count(), 3, "sides are balanced");
}

#[test]
fn a_rater_goes_on_where_they_stopped_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.sqlite");
    let study = study(Design::Single, 2);
    let attributes: Vec<String> = study.rubric.attributes.iter().map(|a| a.name.clone()).collect();
    served(&study, &path, |address| {
        ok(address, "/api/join", json!({ "name": "Grace" }));
        ok(address, "/api/join", json!({ "name": "Ada" }));
        for (count, attribute) in attributes.iter().enumerate() {
            let first = ok(address, "/api/task", json!({ "name": "Ada" }));
            assert_eq!(first["place"], 0, "a task is open until the last attribute");
            assert_eq!(first["task"]["given"].as_object().unwrap().len(), count);
            let say =
                json!({ "name": "Ada", "place": 0, "attribute": attribute, "answer": "4", "seconds": 1.0 });
            ok(address, "/api/answer", say);
        }
    });
    served(&study, &path, |address| {
        // Names are the same whatever their case; Grace's answers are her own.
        let next = ok(address, "/api/task", json!({ "name": " ADA " }));
        assert_eq!((&next["place"], &next["complete"]), (&json!(1), &json!(1)));
        assert_eq!(ok(address, "/api/task", json!({ "name": "Grace" }))["complete"], 0);
        for place in 1..4 {
            for attribute in &attributes {
                let say = json!({ "name": "Ada", "place": place, "attribute": attribute, "answer": "unsure", "seconds": 1 });
                ok(address, "/api/answer", say);
            }
        }
        let done = ok(address, "/api/task", json!({ "name": "Ada" }));
        assert_eq!((&done["task"], &done["complete"]), (&Value::Null, &json!(4)));
    });
    // What was shown at a place is what the order says.
    let (mut store, _) = Store::open(&path).unwrap();
    let order = order_of(&study, 1);
    let first =
        store.answers(&study, Some(1)).unwrap().into_iter().find(|a| a.answer == Answer::Score(4)).unwrap();
    assert_eq!(first.task, order[0].task);
    assert!(matches!(first.task.shown, Shown::One { .. }));
}

#[test]
fn an_answer_that_is_none_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.sqlite");
    let study = study(Design::Pairs, 2);
    served(&study, &path, |address| {
        let say = |change: &str, to: Value| {
            let mut say = json!({ "name": "Ada", "place": 0, "attribute": "fluency", "answer": "left", "seconds": 1.0 });
            say[change] = to;
            let reply = post(address, "/api/answer", &say);
            (reply.status, reply.json()["error"].as_str().unwrap_or_default().to_owned())
        };
        assert_eq!(say("place", json!(0)), (200, String::new()));
        for (change, to, reason) in [
            ("answer", json!("5"), "`5` is no answer here"),
            ("answer", json!("first"), "`first` is no answer here"),
            ("attribute", json!("beauty"), "`beauty` is not asked here"),
            ("place", json!(2), "there are only 2 tasks"),
            ("place", json!(-1), "not understood"),
            ("name", json!("=HYPERLINK(1)"), "a name has up to 40"),
            ("name", json!(""), "a name has up to 40"),
            ("name", json!("x".repeat(41)), "a name has up to 40"),
            ("more", json!(1), "not understood"),
        ] {
            let (status, said) = say(change, to);
            assert_eq!(status, 400);
            assert!(said.starts_with(reason), "{said}");
        }
    });
    let (mut store, _) = Store::open(&path).unwrap();
    assert_eq!(store.answers(&study, None).unwrap().len(), 1);
    assert_eq!(store.raters().unwrap().len(), 1, "refused names did not join");
}

#[test]
fn requests_of_other_sites_are_refused_and_nothing_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.sqlite");
    let study = study(Design::Pairs, 2);
    served(&study, &path, |address| {
        let host = address.to_string();
        let ask = |method, path, headers: &[(&str, &str)]| {
            request(address, method, path, headers, &json!({ "name": "Eve" }).to_string()).status
        };
        let json = ("Content-Type", "application/json");
        let rebound = format!("evil.example:{}", address.port());
        assert_eq!(ask("GET", "/", &[("Host", &rebound)]), 403);
        assert_eq!(ask("POST", "/api/join", &[("Host", &rebound), json]), 403);
        assert_eq!(
            ask("POST", "/api/join", &[("Host", &host), json, ("Origin", "http://evil.example")]),
            403
        );
        assert_eq!(ask("POST", "/api/join", &[("Host", &host), json, ("Sec-Fetch-Site", "cross-site")]), 403);
        assert_eq!(ask("POST", "/api/join", &[("Host", &host), ("Content-Type", "text/plain")]), 415);
        assert_eq!(ask("GET", "/api/join", &[("Host", &host)]), 404);
        assert_eq!(ask("DELETE", "/", &[("Host", &host)]), 405);
        assert_eq!(ask("POST", "/api/else", &[("Host", &host), json]), 404);
        let long = "x".repeat(20_000);
        assert_eq!(request(address, "POST", "/api/join", &[("Host", &host), json], &long).status, 413);
    });
    let (mut store, _) = Store::open(&path).unwrap();
    assert!(store.raters().unwrap().is_empty());
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    served(&study(Design::Pairs, 2), &folder.path().join("s"), |address| {
        assert!(address.ip().is_loopback());
        let host = address.to_string();
        for (path, kind) in [("/", "text/html"), ("/style.css", "text/css"), ("/page.js", "text/javascript")]
        {
            let reply = request(address, "GET", path, &[("Host", &host)], "");
            assert_eq!(reply.status, 200);
            assert!(reply.headers.contains(&format!("content-type: {kind}")), "{}", reply.headers);
            assert!(reply.headers.contains("content-security-policy: default-src 'none'; script-src 'self'"));
            assert!(reply.headers.contains("x-content-type-options: nosniff"));
            assert!(!reply.body.contains("http://") && !reply.body.contains("https://"), "{path}");
            assert!(!reply.body.contains("innerHTML"), "texts are never markup");
        }
        assert_eq!(request(address, "GET", "/etc/passwd", &[("Host", &host)], "").status, 404);
    });
}
