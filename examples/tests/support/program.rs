//! Where the programs are.

use std::path::{Path, PathBuf};

/// A program that `cargo test` built beside this test. (A nested `cargo run` would unify features for one package only, and compile
/// half the dependencies again.)
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.parent().and_then(Path::parent).expect("tests lie in PROFILE/deps");
    let program = profile.join("examples").join(name);
    assert!(program.exists(), "{} is not built: run cargo test -p regen-examples", program.display());
    program
}
