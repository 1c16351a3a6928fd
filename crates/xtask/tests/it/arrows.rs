//! Who may know whom. The six domain crates are siblings that never import one another; libtorch stays out of
//! half of the house.

use cargo_metadata::DependencyKind;

use super::{assert_none, cargo, metadata};

/// Crates of this workspace that each crate may depend on; those with `-` may do so in tests only, those with `?`
/// behind a feature only.
const ALLOWED: &[(&str, &[&str])] = &[
    // Itself: its tests turn its features on.
    ("regen-data", &["-regen-data", "?regen-chat"]),
    ("regen-wals", &["-regen-lapack", "?regen-torch"]),
    // Itself: its tests turn its feature `rater` on.
    ("regen-metrics", &["-regen-lapack", "-regen-metrics", "?regen-chat"]),
    ("regen-semantic", &["regen-torch", "regen-kernel"]),
    ("regen-fusion", &["regen-torch"]),
    ("regen-lm", &["regen-torch", "regen-kernel"]),
    ("regen-narrator", &["regen-torch", "regen-fusion", "regen-lm"]),
    ("regen-torch", &[]),
    ("regen-kernel", &[]),
    ("regen-chat", &[]),
    // The rubrics of the rater, and the statistics.
    ("regen-human", &["regen-metrics"]),
    ("regen-lapack", &[]),
    ("xtask", &[]),
];

/// The only packages that may know several domains.
const FREE: &[&str] = &["regen-examples", "regen-benches"];

/// Packages that are built, tested and used without libtorch.
const TORCH_FREE: &[&str] = &[
    "regen-data",
    "regen-wals",
    "regen-metrics",
    "regen-chat",
    "regen-human",
    "regen-kernel",
    "regen-lapack",
    "xtask",
];

/// An arrow between two packages of the workspace.
#[derive(Debug, Clone, Copy)]
struct Arrow<'a> {
    from: &'a str,
    to: &'a str,
    kind: DependencyKind,
    optional: bool,
}

fn violations(arrows: &[Arrow<'_>]) -> Vec<String> {
    let allowed = |arrow: &Arrow<'_>| {
        let Some((_, targets)) = ALLOWED.iter().find(|(from, _)| *from == arrow.from) else {
            return FREE.contains(&arrow.from);
        };
        targets.iter().any(|target| match target.split_at(1) {
            ("-", name) => name == arrow.to && arrow.kind == DependencyKind::Development,
            ("?", name) => name == arrow.to && (arrow.optional || arrow.kind == DependencyKind::Development),
            _ => *target == arrow.to,
        })
    };
    arrows
        .iter()
        .filter(|arrow| !allowed(arrow))
        .map(|arrow| format!("{} → {} ({:?})", arrow.from, arrow.to, arrow.kind))
        .collect()
}

/// Names of packages in the output of `cargo tree` that must not be there.
fn torch_packages(tree: &str) -> Vec<&str> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| ["tch", "torch-sys", "regen-torch"].contains(name)).collect()
}

#[test]
fn no_crate_knows_one_that_it_must_not_know() {
    let metadata = metadata();
    let members: Vec<_> =
        metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    let mut arrows = Vec::new();
    for package in metadata.workspace_packages() {
        for dependency in package.dependencies.iter().filter(|dependency| members.contains(&dependency.name))
        {
            arrows.push(Arrow {
                from: &package.name,
                to: &dependency.name,
                kind: dependency.kind,
                optional: dependency.optional,
            });
        }
    }
    assert!(arrows.len() > 10, "cargo metadata shows no arrows: {arrows:?}");
    assert_none("an arrow that docs/architecture.md does not allow", &violations(&arrows));
}

#[test]
fn every_package_has_its_place_in_the_arrows() {
    for package in metadata().workspace_packages() {
        let name = package.name.as_str();
        let known = FREE.contains(&name) || ALLOWED.iter().any(|(from, _)| *from == name);
        assert!(known, "{name} stands in no table of arrows: decide whom it may know");
    }
}

#[test]
fn torch_free_crates_do_not_link_libtorch() {
    for package in TORCH_FREE {
        let output = cargo(&["tree", "--package", package, "--edges", "normal,build", "--prefix", "none"]);
        let tree = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(tree.starts_with(package), "cargo tree said {tree:?}");
        let found = torch_packages(&tree);
        assert!(found.is_empty(), "{package} links libtorch by default, through {found:?}");
    }
}

#[test]
fn a_sibling_import_is_found() {
    let arrow = |from, to| Arrow { from, to, kind: DependencyKind::Normal, optional: false };
    let found = violations(&[
        arrow("regen-lm", "regen-fusion"),
        arrow("regen-narrator", "regen-fusion"),
        arrow("regen-narrator", "regen-data"),
        arrow("regen-examples", "regen-data"),
        arrow("regen-newcomer", "regen-data"),
    ]);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("regen-lm → regen-fusion"));
}

#[test]
fn an_arrow_for_tests_or_a_feature_may_not_become_a_normal_one() {
    let lapack =
        Arrow { from: "regen-wals", to: "regen-lapack", kind: DependencyKind::Normal, optional: false };
    assert_eq!(violations(&[lapack]).len(), 1);
    assert!(violations(&[Arrow { kind: DependencyKind::Development, ..lapack }]).is_empty());
    let torch = Arrow { to: "regen-torch", ..lapack };
    assert_eq!(violations(&[torch]).len(), 1);
    assert!(violations(&[Arrow { optional: true, ..torch }]).is_empty());
}

#[test]
fn libtorch_is_found_in_a_tree() {
    assert_eq!(torch_packages("regen-x v0.1.0 (/p)\nndarray v0.17.2\ntch v0.24.0\n"), ["tch"]);
    assert!(torch_packages("regen-x v0.1.0\nfetch v1.0.0\n").is_empty());
}
