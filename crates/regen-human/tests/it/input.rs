//! Inputs: what belongs together, and what is refused by line.

use std::fs;
use std::path::PathBuf;

use regen_human::{Design, Error, Study, Texts};
use regen_metrics::rubric::NarrativeKind;

use crate::studies::config;

fn written(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

const NARRATIVES: &str = r#"{"user":"u1","item":"i1","kind":"critique","arm":"cf","hypothesis":"cf 1","reference":"ref 1"}
{"user":"u1","item":"i1","kind":"critique","arm":"cf","hypothesis":"cf 1 again","reference":"ref 1 again"}
{"user":2,"item":null,"kind":"user_summary_long","arm":"cf","hypothesis":"cf 2","reference":"ref 2","history":["a","b"]}

{"user":2,"item":null,"kind":"user_summary_long","arm":"fusion","hypothesis":"fusion 2","reference":"ref 2"}
{"user":"u1","item":"i1","kind":"critique","arm":"fusion","hypothesis":"fusion 1","reference":"ref 1","colour":"red"}
"#;

#[test]
fn narratives_of_one_user_item_and_kind_are_one_case() {
    let folder = tempfile::tempdir().unwrap();
    let texts = Texts::from_narratives(&written(&folder, "n.jsonl", NARRATIVES), false).unwrap();
    assert_eq!(texts.systems, ["cf", "fusion"]);
    let found: Vec<Vec<Option<&str>>> =
        texts.cases.iter().map(|case| case.texts.iter().map(Option::as_deref).collect()).collect();
    assert_eq!(
        found,
        [
            vec![Some("cf 1"), Some("fusion 1")],
            vec![Some("cf 1 again"), None],
            vec![Some("cf 2"), Some("fusion 2")]
        ]
    );
    assert_eq!(texts.cases[2].user.as_deref(), Some("2"));
    assert_eq!(texts.cases[2].kind, Some(NarrativeKind::UserSummaryLong));
    assert_eq!(texts.cases[2].history, ["a", "b"]);
    // A pair needs both.
    let study = Study::new(texts.systems, texts.cases, config(Design::Pairs)).unwrap();
    assert_eq!(study.tasks().len(), 2);
    // What is not about an item is not judged by how well it sells one.
    let names: Vec<&str> = study.attributes(study.tasks()[1]).iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["veracity", "personalisation", "fluency"]);
}

#[test]
fn references_can_be_judged_like_a_system_and_systems_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, "n.jsonl", NARRATIVES);
    let texts = Texts::from_narratives(&path, true).unwrap();
    assert_eq!(texts.systems, ["cf", "reference", "fusion"]);
    let chosen = texts.clone().only(&["fusion".into(), "reference".into()]).unwrap();
    assert_eq!(chosen.cases[0].texts, [Some("fusion 1".into()), Some("ref 1".into())]);
    let unknown = texts.clone().only(&["base".into()]).unwrap_err();
    assert_eq!(unknown.to_string(), "no system `base` in the input; there are: cf, reference, fusion");
    assert!(matches!(texts.only(&["cf".into(), "cf".into()]), Err(Error::DuplicateSystem { .. })));
}

#[test]
fn pairs_belong_together_line_by_line_and_a_shorter_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ours = written(
        &folder,
        "ours.jsonl",
        "{\"hyp\":\"a\",\"ref\":\"r\",\"context\":\"c\"}\n{\"hyp\":\"b\",\"refs\":[\"s\",\"t\"]}\n",
    );
    let base =
        written(&folder, "base.jsonl", "{\"hyp\":\"x\",\"ref\":\"r\"}\n{\"hyp\":\"y\",\"ref\":\"s\"}\n");
    let short = written(&folder, "short.jsonl", "{\"hyp\":\"x\",\"ref\":\"r\"}\n");
    let files = |second: &PathBuf, name: &str| {
        vec![("ours".to_owned(), ours.clone()), (name.to_owned(), second.clone())]
    };
    let texts = Texts::from_pairs(&files(&base, "base"), true).unwrap();
    assert_eq!(texts.systems, ["ours", "reference", "base"]);
    assert_eq!(texts.cases[1].texts, [Some("b".into()), Some("s".into()), Some("y".into())]);
    assert_eq!(texts.cases[0].context.as_deref(), Some("c"));
    assert!(matches!(
        Texts::from_pairs(&files(&short, "short"), false),
        Err(Error::CountMismatch { expected: 2, got: 1, .. })
    ));
    for name in ["ours", "reference"] {
        assert!(matches!(Texts::from_pairs(&files(&base, name), true), Err(Error::DuplicateSystem { .. })));
    }
}

#[test]
fn pairs_may_be_what_write_narratives_wrote_and_begin_with_a_byte_order_mark() {
    let folder = tempfile::tempdir().unwrap();
    let line = r#"{"user":"ann","kind":"purchase_reason","history":["p"],"target":"q","reference":"r","narrative":"x"}"#;
    let ours = written(&folder, "ours.jsonl", &format!("\u{feff}{line}\r\n"));
    let base = written(&folder, "base.jsonl", "{\"hypothesis\":\"y\",\"item\":\"q\"}\n");
    let texts = Texts::from_pairs(&[("ours".into(), ours), ("base".into(), base)], true).unwrap();
    assert_eq!(texts.systems, ["ours", "reference", "base"]);
    assert_eq!(texts.cases[0].texts, [Some("x".into()), Some("r".into()), Some("y".into())]);
    assert_eq!(texts.cases[0].item.as_deref(), Some("q"));
}

#[test]
fn a_file_of_another_kind_is_not_told_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, "table.csv", &"a,b\n".repeat(500));
    let error = Texts::from_narratives(&path, false).unwrap_err().to_string();
    assert!(error.contains("500 malformed lines") && error.ends_with("and 480 more"), "{error}");
    assert_eq!(error.lines().count(), 22);
}

#[test]
fn every_malformed_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path =
        written(&folder, "n.jsonl", "{\"arm\":\"a\",\"hypothesis\":\"x\"}\n{\"arm\":\"a\"}\n\nnot json\n");
    let error = Texts::from_narratives(&path, false).unwrap_err().to_string();
    assert!(
        error.contains("2 malformed lines") && error.contains("line 2: missing field `hypothesis`"),
        "{error}"
    );
    assert!(error.contains("line 4: "), "{error}");
    assert!(matches!(Texts::from_narratives(&folder.path().join("no"), false), Err(Error::Io { .. })));
}

#[test]
fn cases_are_drawn_by_the_seed_and_nothing_to_judge_is_an_error() {
    let cases = crate::studies::cases(20);
    let drawn = |seed| {
        let config =
            regen_human::StudyConfig { seed, cases: std::num::NonZeroUsize::new(5), ..config(Design::Pairs) };
        Study::new(vec!["a".into(), "b".into()], cases.clone(), config).unwrap().cases
    };
    assert_eq!(drawn(1).len(), 5);
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    let one = Study::new(vec!["a".into()], cases, config(Design::Pairs));
    assert!(matches!(one, Err(Error::NothingToJudge { .. })));
}
