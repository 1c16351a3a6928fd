//! `evaluate` as scripts use it: JSON in, JSON out, and malformed input named by its line.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use support::program;

fn evaluate(arguments: &[&str]) -> Output {
    Command::new(program("evaluate")).args(arguments).output().expect("the program starts")
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
fn bertscore_is_that_of_bert_score_on_the_same_encoder() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bertscore");
    let expected: Value =
        serde_json::from_str(&std::fs::read_to_string(golden.join("expected.json")).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let segments = dir.path().join("segments.jsonl");
    let (pairs, segments) = (golden.join("pairs.jsonl"), segments.to_str().unwrap());
    let encoder = std::env::var("REGEN_ENCODER").unwrap();
    let settings: [(&str, &[&str], &str); 3] = [
        ("last", &[], "|layer:6|idf:no|"),
        ("last, idf", &["--idf"], "|layer:6|idf:yes|"),
        ("third", &["--bertscore-layer", "3"], "|layer:3|idf:no|"),
    ];
    for (name, more, signature) in settings {
        let arguments = ["--pairs", pairs.to_str().unwrap(), "--segments", segments, "--encoder", &encoder];
        let asked = ["--metrics", "bleu", "--bertscore", "--json", "--quiet"];
        let found = json(&evaluate(&[&arguments[..], &asked, more].concat()));
        let row = &found["bertscore"];
        assert!(row["signature"].as_str().unwrap().contains(signature), "{row}");
        let expected: Vec<[f64; 3]> = serde_json::from_value(expected[name].clone()).unwrap();
        let close = |got: &Value, expected: f64| (got.as_f64().unwrap() - expected).abs() < 1e-5;
        let written = std::fs::read_to_string(segments).unwrap();
        for (line, expected) in written.lines().zip(&expected) {
            let segment: Value = serde_json::from_str(line).unwrap();
            assert!(close(&segment["bertscore"], expected[2]), "{name}: {segment} {expected:?}");
        }
        let mean = |at: usize| expected.iter().map(|row| row[at]).sum::<f64>() / expected.len() as f64;
        assert!(close(&row["precision"], mean(0)) && close(&row["recall"], mean(1)), "{name}: {row}");
        assert!(row["interval"]["low"].as_f64() < row["interval"]["high"].as_f64());
    }
    let arguments = ["--pairs", pairs.to_str().unwrap(), "--encoder", &encoder, "--bertscore"];
    let refused = evaluate(&[&arguments[..], &["--bertscore-layer", "7"]].concat());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("layers 0 (embeddings) to 6"));
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

#[test]
fn claims_are_checked_against_the_catalogue_and_listed_with_their_spans() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let lines = |texts: [&str; 2]| -> String {
        let line = |(item, text)| format!("{{\"hyp\": \"{text}\", \"ref\": \"r\", \"item\": \"i{item}\"}}\n");
        (1..).zip(texts).map(line).collect()
    };
    std::fs::write(path("ours.jsonl"), lines(["It costs $12.99.", "It costs $5."])).unwrap();
    std::fs::write(path("base.jsonl"), lines(["It costs $70.", "It costs $7."])).unwrap();
    let items =
        "{\"item\": \"i1\", \"title\": \"Gel Pen\", \"price\": 12.99}\n{\"item\": \"i2\", \"price\": 9.0}\n";
    std::fs::write(path("items.jsonl"), items).unwrap();
    let (ours, base, items) = (path("ours.jsonl"), path("base.jsonl"), path("items.jsonl"));
    let (claims, segments) = (path("claims.jsonl"), path("segments.jsonl"));
    let all = [
        "--pairs",
        &ours,
        "--against",
        &base,
        "--catalogue",
        &items,
        "--metrics",
        "bleu",
        "--json",
        "--quiet",
    ];
    let found = json(&evaluate(&[&all[..], &["--claims", &claims, "--segments", &segments]].concat()));
    let veracity = &found["veracity"];
    assert_eq!((&veracity["score"], &veracity["against"]["score"]), (&0.5.into(), &0.0.into()), "{veracity}");
    assert_eq!(veracity["details"]["contradicted"], 1);
    assert!(veracity["interval"]["low"].is_number() && veracity["against"]["p_holm"].is_number());
    let claims = std::fs::read_to_string(&claims).unwrap();
    let claims: Vec<Value> = claims.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(claims.len(), 2);
    assert_eq!(
        (&claims[1]["pair"], &claims[1]["words"], &claims[1]["verdict"]),
        (&2.into(), &"$5".into(), &"contradicted".into())
    );
    assert_eq!(std::fs::read_to_string(&segments).unwrap().matches("\"veracity\":").count(), 2);
    // A price that may have changed contradicts nothing.
    let mild = json(&evaluate(&[&all[..], &["--trust", "price=indicative"]].concat()));
    assert_eq!(mild["veracity"]["details"]["contradicted"], 0);
    let wrong = evaluate(&[&all[..], &["--trust", "weight=indicative"]].concat());
    assert_eq!(wrong.status.code(), Some(2));
    let without = evaluate(&["--pairs", &path("nothing"), "--claims", "x"]);
    assert_eq!(without.status.code(), Some(2), "claims need a catalogue");
}

