//! Every package says what it is, from the workspace's shared data, and says why it needs what it needs.

use std::fs;

use cargo_metadata::Package;

use super::{assert_none, metadata, root};

/// The design card and the house itself need no comment; anything else that a package uses does.
const DESIGN_CARD: &[&str] =
    &["ndarray", "ndarray-linalg", "tch", "tokenizers", "serde", "thiserror", "rand", "approx", "criterion"];

fn missing_metadata(package: &Package) -> Vec<String> {
    let absent = |field: &str, is_absent: bool| is_absent.then(|| format!("{} has no {field}", package.name));
    let publishable = package.publish.as_ref().is_none_or(|registries| !registries.is_empty());
    [
        absent("description", package.description.as_deref().unwrap_or("").is_empty()),
        absent("keywords", package.keywords.is_empty()),
        absent("categories", package.categories.is_empty()),
        absent("license", package.license.as_deref() != Some("Apache-2.0")),
        absent("readme", package.readme().is_none_or(|path| !path.exists())),
        absent("rust-version", package.rust_version.is_none()),
        absent("repository", package.repository.is_none()),
        // A package is published without the folders above it.
        absent("LICENSE", publishable && !package.manifest_path.with_file_name("LICENSE").exists()),
        absent("way to be documented without libtorch", publishable && !documented_anywhere(package)),
        // The package index takes five keywords of twenty characters.
        absent(
            "acceptable keywords",
            publishable
                && (package.keywords.len() > 5 || package.keywords.iter().any(|word| word.len() > 20)),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether docs.rs, which has no libtorch, can build a package's documentation.
fn documented_anywhere(package: &Package) -> bool {
    let features = &package.metadata["docs"]["rs"]["features"];
    let without_libtorch = features.as_array().is_some_and(|all| all.contains(&"tch/doc-only".into()));
    without_libtorch || !package.dependencies.iter().any(|needed| needed.name == "tch")
}

/// Dependencies in a manifest's `[dependencies]` table that have no comment above them.
fn unexplained(manifest: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut table = "";
    let mut explained = false;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            table = line;
        } else if line.starts_with('#') {
            explained = true;
            continue;
        } else if table == "[dependencies]" && !line.is_empty() {
            let name = line.split(['.', ' ', '=']).next().unwrap_or(line);
            if !explained && !name.starts_with("regen-") && !DESIGN_CARD.contains(&name) {
                found.push(name.to_owned());
            }
        }
        explained = false;
    }
    found
}

#[test]
fn every_manifest_is_complete() {
    let metadata = metadata();
    let violations: Vec<_> = metadata.workspace_packages().into_iter().flat_map(missing_metadata).collect();
    assert_none("metadata that a reader or the package index needs", &violations);
}

#[test]
fn every_dependency_beyond_the_design_card_says_why() {
    let mut violations = Vec::new();
    for package in metadata().workspace_packages() {
        let manifest = fs::read_to_string(&package.manifest_path).expect("a manifest is readable");
        violations.extend(unexplained(&manifest).into_iter().map(|name| format!("{}: {name}", package.name)));
    }
    assert_none("a dependency without a comment above it", &violations);
}

#[test]
fn every_package_shares_the_lints_of_the_workspace() {
    for package in metadata().workspace_packages() {
        let manifest = fs::read_to_string(&package.manifest_path).expect("a manifest is readable");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", package.name);
    }
}

#[test]
fn the_house_has_its_documents() {
    for name in [
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/gpu.md",
        ".ci/run",
    ] {
        let path = root().join(name);
        assert!(fs::metadata(&path).is_ok_and(|found| found.len() > 200), "{name} is missing or empty");
    }
}

#[test]
fn an_unexplained_dependency_is_found() {
    let manifest = "[dependencies]\nserde.workspace = true\n# because\ncsv.workspace = true\nhalf = \"2\"\n\n\
                    [dev-dependencies]\ntempfile.workspace = true\n";
    assert_eq!(unexplained(manifest), ["half"]);
}

#[test]
fn an_incomplete_manifest_is_found() {
    let metadata = metadata();
    let of_libtorch = metadata.workspace_packages().into_iter().find(|package| package.name == "regen-lm");
    let mut package = of_libtorch.expect("regen-lm is a member").clone();
    assert!(missing_metadata(&package).is_empty());
    package.description = None;
    package.keywords = vec!["a keyword that is far too long".into()];
    package.license = Some("MIT".into());
    package.publish = None;
    package.metadata = Default::default();
    package.manifest_path = package.manifest_path.with_file_name("src/Cargo.toml");
    let found = missing_metadata(&package);
    assert_eq!(found.len(), 6, "{found:?}");
}
