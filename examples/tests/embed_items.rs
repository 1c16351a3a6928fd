//! Embedding as a user runs it: killed, gone on with, and given what it cannot embed.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use support::program;
use tch::{Device, Kind, Tensor};

/// The program that `cargo test` built beside this test, with the tiny encoder of regen-semantic's tests.
fn embed_items(input: &Path, out: &Path, more: &[&str]) -> Command {
    let tiny = "../crates/regen-semantic/tests/golden/tiny_bert/model";
    embed_items_with(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(tiny), input, out, more)
}

fn embed_items_with(model: &Path, input: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(program("embed_items"));
    command.args(["--threads", "1", "--model"]).arg(model).arg("--input").arg(input);
    command.arg("--out").arg(out).args(more);
    command
}

fn run(input: &Path, out: &Path, more: &[&str]) -> Output {
    embed_items(input, out, more).output().expect("the program starts")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn texts(count: usize) -> String {
    (0..count).map(|k| format!("a red pen and paper number {k}\n")).collect()
}

#[test]
fn a_run_that_is_killed_goes_on_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (input, whole, killed) =
        (dir.path().join("t.txt"), dir.path().join("whole"), dir.path().join("killed"));
    fs::write(&input, texts(3000)).unwrap();
    assert!(run(&input, &whole, &["--store", "int8"]).status.success());

    let more = ["--store", "int8", "--block", "7", "--resume"];
    let written = || -> u64 {
        let manifest = fs::read_to_string(killed.join("manifest.json")).unwrap_or_default();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap_or_default();
        manifest["rows_written"].as_u64().unwrap_or(0)
    };
    let mut kills = 0;
    for wanted in [1, 400, 900] {
        let mut child =
            embed_items(&input, &killed, &more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begin = Instant::now();
        while written() < wanted && begin.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        kills += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills > 0, "every run ended before it was killed");
    assert!(!killed.join("embeddings.npy").exists());
    // What it has done is not thrown away because a flag was forgotten.
    let before = fs::read(killed.join("manifest.json")).unwrap();
    let forgotten = run(&input, &killed, &["--store", "int8"]);
    assert_eq!(forgotten.status.code(), Some(1));
    for word in ["broken off after", "of 3000 texts", "--resume", "--overwrite"] {
        assert!(told(&forgotten).contains(word), "{word}: {}", told(&forgotten));
    }
    assert_eq!(fs::read(killed.join("manifest.json")).unwrap(), before);
    let resumed = run(&input, &killed, &more);
    assert!(resumed.status.success(), "{}", told(&resumed));
    for name in ["embeddings.npy", "scales.npy"] {
        assert_eq!(fs::read(killed.join(name)).unwrap(), fs::read(whole.join(name)).unwrap(), "{name}");
    }

    // A change of the texts is noticed, also one that leaves their number.
    fs::write(&input, texts(3000).replacen("red", "blue", 1)).unwrap();
    let other = run(&input, &killed, &more);
    assert_eq!(other.status.code(), Some(1));
    assert!(told(&other).contains("input"), "{}", told(&other));
}

#[test]
fn records_without_the_fields_of_the_template_are_not_embedded_as_if_they_had_them() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("items.jsonl"), dir.path().join("out"));
    fs::write(&input, "{\"title\": \"a red pen\"}\n{\"brand\": \"x\"}\n").unwrap();
    for more in [&[][..], &["--template", "{titel}"]] {
        let failed = run(&input, &out, more);
        assert_eq!(failed.status.code(), Some(1));
        let told = told(&failed);
        assert!(told.contains("items.jsonl") && told.contains("--template"), "{told}");
        assert!(!out.join("manifest.json").exists());
    }
    let some = run(&input, &out, &["--template", "{title}"]);
    assert!(some.status.success() && told(&some).contains("1 of 2 texts"), "{}", told(&some));
    assert_eq!(fs::read_to_string(out.join("without_text.json")).unwrap(), "[1]");
}

