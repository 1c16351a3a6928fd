//! What people give the programs by mistake: it is refused or told with what to do, and a reader who goes away ends nothing.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use support::program;

fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new(program(name)).args(arguments).output().expect("the program starts")
}

/// As [`run`], and nobody reads what it prints.
fn without_reader(name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program(name));
    let command = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    drop(child.stdout.take());
    child.wait_with_output().expect("the program ends")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn path(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().to_owned()
}

/// Twenty users with three reviews each, as Amazon's files have them.
fn reviews(file: &str) {
    let line = |user: usize, k: usize| {
        format!(
            "{{\"reviewerID\":\"u{user}\",\"asin\":\"i{}\",\"overall\":4.0,\"unixReviewTime\":{}}}\n",
            (user + 3 * k) % 10,
            1_500_000_000 + 1000 * k
        )
    };
    let lines: String =
        (0..20).flat_map(|user| (0..3).map(move |k| (user, k))).map(|(user, k)| line(user, k)).collect();
    fs::write(file, lines).unwrap();
}

#[test]
fn data_without_a_purchase_are_refused_and_leave_no_prepared_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (path(&dir, "reviews.json"), path(&dir, "out"));
    reviews(&file);
    for arguments in [["--min-stars", "5"], ["--user-core", "9"]] {
        let refused = run("prepare_data", &[&["--reviews", &file, "--out", &out][..], &arguments].concat());
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains("no purchase is left of 60 records"), "{}", stderr(&refused));
        assert!(!Path::new(&out).join("dataset.json").exists());
    }
    // A file of another kind in every line: skipping bad lines leaves nothing.
    fs::write(&file, "{\"customer\":\"a\",\"sku\":\"b\"}\n").unwrap();
    let refused = run("prepare_data", &["--reviews", &file, "--out", &out]);
    assert!(
        stderr(&refused).contains("--mapping") && stderr(&refused).contains(":1: no "),
        "{}",
        stderr(&refused)
    );
    let refused = run("prepare_data", &["--reviews", &file, "--out", &out, "--on-error", "skip"]);
    assert_eq!(refused.status.code(), Some(1));
    // A file that is not there has no bad lines.
    let refused = run("prepare_data", &["--reviews", &path(&dir, "nothing"), "--out", &out]);
    assert!(!stderr(&refused).contains("--on-error"), "{}", stderr(&refused));
}

#[test]
fn a_division_of_older_data_goes_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (path(&dir, "reviews.json"), path(&dir, "out"));
    reviews(&file);
    let prepare = ["--reviews", &file, "--out", &out];
    let divided = run("prepare_data", &[&prepare[..], &["--split-seed", "7"]].concat());
    let told = String::from_utf8_lossy(&divided.stdout).into_owned();
    assert!(told.contains("2 users held out for validation, 2 for test"), "{told}");
    let training = Path::new(&out).join("training_interactions.csv");
    assert!(training.exists());
    let anew = run("prepare_data", &prepare);
    assert!(
        stderr(&anew).contains("training_interactions.csv, which divided older data"),
        "{}",
        stderr(&anew)
    );
    assert!(!training.exists() && !Path::new(&out).join("split.json").exists());
}

#[test]
fn a_reader_who_has_gone_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (path(&dir, "reviews.json"), path(&dir, "out"));
    reviews(&file);
    let ended = without_reader("prepare_data", &["--reviews", &file, "--out", &out]);
    assert!(ended.status.success(), "{}", stderr(&ended));
    assert!(Path::new(&out).join("dataset.json").exists());
    // The same of programs that do not link libtorch, or print little.
    let narratives = path(&dir, "narratives.jsonl");
    let line = |arm: &str| {
        format!(
            "{{\"user\":\"u\",\"item\":\"i\",\"kind\":\"critique\",\"arm\":\"{arm}\",\"hypothesis\":\"{arm}\",\"reference\":\"r\"}}\n"
        )
    };
    fs::write(&narratives, line("a") + &line("b")).unwrap();
    let (store, lm) = (path(&dir, "study.sqlite"), path(&dir, "lm"));
    let golden =
        |name: &str| format!("{}/../crates/regen-lm/tests/golden/llama2c/{name}", env!("CARGO_MANIFEST_DIR"));
    let (model, tokenizer) = (golden("model.bin"), golden("tokenizer.bin"));
    for (name, arguments) in [
        ("human_eval", &["--narratives", &narratives, "--store", &store, "--results", "--json"][..]),
        ("build_narratives", &["--data", &out, "--reviews", &file, "--dry-run", "--json"]),
        ("convert_lm", &["--llama2c", &model, "--tokenizer", &tokenizer, "--out", &lm]),
    ] {
        let ended = without_reader(name, arguments);
        assert!(ended.status.success(), "{name}: {}", stderr(&ended));
    }
}

