//! The quickstart as a user starts it, on a world small enough for a test.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use support::program;

fn quickstart(out: &Path, arguments: &[&str]) -> Output {
    quickstart_on("1m", out, arguments)
}

fn quickstart_on(lm: &str, out: &Path, arguments: &[&str]) -> Output {
    Command::new(program("quickstart"))
        .args(["--users", "80", "--items", "150", "--steps", "8", "--rank", "8", "--quiet", "--lm", lm])
        .arg("--out")
        .arg(out)
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("the file is written")).expect("the file is JSON")
}

#[test]
fn a_run_writes_its_report_and_the_same_seed_the_same_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let run = quickstart(&first, &["--json"]);
    let (stdout, stderr) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{stdout}\n{stderr}");

    let metrics = json(&first.join("metrics.json"));
    let last: Value = serde_json::from_str(stdout.lines().last().unwrap()).expect("the last line is JSON");
    assert_eq!(last, metrics);
    for arm in ["cf", "semantic", "fusion"] {
        for metric in ["bleu", "rouge_l", "semantic_similarity"] {
            assert!(metrics["arms"][arm][metric].as_f64().is_some_and(f64::is_finite), "{arm} {metric}");
        }
        assert!(first.join("narrators").join(arm).join("narrator.json").exists());
    }
    let encoder = fs::canonicalize(std::env::var("REGEN_ENCODER").unwrap()).unwrap();
    let signature = metrics["arms"]["cf"]["details"]["semantic_similarity"]["signature"].as_str().unwrap();
    assert!(signature.contains(encoder.file_name().unwrap().to_str().unwrap()), "{signature}");
    // 80 users, a tenth of them for the test, three narratives each, three arms.
    let narratives = fs::read_to_string(first.join("narratives.jsonl")).unwrap();
    assert_eq!(narratives.lines().count(), 8 * 3 * 3);
    for line in narratives.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        for field in ["user", "item", "kind", "arm", "hypothesis", "reference"] {
            assert!(line.get(field).is_some(), "{field}");
        }
    }
    let page = fs::read_to_string(first.join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("semantic similarity"));
    assert!(!page.contains("http") && !page.contains("<script"), "the page must open offline");
    let run = json(&first.join("run.json"));
    assert_eq!((run["seed"].as_u64(), run["device"].as_str()), (Some(7), Some("Cpu")));
    // What finished arms are known by, whatever it is called.
    for hash in [&run["encoder"]["sha256"], &run["data_sha256"]] {
        assert!(hash.as_str().is_some_and(|hash| hash.len() == 64), "{run}");
    }

    assert!(quickstart(&second, &[]).status.success());
    let read = |out: &Path| fs::read(out.join("metrics.json")).unwrap();
    assert_eq!(read(&first), read(&second));

    // A run that was stopped in its last arm takes the others as they are, and comes to the same.
    fs::remove_file(first.join("narrators/fusion.json")).unwrap();
    fs::remove_file(first.join("metrics.json")).unwrap();
    let run = quickstart(&first, &["--resume"]);
    let stdout = String::from_utf8_lossy(&run.stdout);
    assert!(stdout.contains("train and write fusion") && !stdout.contains("train and write cf"), "{stdout}");
    assert_eq!(read(&first), read(&second));
    let refused = quickstart(&first, &["--resume", "--seed", "8"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("other settings"));

    // The folder of a language model is known by what it holds: another of the same name is not taken for it.
    let (lm, third) = (dir.path().join("lm"), dir.path().join("third"));
    fs::create_dir(&lm).unwrap();
    for entry in fs::read_dir(first.join("narrators/cf/lm")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), lm.join(entry.file_name())).unwrap();
    }
    let on_folder = || quickstart_on(lm.to_str().unwrap(), &third, &["--arms", "cf", "--resume"]);
    let run = on_folder();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(
        json(&third.join("run.json"))["language_model_sha256"].as_str().is_some_and(|hash| hash.len() == 64)
    );
    let config = lm.join("config.json");
    fs::write(&config, fs::read_to_string(&config).unwrap() + "\n").unwrap();
    let refused = on_folder();
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("another language model of that name (language_model_sha256"), "{stderr}");
}

#[test]
fn wrong_usage_is_exit_code_2_and_a_failure_is_1_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let run = quickstart(dir.path(), &["--device", "abacus"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run.stderr).contains("abacus"));

    // No machine has this many devices, so it is an error with and without a GPU, never the CPU instead.
    let run = quickstart(dir.path(), &["--device", "cuda:4096"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&run.stderr).contains("cuda:4096"));

    let run = quickstart(dir.path(), &["--encoder", "no/such/folder"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&run.stderr).contains("no/such/folder"));
}
