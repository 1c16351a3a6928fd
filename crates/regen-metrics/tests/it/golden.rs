//! Reading the golden files.

use std::path::PathBuf;

use serde::de::DeserializeOwned;

fn path(case: &str, file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden", case, file].iter().collect()
}

/// Expected values of one case.
pub(crate) fn expected<T: DeserializeOwned>(case: &str, name: &str) -> T {
    let path = path(case, &format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[derive(serde::Deserialize)]
struct Row {
    hyp: String,
    refs: Vec<String>,
}

/// The generated texts: hypotheses, and the references of each.
pub(crate) fn pairs() -> (Vec<String>, Vec<Vec<String>>) {
    ["pairs-1.jsonl", "pairs-2.jsonl"]
        .iter()
        .flat_map(|file| {
            let text = std::fs::read_to_string(path("texts", file)).unwrap();
            text.trim_end_matches('\n')
                .split('\n')
                .map(|line| serde_json::from_str::<Row>(line).unwrap())
                .collect::<Vec<_>>()
        })
        .map(|row| (row.hyp, row.refs))
        .unzip()
}

/// Fails, naming the text, where a value is further from the expected one than 1e-9.
pub(crate) fn assert_close(what: &str, got: f64, expected: f64) {
    assert!((got - expected).abs() <= 1e-9, "{what}: got {got}, expected {expected}");
}
