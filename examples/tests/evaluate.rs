//! `evaluate` as scripts use it: JSON in, JSON out, and malformed input named by its line.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn evaluate(arguments: &[&str]) -> Output {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("tests lie in PROFILE/deps");
    let program: PathBuf = profile.join("examples").join("evaluate");
    assert!(program.exists(), "{} is not built: run cargo test -p regen-examples", program.display());
    Command::new(program).args(arguments).output().expect("the program starts")
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(stdout.lines().last().expect("something is printed")).expect("the last line is JSON")
}

const PAIRS: &str = r#"{"hyp": "A red pen for the office.", "refs": ["Something else.", "A red pen for the office."]}
{"hyp": "They like blue paper.", "refs": ["They like blue paper."]}
"#;

const OTHERS: &str = r#"{"hyp": "The sea at night.", "refs": ["Something else.", "A red pen for the office."]}
{"hyp": "They like green paper.", "refs": ["They like blue paper."]}
"#;

#[test]
fn an_encoder_adds_similarity_to_the_nearest_reference_with_interval_and_test() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("pairs.jsonl"), PAIRS).unwrap();
    std::fs::write(path("others.jsonl"), OTHERS).unwrap();
    let encoder = std::env::var("REGEN_ENCODER").unwrap();
    let (pairs, others, segments) = (path("pairs.jsonl"), path("others.jsonl"), path("segments.jsonl"));
    let arguments = ["--pairs", &pairs, "--against", &others, "--segments", &segments, "--encoder", &encoder];
    let found = json(&evaluate(&[&arguments[..], &["--metrics", "bleu", "--json", "--quiet"]].concat()));
    let similarity = &found["semantic_similarity"];
    assert!((similarity["score"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{similarity}");
    assert!(similarity["signature"].as_str().unwrap().starts_with("nrefs:var|sim:cosine|encoder:"));
    assert!(similarity["against"]["score"].as_f64().unwrap() < 0.9, "{similarity}");
    assert!(similarity["against"]["p_holm"].is_number() && found["bleu"]["against"]["p_holm"].is_number());
    let first = std::fs::read_to_string(&segments).unwrap();
    let first: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    assert!((first["semantic_similarity"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{first}");

    let without = json(&evaluate(&["--pairs", &pairs, "--metrics", "bleu,rouge_l", "--json", "--quiet"]));
    assert!(without.get("semantic_similarity").is_none() && without["rouge_l"]["score"] == 1.0);
}

#[test]
fn every_malformed_line_and_a_mismatch_of_counts_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (broken, pairs, short) = (path("broken.jsonl"), path("pairs.jsonl"), path("short.jsonl"));
    std::fs::write(&broken, "{\"hyp\": \"a\", \"ref\": \"b\"}\n{\"hyp\": \"a\"}\nnot json\n").unwrap();
    std::fs::write(&pairs, PAIRS).unwrap();
    std::fs::write(&short, PAIRS.lines().next().unwrap()).unwrap();
    let fails_with = |arguments: &[&str], parts: &[&str]| {
        let output = evaluate(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(parts.iter().all(|part| stderr.contains(part)), "{stderr}");
    };
    fails_with(&["--pairs", &broken], &["2 malformed lines", "line 2: neither `ref`", "line 3: "]);
    fails_with(&["--pairs", &pairs, "--against", &short], &["has 2 pairs", "has 1"]);
    fails_with(&["--pairs", &pairs, "--encoder", &path("nowhere")], &["no sentence encoder at", "nowhere"]);
}
