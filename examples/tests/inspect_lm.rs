//! A decoder looked into as a user does, with files that cannot be what they should.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tch::{Kind, Tensor};

use support::program;

fn inspect(out: &Path, more: &[(&str, &Path)]) -> Output {
    let model =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/regen-lm/tests/golden/families/llama");
    let more: Vec<(&str, &std::ffi::OsStr)> =
        more.iter().map(|(flag, path)| (*flag, path.as_os_str())).collect();
    inspect_model(&model, out, &more)
}

fn inspect_model(model: &Path, out: &Path, more: &[(&str, &std::ffi::OsStr)]) -> Output {
    let mut command = Command::new(program("inspect_lm"));
    command.args(["--threads", "1", "--generate", "2", "--json", "--model"]).arg(model).arg("--out").arg(out);
    more.iter().for_each(|(flag, value)| {
        command.arg(flag).arg(value);
    });
    command.output().expect("the program starts")
}

/// An array in a file of its own.
fn npy(dir: &Path, name: &str, tensor: &Tensor) -> PathBuf {
    let path = dir.join(name);
    tensor.write_npy(&path).unwrap();
    path
}

/// What the program says and computes, where it succeeds.
fn answer(output: &Output, out: &Path) -> (serde_json::Value, Tensor) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = serde_json::from_slice(&output.stdout).unwrap();
    (said, Tensor::read_npy(out.join("logits.npy")).unwrap())
}

#[test]
fn arrays_that_cannot_be_what_they_should_are_refused_with_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let file = |name: &str, tensor: &Tensor| npy(dir.path(), name, tensor);
    let ids = file("ids.npy", &Tensor::from_slice(&[3i64, 4, 5, 6]).view([2, 2]));
    let good = inspect(&out, &[("--ids", &ids)]);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));

    let cut = dir.path().join("cut.npy");
    fs::write(&cut, &fs::read(&ids).unwrap()[..103]).unwrap();
    let fractions = file("fractions.npy", &Tensor::from_slice(&[3.9f64, 4.9]).view([1, 2]));
    let mask = file("mask.npy", &Tensor::from_slice(&[1i64, 7, 1, 1]).view([2, 2]));
    let nothing = file("nothing.npy", &Tensor::from_slice(&[1i64, 1, 0, 0]).view([2, 2]));
    let nan = file("nan.npy", &Tensor::full([2, 1, 24], f64::NAN, (Kind::Float, tch::Device::Cpu)));
    let cases: [(&[(&str, &Path)], &str); 5] = [
        (&[("--ids", &cut)], "cut.npy"),
        (&[("--ids", &fractions)], "fractions.npy"),
        (&[("--ids", &ids), ("--mask", &mask)], "mask.npy"),
        (&[("--ids", &ids), ("--mask", &nothing)], "--mask"),
        (&[("--ids", &ids), ("--soft", &nan)], "nan.npy"),
    ];
    for (arguments, named) in cases {
        let refused = inspect(&out, arguments);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{named}: {told}");
        assert!(told.contains(named), "{named}: {told}");
    }
}

#[test]
fn a_command_line_without_anything_to_read_is_wrong_usage_and_no_model_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let asked = inspect_model(&dir.path().join("no-model"), dir.path(), &[]);
    let told = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert_eq!(asked.status.code(), Some(2), "{told}");
    assert!(["--ids", "--embeds", "--text"].iter().all(|flag| told.contains(flag)), "{told}");
    let absent =
        inspect_model(&dir.path().join("no-model"), dir.path(), &[("--text", std::ffi::OsStr::new("a"))]);
    let told = String::from_utf8_lossy(&absent.stderr).into_owned();
    assert_eq!(absent.status.code(), Some(1), "{told}");
    assert!(told.contains("cannot read ") && told.contains("no-model/config.json"), "{told}");
}