#[test]
fn a_run_that_was_broken_off_is_replaced_when_asked_and_a_finished_one_always() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("t.txt"), dir.path().join("out"));
    fs::write(&input, texts(5)).unwrap();
    assert!(run(&input, &out, &[]).status.success());
    let whole = fs::read(out.join("embeddings.npy")).unwrap();
    assert!(run(&input, &out, &[]).status.success());
    let manifest = fs::read_to_string(out.join("manifest.json")).unwrap();
    let broken = manifest.replace("\"complete\": true", "\"complete\": false");
    fs::write(out.join("manifest.json"), broken.replace("\"rows_written\": 5", "\"rows_written\": 2"))
        .unwrap();
    assert_eq!(run(&input, &out, &[]).status.code(), Some(1));
    let anew = run(&input, &out, &["--overwrite"]);
    assert!(anew.status.success(), "{}", told(&anew));
    assert_eq!(fs::read(out.join("embeddings.npy")).unwrap(), whole);
    assert_eq!(run(&input, &out, &["--overwrite", "--resume"]).status.code(), Some(2));
}

#[test]
fn a_template_for_lines_of_text_is_refused_before_anything_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("t.txt"), dir.path().join("out"));
    fs::write(&input, texts(2)).unwrap();
    let refused = run(&input, &out, &["--template", "{title}"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(told(&refused).contains("--template cannot be used with"), "{}", told(&refused));
    assert!(!out.exists());
}

#[test]
fn neighbours_are_read_from_the_file_and_are_the_texts_that_are_alike() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("t.txt"), dir.path().join("out"));
    fs::write(&input, "a red pen\na pen\na red pen\npaper\n").unwrap();
    for store in ["f32", "int8"] {
        let run = run(&input, &out, &["--neighbours", "1", "--store", store, "--quiet"]);
        assert!(run.status.success(), "{}", told(&run));
        let printed = String::from_utf8_lossy(&run.stdout).into_owned();
        let blocks: Vec<&str> = printed.split("\n\n").collect();
        assert!(blocks[1].starts_with("a red pen\n  1.000  a red pen"), "{store}: {printed}");
        assert!(blocks[4].starts_with("paper\n"), "{printed}");
    }
    assert_eq!(run(&input, &out, &["--neighbours", "0"]).status.code(), Some(2));
}

/// The tiny encoder with a dense layer behind it, so that vectors are as wide as those of real ones.
fn wide_encoder(dim: i64, folder: &Path) {
    let tiny =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/regen-semantic/tests/golden/families/bert");
    fs::create_dir_all(folder.join("1_Pooling")).unwrap();
    fs::create_dir_all(folder.join("2_Dense")).unwrap();
    let names = ["config.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json"];
    for name in names {
        fs::copy(tiny.join(name), folder.join(name)).unwrap();
    }
    let module = |path, kind| json!({"path": path, "type": format!("sentence_transformers.models.{kind}")});
    let modules = [module("", "Transformer"), module("1_Pooling", "Pooling"), module("2_Dense", "Dense")];
    fs::write(folder.join("modules.json"), json!(modules).to_string()).unwrap();
    let identity = "torch.nn.modules.linear.Identity";
    let dense =
        json!({"in_features": 24, "out_features": dim, "bias": false, "activation_function": identity});
    fs::write(folder.join("2_Dense/config.json"), dense.to_string()).unwrap();
    let weight = Tensor::arange(dim * 24, (Kind::Float, Device::Cpu)).sin().reshape([dim, 24]);
    regen_torch::save_tensors(
        &folder.join("2_Dense/model.safetensors"),
        &[("linear.weight".to_owned(), weight)],
        &[],
    )
    .unwrap();
}

