//! `human_eval` from its inputs to results and export, and what it refuses.

mod support;

use std::process::{Command, Output};

use serde_json::Value;

use support::program;

fn human_eval(arguments: &[&str]) -> Output {
    Command::new(program("human_eval")).args(arguments).output().expect("the program starts")
}

#[test]
fn a_study_is_made_from_narratives_and_evaluated_without_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let line = |arm: &str, user: usize| {
        format!(
            "{{\"user\":\"u{user}\",\"item\":\"i\",\"kind\":\"critique\",\"arm\":\"{arm}\",\"hypothesis\":\"{arm} {user}\",\
             \"reference\":\"r\"}}\n"
        )
    };
    let lines: String =
        ["cf", "fusion"].iter().flat_map(|arm| (0..3).map(move |user| line(arm, user))).collect();
    std::fs::write(path("narratives.jsonl"), lines).unwrap();
    let (store, csv) = (path("study.sqlite"), path("answers.csv"));
    let made =
        human_eval(&["--narratives", &path("narratives.jsonl"), "--store", &store, "--results", "--json"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::remove_file(path("narratives.jsonl")).unwrap();
    let again = human_eval(&["--store", &store, "--export", &csv, "--json", "--quiet"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let found: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(
        (&found["design"], &found["cases"], &found["answers"]),
        (&"pairs".into(), &3.into(), &0.into())
    );
    assert_eq!(found["systems"], serde_json::json!(["cf", "fusion"]));
    assert!(std::fs::read_to_string(&csv).unwrap().starts_with("rater,case,user,item,kind,system"));
}

#[test]
fn a_store_that_is_not_there_and_an_unknown_arm_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let absent = human_eval(&["--store", &path("absent.sqlite"), "--results"]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("holds no study: give its inputs once"));
    std::fs::write(path("pairs.jsonl"), "{\"hyp\": \"a\", \"ref\": \"b\"}\n").unwrap();
    let named = format!("ours={}", path("pairs.jsonl"));
    let unknown =
        human_eval(&["--store", &path("s"), "--pairs", &named, "--with-reference", "--arms", "ours,cf"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no system `cf`"), "{unknown:?}");
}