#[test]
fn given_vectors_stand_where_the_caller_says() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let file = |name: &str, tensor: &Tensor| npy(dir.path(), name, tensor);
    let value = |text: &str| PathBuf::from(text);
    // Rows of three and four tokens; 9 marks a place.
    let ids = file("ids.npy", &Tensor::from_slice(&[0i64, 3, 9, 5, 6, 7, 8, 9]).view([2, 4]));
    let mask = file("mask.npy", &Tensor::from_slice(&[0i64, 1, 1, 1, 1, 1, 1, 1]).view([2, 4]));
    let soft =
        file("soft.npy", &(Tensor::arange(96, (Kind::Float, tch::Device::Cpu)).view([2, 2, 24]) / 96.0));
    let run = |ids: &Path, more: &[(&str, &Path)]| {
        let given = [&[("--ids", ids), ("--soft", soft.as_path())], more].concat();
        answer(&inspect(&out, &given), &out)
    };
    let columns =
        |said: &serde_json::Value| serde_json::from_value::<Vec<i64>>(said["soft_columns"].clone()).unwrap();
    let row = |logits: &Tensor, row: i64, from: i64, count: i64| logits.get(row).narrow(0, from, count);
    let same = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]) < 1e-4;

    let (said, first) = run(&ids, &[]);
    assert_eq!((columns(&said), first.size()), (vec![0, 0], vec![2, 4, 61]));
    let at = value("first");
    assert_eq!(run(&ids, &[("--soft-at", &at)]).1, first, "that is what happens without being asked for");
    let (at, marker) = (value("before"), value("9"));
    let (said, before) = run(&ids, &[("--mask", &mask), ("--soft-at", &at)]);
    assert_eq!((columns(&said), before.size()), (vec![1, 0], vec![2, 6, 61]));
    let (said, marked) = run(&ids, &[("--mask", &mask), ("--soft-marker", &marker)]);
    assert_eq!((columns(&said), marked.size()), (vec![2, 3], vec![2, 5, 61]));

    // The same prompts written out, vectors in the place of ids that nobody reads.
    let whole = file("whole.npy", &Tensor::from_slice(&[1i64, 1, 3, 9, 5, 1, 1, 6, 7, 8]).view([2, 5]));
    let expected = run(&whole, &[]).1;
    assert!(same(&row(&before, 0, 1, 5), &row(&expected, 0, 0, 5)), "before the first row");
    assert!(same(&row(&before, 1, 0, 5), &row(&expected, 1, 0, 5)), "before the second row");
    // What stands before a marker does not know of what is there.
    let bare = file("bare.npy", &Tensor::from_slice(&[3i64, 9, 5, 6, 7, 8]).view([2, 3]));
    let (_, plain) = answer(&inspect(&out, &[("--ids", &bare)]), &out);
    assert!(same(&row(&marked, 0, 1, 1), &row(&plain, 0, 0, 1)));
    let marked_again = row(&marked, 0, 2, 2);
    assert!(!same(&marked_again, &row(&first, 0, 2, 2)));

    let twice = file("twice.npy", &Tensor::from_slice(&[3i64, 9, 9, 5, 6, 7, 8, 9]).view([2, 4]));
    let no_id = value("here");
    for (more, named) in [
        (&[("--ids", twice.as_path()), ("--soft", &soft), ("--soft-marker", &marker)][..], "2 times"),
        (&[("--ids", &ids), ("--soft", &soft), ("--soft-marker", &no_id)], "no id"),
        (&[("--embeds", &soft), ("--soft", &soft), ("--soft-marker", &marker)], "--soft-marker"),
    ] {
        let refused = inspect(&out, more);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{named}: {told}");
        assert!(told.contains(named), "{named}: {told}");
    }
    for more in [
        &[("--ids", ids.as_path()), ("--soft-at", at.as_path())][..],
        &[("--ids", &ids), ("--soft", &soft), ("--soft-at", &at), ("--soft-marker", &marker)],
    ] {
        assert_eq!(inspect(&out, more).status.code(), Some(2), "{more:?}");
    }
}

#[test]
fn vectors_take_the_place_of_a_marker_in_a_text() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (dir.path().join("model"), dir.path().join("out"));
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/regen-lm/tests/golden/llama2c");
    regen_lm::llama2c::convert(&golden.join("model.bin"), &golden.join("tokenizer.bin"), &model).unwrap();
    let hidden = regen_lm::DecoderConfig::from_hf(&model).unwrap().hidden();
    let soft = dir.path().join("soft.npy");
    Tensor::ones([1, 3, hidden], (Kind::Float, tch::Device::Cpu)).write_npy(&soft).unwrap();
    let run = |text: &str, more: &[(&str, &str)]| {
        let given = [("--text", text), ("--soft", soft.to_str().unwrap())];
        let all = given.iter().chain(more).map(|(flag, value)| (*flag, std::ffi::OsStr::new(*value)));
        inspect_model(&model, &out, &all.collect::<Vec<_>>())
    };
    let tokenizer = regen_lm::TextTokenizer::load(&model).unwrap();
    let count = |text: &str| tokenizer.encode(text).unwrap().len() as i64;
    let (said, logits) = answer(&run("a b<u>a", &[("--soft-marker", "<u>")]), &out);
    // The token of beginning stands before the text.
    assert_eq!(said["soft_columns"], serde_json::json!([1 + count("a b")]));
    assert_eq!(logits.size()[1], 1 + count("a b") + 3 + count("a"));
    let (said, logits) = answer(&run("a b", &[("--soft-at", "before")]), &out);
    assert_eq!((&said["soft_columns"], logits.size()[1]), (&serde_json::json!([0]), 3 + 1 + count("a b")));
    for text in ["a b", "<u>a<u>"] {
        let refused = run(text, &[("--soft-marker", "<u>")]);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(1) && told.contains("exactly once"), "{told}");
    }
}