#[test]
fn a_mistake_in_the_description_of_a_world_is_told_with_its_line_and_a_seed_in_it_goes_before_the_flag() {
    let dir = tempfile::tempdir().unwrap();
    let [world, one, two, three] = ["world.toml", "one", "two", "three"].map(|name| path(&dir, name));
    for (text, named) in [
        ("users = 40\nitems = \"many\"\n", "line 2"),
        ("users = 40\n\nitms = 120\n", "line 3"),
        ("users = \n", "line 1"),
    ] {
        fs::write(&world, text).unwrap();
        let refused = run("prepare_data", &["--synthetic", &world, "--out", &one]);
        assert_eq!(refused.status.code(), Some(1));
        let told = stderr(&refused);
        assert!(told.contains(named) && told.contains("does not describe a world"), "{told}");
    }
    let small = "users = 40\nitems = 120\nmean_history = 8.0\nmax_history = 12\n";
    let prepare = |text: &str, seed: &str, out: &str| {
        fs::write(&world, text).unwrap();
        let done = run("prepare_data", &["--synthetic", &world, "--seed", seed, "--out", out]);
        assert!(done.status.success(), "{}", stderr(&done));
        fs::read(Path::new(out).join("interactions.csv")).unwrap()
    };
    let first = prepare(small, "3", &one);
    assert_ne!(prepare(small, "4", &two), first);
    assert_eq!(prepare(&format!("{small}seed = 3\n"), "4", &three), first);
}

#[test]
fn factors_that_know_held_out_users_are_told_and_read_in_either_form() {
    let dir = tempfile::tempdir().unwrap();
    let [world, data, all, out, other] =
        ["world.toml", "data", "all", "narrator", "other"].map(|name| path(&dir, name));
    fs::write(&world, "users = 40\nitems = 120\nmean_history = 8.0\nmax_history = 12\n").unwrap();
    let prepared = run("prepare_data", &["--synthetic", &world, "--split-seed", "3", "--out", &data]);
    assert!(prepared.status.success(), "{}", stderr(&prepared));
    let interactions = format!("{data}/interactions.csv");
    let fit =
        ["--interactions", &interactions, "--rank", "4", "--iterations", "1", "--format", "safetensors"];
    let fitted = run("train_wals", &[&fit[..], &["--out", &all]].concat());
    assert!(fitted.status.success(), "{}", stderr(&fitted));
    let small = ["--lm", "preset:1m", "--steps", "1", "--reading-steps", "1", "--batch", "2", "--arm", "cf"];
    let train = [&["--data", &data, "--threads", "1"][..], &small].concat();
    let trained = run("train_narrator", &[&train[..], &["--factors", &all, "--out", &out]].concat());
    assert!(trained.status.success(), "{}", stderr(&trained));
    assert!(stderr(&trained).contains("8 users that the split holds out"), "{}", stderr(&trained));
    let refused = run("train_narrator", &[&train[..], &["--factors", &data, "--out", &other]].concat());
    assert!(stderr(&refused).contains("the folder that train_wals wrote"), "{}", stderr(&refused));
}

#[test]
fn pairs_of_windows_and_compressed_ones_are_scored_and_a_dry_run_is_a_result() {
    let dir = tempfile::tempdir().unwrap();
    let file = path(&dir, "pairs.jsonl");
    fs::write(&file, "\u{feff}{\"hyp\":\"a red pen\",\"ref\":\"a red pen\"}\r\n").unwrap();
    let ask = ["--pairs", &file, "--metrics", "rouge_l", "--resamples", "10"];
    let scored = run("evaluate", &[&ask[..], &["--json"]].concat());
    assert!(scored.status.success(), "{}", stderr(&scored));
    let last = String::from_utf8_lossy(&scored.stdout).lines().last().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<Value>(&last).unwrap()["rouge_l"]["score"], 1.0);
    let rater = ["--rater", "http://127.0.0.1:9/v1", "--rater-model", "none", "--dry-run"];
    let dry = run("evaluate", &[&ask[..], &rater].concat());
    assert!(String::from_utf8_lossy(&dry.stdout).contains("\"questions\":"), "{}", stderr(&dry));
    let usage = run("evaluate", &[&ask[..], &["--confidence", "95"]].concat());
    assert_eq!(usage.status.code(), Some(2));
    // A line is numbered once.
    fs::write(&file, "{\"hyp\":\"a\",\"ref\":\"b\"}\n{\"text\":\"a\"}\n").unwrap();
    let refused = stderr(&run("evaluate", &ask));
    assert!(refused.contains("line 2: missing field `hyp` at column"), "{refused}");
}
