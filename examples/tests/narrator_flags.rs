//! Command lines of `train_narrator` and `write_narratives` that cannot be meant are refused before anything is read.

mod support;

use std::process::Command;

use support::program;

/// Exit code and stderr for a command line whose data are not there.
fn refused(name: &str, line: &str) -> (Option<i32>, String) {
    let output =
        Command::new(program(name)).args(line.split_whitespace()).output().expect("the program starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

const CF: &str = "--data no-data --factors no-factors --arm cf";

#[test]
fn a_flag_that_would_be_ignored_is_a_usage_error_that_names_it() {
    for (line, named) in [
        ("--arm cf --mlp-width 64", "--mlp-width is for --adapter mlp"),
        ("--arm cf --adapter mlp --attention-heads 4", "--attention-heads is for --adapter cross-attention"),
        ("--arm cf --embeddings e.npy", "--embeddings is for an --arm that reads semantic vectors"),
        ("--arm text --adapter-steps 5", "--adapter-steps is for an --arm that reads vectors"),
        ("--arm cf --co-train semantic-table", "--co-train is for tables that the --arm reads"),
        (
            "--arm cf --co-train next-item --table-learning-rate 1",
            "--table-learning-rate is for --co-train of tables",
        ),
        ("--arm cf --review-scaling none", "--review-scaling is for --inputs reviews"),
        ("--arm semantic --embeddings e.npy --inputs user", "--inputs user is for an --arm"),
        ("--arm cf --lora-rank 2", "has learned nothing yet"),
        ("--arm fusion --factors f", "reads vectors that --embeddings names"),
        ("--arm cf --factors f --kernels --precision bf16", "--kernels train in f32"),
        ("--arm cf --steps 0", "--steps"),
        ("--arm cf --table-learning-rate nan --co-train tables", "--table-learning-rate"),
        ("--arm cf --precision f16", "--precision"),
    ] {
        let (code, told) = refused("train_narrator", &format!("--data no-data {line}"));
        assert!(code == Some(2) && told.contains(named), "{line}: {code:?} {told}");
    }
    for line in ["--temperature 0", "--batch 0", "--encoder e --temperature 1 --candidates 2"] {
        let (code, told) = refused("write_narratives", &format!("--narrator n --data d {line}"));
        let flag = line.split(' ').next().unwrap_or_default();
        assert!(code == Some(2) && told.contains(flag), "{line}: {code:?} {told}");
    }
}

#[test]
fn settings_that_cannot_be_are_found_before_the_data_are_read() {
    for (line, named) in [
        ("--adapter cross-attention --attention-heads 7", "a divisor of hidden"),
        ("--adapter gated", "a gate weighs two sides"),
        ("--adapter mlp --mlp-depth 0", "kind.mlp.depth"),
        ("--max-history 100000", "--max-history"),
        ("--lm preset:9m", "9m"),
        ("--lm no-such-folder", "no folder either"),
    ] {
        let (code, told) = refused("train_narrator", &format!("{CF} {line}"));
        assert!(
            code == Some(1) && told.contains(named) && !told.contains("no-data"),
            "{line}: {code:?} {told}"
        );
    }
    // A folder that is called like a preset is not taken for it.
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("2m")).unwrap();
    let of = |lm: &str| {
        let mut command = Command::new(program("train_narrator"));
        let line = format!("{CF} --lm {lm}");
        let output = command.current_dir(dir.path()).args(line.split_whitespace()).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(of("preset:2m").contains("no-data") && of("./2m").contains("is not a language model's folder"));
    // With settings that can be, it is the data that are missing.
    let (code, told) = refused("train_narrator", CF);
    assert!(code == Some(1) && told.contains("no-data"), "{told}");
}