/// A golden decoder with another word of its makers; `None` takes theirs away.
fn maker(dir: &Path, file: Option<&serde_json::Value>) -> PathBuf {
    let golden =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/regen-lm/tests/golden/families/llama");
    let model = dir.join("model");
    fs::create_dir_all(&model).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden.join(name), model.join(name)).unwrap();
    }
    let path = model.join("generation_config.json");
    match file {
        Some(file) => fs::write(path, file.to_string()).unwrap(),
        None => fs::remove_file(path).unwrap(),
    }
    model
}

#[test]
fn a_folder_is_continued_as_its_makers_say_where_that_is_asked_for() {
    use serde_json::json;
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let ids = npy(dir.path(), "ids.npy", &Tensor::from_slice(&[3i64, 4, 5, 6, 7, 8, 9, 10]).view([2, 4]));
    let run = |model: &Path, line: &str| {
        let mut command = Command::new(program("inspect_lm"));
        command.args(["--threads", "1", "--json", "--model"]).arg(model).arg("--out").arg(&out);
        command.arg("--ids").arg(&ids).args(line.split_whitespace()).output().expect("the program starts")
    };
    let said = |model: &Path, line: &str| answer(&run(model, line), &out).0;
    let count = |said: &serde_json::Value| said["generated"][0].as_array().unwrap().len();

    // Nothing ends a row here; a draw from one token is the most probable one.
    let makers = |top_k: i64| json!({ "do_sample": true, "temperature": 0.8, "top_k": top_k, "max_length": 9, "eos_token_id": 60 });
    let model = maker(dir.path(), Some(&makers(1)));
    let greedy = said(&model, "--generate 5");
    assert_eq!(greedy["settings"]["sampling"], json!({ "value": "greedy", "by": "library" }));
    let one = said(&model, "--as-folder-says");
    // Nine in all, four of them read.
    assert_eq!((&one["generated"], count(&one)), (&greedy["generated"], 5));
    assert_eq!(one["settings"]["max_tokens"], json!({ "value": 5, "by": "folder" }));
    assert_eq!(one["settings"]["stop"], json!([60]));
    assert_eq!(count(&said(&model, "--as-folder-says --generate 7")), 7);
    let model = maker(dir.path(), Some(&makers(40)));
    let drawn = said(&model, "--as-folder-says");
    assert_eq!(drawn["settings"]["sampling"]["by"], "folder");
    assert_ne!(drawn["generated"], greedy["generated"]);
    assert_eq!(said(&model, "--as-folder-says")["generated"], drawn["generated"], "the same seed");
    let cold = said(&model, "--as-folder-says --temperature 0.0001");
    assert_eq!(cold["generated"], greedy["generated"]);
    assert_eq!(cold["settings"]["sampling"]["value"]["sample"]["top_k"], 40);
    assert_eq!(said(&model, "--generate 5")["generated"], greedy["generated"]);

    // What ends a text ends it, the prompt's own ids are among those that are held already, and beams are beams.
    let first = &greedy["generated"][0][0];
    let model = maker(dir.path(), Some(&json!({ "eos_token_id": first, "max_new_tokens": 5 })));
    assert_eq!(count(&said(&model, "--as-folder-says")), 0);
    let stingy = json!({ "repetition_penalty": 1000.0, "eos_token_id": 60, "max_new_tokens": 12 });
    let model = maker(dir.path(), Some(&stingy));
    let fresh = said(&model, "--as-folder-says");
    for (row, prompt) in [[3, 4, 5, 6], [7, 8, 9, 10]].iter().enumerate() {
        let own = fresh["generated"][row].as_array().unwrap();
        assert!(own.iter().all(|id| !prompt.contains(&id.as_i64().unwrap())), "{own:?}");
    }
    let model = maker(dir.path(), Some(&json!({ "num_beams": 4, "eos_token_id": 60, "max_new_tokens": 5 })));
    let beams = said(&model, "--as-folder-says");
    assert_eq!((&beams["settings"]["beam"]["beams"], count(&beams)), (&json!(4), 5));

    let model = maker(dir.path(), None);
    let refused = run(&model, "--as-folder-says");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && told.contains("generation_config.json"), "{told}");
}
