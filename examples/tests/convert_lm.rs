//! A llama2.c model converted as a user does, and files that hold none.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::program;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/regen-lm/tests/golden/llama2c").join(name)
}

fn convert(model: &Path, tokenizer: &Path, out: &Path) -> Output {
    let mut command = Command::new(program("convert_lm"));
    command.arg("--llama2c").arg(model).arg("--tokenizer").arg(tokenizer).arg("--out").arg(out);
    command.output().expect("the program starts")
}

#[test]
fn damaged_files_are_refused_by_name_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let (model, tokenizer) = (golden("model.bin"), golden("tokenizer.bin"));
    let damaged = |name: &str, at: usize, bytes: &[u8]| {
        let mut content = fs::read(golden(name)).unwrap();
        content[at..at + bytes.len()].copy_from_slice(bytes);
        let path = dir.path().join(format!("damaged_{name}"));
        fs::write(&path, content).unwrap();
        path
    };
    let bad = damaged("model.bin", 28, &f32::NAN.to_le_bytes());
    let refused = convert(&bad, &tokenizer, &out);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("damaged_model.bin") && told.contains("model.embed_tokens.weight"), "{told}");
    for length in [-1i32, i32::MAX] {
        let bad = damaged("tokenizer.bin", 8, &length.to_le_bytes());
        let refused = convert(&model, &bad, &out);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(told.contains("damaged_tokenizer.bin") && told.contains("piece 0"), "{told}");
    }
    let exchanged = convert(&tokenizer, &model, &out);
    let told = String::from_utf8_lossy(&exchanged.stderr).into_owned();
    assert_eq!(exchanged.status.code(), Some(1), "{told}");
    assert!(told.contains("were --llama2c and --tokenizer exchanged?"), "{told}");
    // A file that is not there was not exchanged with another.
    let absent = convert(&golden("absent.bin"), &tokenizer, &out);
    let told = String::from_utf8_lossy(&absent.stderr).into_owned();
    assert!(told.contains("cannot read") && !told.contains("exchanged"), "{told}");
    assert!(!out.exists());
    let done = convert(&model, &tokenizer, &out);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(out.join("model.safetensors").exists());
}