#[test]
fn a_rater_judges_both_systems_once_and_a_second_run_asks_nothing() {
    use std::io::{BufRead, BufReader, Read, Write};
    // An endpoint that gives the score that the text names, 5 for ours and 2 for the baseline.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                let (mut length, mut line) = (0, String::new());
                while reader.read_line(&mut line).unwrap_or(0) > 2 {
                    if let Some(given) = line.to_lowercase().strip_prefix("content-length:") {
                        length = given.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let score = if String::from_utf8_lossy(&body).contains("FINE") { 5 } else { 2 };
                let judgement = format!("{{\"reason\":\"r\",\"score\":{score}}}");
                let names = ["veracity", "personalisation", "persuasiveness", "relevance", "fluency"];
                let scores: Vec<String> =
                    names.iter().map(|name| format!("\"{name}\":{judgement}")).collect();
                let content = Value::from(format!("{{{}}}", scores.join(",")));
                let answer = format!(
                    "{{\"choices\":[{{\"message\":{{\"content\":{content}}},\"finish_reason\":\"stop\"}}],\
                     \"usage\":{{\"prompt_tokens\":100,\"completion_tokens\":10}}}}"
                );
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
                let reply = format!("{head}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
                let _ = reader.get_mut().write_all(reply.as_bytes());
            });
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let lines = |text: &str| -> String {
        (0..6)
            .map(|n| format!("{{\"hyp\": \"{text} {n}\", \"ref\": \"r\", \"item_text\": \"a pen\"}}\n"))
            .collect()
    };
    std::fs::write(path("ours.jsonl"), lines("FINE")).unwrap();
    std::fs::write(path("base.jsonl"), lines("poor")).unwrap();
    let (ours, base, journal) = (path("ours.jsonl"), path("base.jsonl"), path("journal.jsonl"));
    let all = [
        "--pairs",
        &ours,
        "--against",
        &base,
        "--metrics",
        "bleu",
        "--json",
        "--quiet",
        "--rater",
        &url,
        "--rater-model",
        "m",
        "--rater-journal",
        &journal,
        "--rater-samples",
        "2",
        "--rater-prices",
        "1,10",
    ];
    let dry = json(&evaluate(&[&all[..], &["--dry-run"]].concat()));
    assert_eq!((&dry["rater"]["questions"], dry.get("rater_fluency")), (&24.into(), None));
    assert!(dry["rater"]["cost_about"].as_f64().unwrap() > 0.0 && !std::path::Path::new(&journal).exists());
    let first = json(&evaluate(&all));
    let fluency = &first["rater_fluency"];
    assert_eq!((&fluency["score"], &fluency["against"]["score"]), (&5.0.into(), &2.0.into()), "{first}");
    assert_eq!(fluency["repeats"]["repeat_variance"], 0.0);
    assert!(fluency["against"]["p_holm"].is_number());
    assert_eq!((&first["rater"]["asked"], &first["rater"]["from_journal"]), (&24.into(), &0.into()));
    assert!((first["rater"]["cost"].as_f64().unwrap() - 24.0 * (100.0 + 100.0) / 1e6).abs() < 1e-12);
    let second = json(&evaluate(&all));
    assert_eq!((&second["rater"]["asked"], &second["rater"]["from_journal"]), (&0.into(), &24.into()));
    assert_eq!(second["rater_fluency"]["score"], 5.0);
}

#[test]
fn what_write_narratives_and_the_quickstart_write_is_scored_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let line = |keys: [&str; 2]| {
        let [text, reference] = keys;
        format!(
            "{{\"user\": \"7\", \"{text}\": \"A red pen at night.\", \"{reference}\": \"A red pen for the office.\"}}\n"
        )
    };
    let bleu = |keys| {
        std::fs::write(path("pairs.jsonl"), line(keys)).unwrap();
        let arguments =
            ["--pairs", &path("pairs.jsonl"), "--metrics", "bleu", "--group-by", "user", "--json", "--quiet"];
        json(&evaluate(&arguments))["bleu"]["score"].as_f64().unwrap()
    };
    let scored = bleu(["hyp", "ref"]);
    assert!(scored > 10.0);
    assert_eq!(bleu(["narrative", "reference"]), scored);
    assert_eq!(bleu(["hypothesis", "reference"]), scored);
    std::fs::write(path("many.jsonl"), "{}\n".repeat(30)).unwrap();
    let refused = evaluate(&["--pairs", &path("many.jsonl")]);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    for told in ["30 malformed lines", "line 20: ", "and 10 more"] {
        assert!(stderr.contains(told), "{stderr}");
    }
    assert!(!stderr.contains("line 21"), "{stderr}");
}
