//! The programs: what is announced exists, and what exists is announced.

use std::fs;

use super::{assert_none, metadata, root};

/// Names that stand in back quotes in the first column of a table.
fn named_in_table(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

/// Names announced but absent, and present but not announced.
fn mismatches(announced: &[&str], present: &[String]) -> Vec<String> {
    let absent = announced
        .iter()
        .filter(|name| !present.iter().any(|found| found == *name))
        .map(|name| format!("{name} is announced and does not exist"));
    let silent = present
        .iter()
        .filter(|name| !announced.contains(&name.as_str()))
        .map(|name| format!("{name} exists and is not announced"));
    absent.chain(silent).collect()
}

#[test]
fn the_page_of_programs_names_exactly_the_programs() {
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let examples =
        packages.iter().find(|package| package.name == "regen-examples").expect("examples/ is a package");
    let present: Vec<_> = examples
        .targets
        .iter()
        .filter(|target| target.is_example())
        .map(|target| target.name.clone())
        .collect();
    assert!(present.contains(&"quickstart".to_owned()));
    let page = fs::read_to_string(root().join("examples/README.md")).expect("examples/README.md is readable");
    assert_none("examples/README.md and examples/Cargo.toml", &mismatches(&named_in_table(&page), &present));
}

#[test]
fn every_program_file_is_registered() {
    let manifest = fs::read_to_string(root().join("examples/Cargo.toml")).expect("the manifest is readable");
    for entry in fs::read_dir(root().join("examples")).expect("examples/ is readable").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".rs") && name != "build.rs" {
            assert!(manifest.contains(&format!("path = \"{name}\"")), "{name} has no [[example]] entry");
        }
    }
}

#[test]
fn a_program_that_does_not_exist_is_found() {
    let page = "| program | takes |\n| --- | --- |\n| `quickstart` | nothing |\n| `fly` | wings |\n";
    assert_eq!(named_in_table(page), ["quickstart", "fly"]);
    let found = mismatches(&named_in_table(page), &["quickstart".into(), "walk".into()]);
    assert_eq!(found, ["fly is announced and does not exist", "walk exists and is not announced"]);
}
