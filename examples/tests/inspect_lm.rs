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
    let mut command = Command::new(program("inspect_lm"));
    command.args(["--threads", "1", "--generate", "2", "--json", "--model"]).arg(model).arg("--out").arg(out);
    more.iter().for_each(|(flag, path)| {
        command.arg(flag).arg(path);
    });
    command.output().expect("the program starts")
}

#[test]
fn arrays_that_cannot_be_what_they_should_are_refused_with_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let file = |name: &str, tensor: &Tensor| {
        let path = dir.path().join(name);
        tensor.write_npy(&path).unwrap();
        path
    };
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
