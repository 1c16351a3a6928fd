//! The rules of the house as tests. Each rule is a function from what it looks at to a list of violations, so that
//! it can be shown to fail on a bad input; `CONTRIBUTING.md` gives the reasons.

mod arrows;
mod manifests;
mod programs;
mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{Metadata, MetadataCommand};

/// The workspace root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("xtask lies in crates/").to_owned()
}

/// What cargo says of the workspace; dependencies of dependencies are left out, so nothing is resolved or fetched.
fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata runs")
}

fn cargo(arguments: &[&str]) -> std::process::Output {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Command::new(program).args(arguments).current_dir(root()).output().expect("cargo runs")
}

/// Fails with one violation per line.
fn assert_none(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
}

#[test]
fn the_sources_are_formatted() {
    let output = cargo(&["fmt", "--all", "--check", "--", "--files-with-diff"]);
    assert!(output.status.success(), "run `cargo fmt --all`:\n{}", String::from_utf8_lossy(&output.stdout));
}