#[test]
fn memory_does_not_grow_with_the_number_of_texts() {
    const MEBIBYTE: u64 = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let (model, input) = (dir.path().join("model"), dir.path().join("t.txt"));
    wide_encoder(1024, &model);
    // A long word is one token, and would be held with its text.
    let word = "x".repeat(1000);
    let peak = |count: usize, block: &str| {
        let texts: String = (0..count).map(|k| format!("a red pen {k} {word}\n")).collect();
        fs::write(&input, texts).unwrap();
        let more = ["--store", "int8", "--block", block, "--json", "--quiet", "--overwrite"];
        let output = embed_items_with(&model, &input, &dir.path().join("out"), &more).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let report: serde_json::Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
        assert_eq!(report["texts"], count);
        report["peak_rss_bytes"].as_u64()
    };
    let (Some(few), Some(many)) = (peak(1_000, "250"), peak(8_000, "250")) else {
        eprintln!("skipped: this system does not tell a process's peak of memory");
        return;
    };
    // Of the other 7,000 texts, the vectors would be 27 MiB, what is stored of them 7, and the texts themselves 7.
    let most = 4 * MEBIBYTE;
    assert!(many < few + most, "{few} bytes at 1,000 texts, {many} at 8,000");
    // One block of all holds them, so that it would be seen.
    let held = peak(8_000, "8000").unwrap();
    assert!(held > few + 2 * most, "{few} bytes at 1,000 texts in blocks, {held} at 8,000 in one");
}

#[test]
fn a_path_that_is_not_there_is_said_to_be_absent_and_a_folder_without_an_encoder_none() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("nope"), dir.path().join("out"));
    let absent = run(&input, &out, &[]);
    assert!(told(&absent).contains("there is no file or folder"), "{}", told(&absent));
    assert!(told(&run(&dir.path().join("nope.txt"), &out, &[])).contains("there is no file or folder"));
    let input = dir.path().join("texts");
    fs::write(&input, texts(1)).unwrap();
    assert!(told(&run(&input, &out, &[])).contains("neither .txt nor .jsonl"));
    let none = embed_items_with(dir.path(), &input, &out, &[]).output().unwrap();
    assert!(
        told(&none).contains("no sentence encoder at ") && told(&none).contains("--model"),
        "{}",
        told(&none)
    );
}

#[test]
fn a_doubt_about_the_tokenizer_is_told_once_however_quiet_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../crates/regen-semantic/tests/golden/tiny_bert/model");
    let encoder = dir.path().join("encoder");
    for folder in ["", "1_Pooling", "2_Normalize"] {
        fs::create_dir_all(encoder.join(folder)).unwrap();
        for entry in fs::read_dir(from.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, encoder.join(folder).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    let config = fs::read_to_string(encoder.join("config.json")).unwrap();
    let cased = config.replacen('{', "{\"_name_or_path\": \"bert-base-cased\",", 1);
    fs::write(encoder.join("config.json"), cased).unwrap();
    let doubt = "config.json calls the model bert-base-cased";
    let count = |output: &Output| told(output).matches(doubt).count();

    let input = dir.path().join("t.txt");
    fs::write(&input, texts(3)).unwrap();
    let embedded =
        embed_items_with(&encoder, &input, &dir.path().join("out"), &["--quiet"]).output().unwrap();
    assert!(embedded.status.success() && count(&embedded) == 1, "{}", told(&embedded));
    // Here it is loaded twice.
    let pairs = dir.path().join("pairs.jsonl");
    fs::write(&pairs, "{\"hyp\":\"a red pen\",\"ref\":\"a blue pen\"}\n").unwrap();
    let scored = Command::new(program("evaluate"))
        .args(["--metrics", "rouge_l", "--resamples", "10", "--bertscore", "--pairs"])
        .arg(&pairs)
        .arg("--encoder")
        .arg(&encoder)
        .output()
        .unwrap();
    assert!(scored.status.success() && count(&scored) == 1, "{}", told(&scored));
    let examined = Command::new(program("doctor")).arg("--encoder").arg(&encoder).output().unwrap();
    assert_eq!(count(&examined), 1, "{}", told(&examined));
}
