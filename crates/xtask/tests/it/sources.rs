//! Source files: a header that says what is there, a size that one sitting can read, nothing of one machine, and
//! in library code no contact with the user's surroundings.

use std::fs;
use std::path::{Path, PathBuf};

use super::{assert_none, root};

const MOST_LINES: usize = 500;

fn rust_files() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for folder in ["crates", "examples", "benches"] {
        walk(&root().join(folder), &|path| path.extension().is_some_and(|end| end == "rs"), &mut files);
    }
    assert!(files.len() > 50, "only {} sources were found", files.len());
    files
}

/// Text files below `folder` that `wanted` names; build outputs and fixtures of foreign formats are not entered.
fn walk(folder: &Path, wanted: &dyn Fn(&Path) -> bool, files: &mut Vec<(PathBuf, String)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if name != "target" && name != "out" && !name.to_string_lossy().starts_with('.') {
                walk(&path, wanted, files);
            }
        } else if wanted(&path)
            && let Ok(text) = fs::read_to_string(&path)
        {
            let path = path.strip_prefix(root()).unwrap_or(&path).to_owned();
            files.push((path, text));
        }
    }
}

/// A file begins with `//!`, or with the crate's README in its place.
fn has_header(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with("//! ") || text.starts_with("#![doc = include_str!(")
}

/// In a `mod.rs` only declarations and re-exports may stand beside comments and attributes.
fn code_in_mod(text: &str) -> Option<&str> {
    let code = |line: &str| {
        ["fn ", "struct ", "enum ", "impl", "trait ", "const ", "static ", "macro_rules!"].iter().any(
            |keyword| {
                let line = line.strip_prefix("pub ").unwrap_or(line);
                let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
                line.starts_with(keyword)
            },
        )
    };
    text.lines().find(|line| code(line))
}

/// Paths that exist on one machine only. Split so that this file does not contain them.
fn machine_path(text: &str) -> Option<&str> {
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tm", "p/"), concat!("/ho", "me/")];
    text.lines().find(|line| {
        places.iter().any(|place| {
            line.match_indices(place).any(|(at, _)| {
                // `a/tmp/b` is a path below something else.
                let before = line[..at].chars().next_back();
                !before.is_some_and(|before| before.is_alphanumeric() || "._-}~)".contains(before))
            })
        })
    })
}

/// Code of a library before its tests, without comments.
fn library_code(text: &str) -> impl Iterator<Item = &str> {
    let end = text.find("\n#[cfg(test)]").unwrap_or(text.len());
    text[..end].lines().map(str::trim).filter(|line| !line.starts_with("//"))
}

/// What a library must leave to its caller: printing, the environment, unfinished work.
fn contact(text: &str) -> Option<&str> {
    let forbidden = ["println!(", "print!(", "dbg!(", "std::env::", "env::var", "todo!(", "unimplemented!("];
    library_code(text).find(|line| forbidden.iter().any(|word| line.contains(word)))
}

/// Functions of tch that take memory and a number, and so panic where they should fail: see `regen_torch::Numbers`.
fn failing_with_number(text: &str) -> Option<&str> {
    let panicking = [
        "f_arange(",
        "f_arange_start(",
        "f_full(",
        "f_add_scalar(",
        "f_sub_scalar(",
        "f_mul_scalar(",
        "f_div_scalar(",
        "f_floor_divide_scalar(",
        "f_masked_fill(",
        "f_clamp_min(",
        "f_clamp_max(",
        "f_clamp(",
        "f_baddbmm(",
        "f_norm_scalaropt_dim(",
    ];
    library_code(text).find(|line| panicking.iter().any(|name| line.contains(name)))
}

/// What `find` finds in the sources of libraries, files of tests left out.
fn in_libraries(find: impl Fn(&str) -> Option<&str>) -> Vec<String> {
    let of_library = |path: &Path| {
        path.starts_with("crates")
            && !path.starts_with("crates/xtask")
            && path.components().any(|part| part.as_os_str() == "src")
            && !path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"))
    };
    rust_files()
        .iter()
        .filter(|(path, _)| of_library(path))
        .filter_map(|(path, text)| Some(format!("{}: {}", path.display(), find(text)?)))
        .collect()
}

#[test]
fn every_source_opens_with_what_is_there() {
    let violations: Vec<_> = rust_files()
        .iter()
        .filter(|(_, text)| !has_header(text))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert_none("no `//!` header", &violations);
}

#[test]
fn no_source_is_longer_than_one_sitting() {
    let shipped =
        |path: &Path| path.components().any(|part| part.as_os_str() == "src") || path.starts_with("examples");
    let violations: Vec<_> = rust_files()
        .iter()
        .filter(|(path, text)| shipped(path) && text.lines().count() > MOST_LINES)
        .map(|(path, text)| format!("{} has {} lines", path.display(), text.lines().count()))
        .collect();
    assert_none("over 500 lines: split it by idea", &violations);
}

#[test]
fn a_mod_rs_only_declares() {
    let violations: Vec<_> = rust_files()
        .iter()
        .filter(|(path, _)| path.ends_with("mod.rs"))
        .filter_map(|(path, text)| Some(format!("{}: {}", path.display(), code_in_mod(text)?)))
        .collect();
    assert_none("code in mod.rs", &violations);
}

#[test]
fn every_file_of_tests_is_compiled() {
    let files = rust_files();
    let in_it = |path: &Path| path.parent().is_some_and(|folder| folder.ends_with("tests/it"));
    for (path, _) in files.iter().filter(|(path, _)| in_it(path) && !path.ends_with("main.rs")) {
        let main = path.with_file_name("main.rs");
        let module = format!("mod {};", path.file_stem().unwrap().to_string_lossy());
        let declares = files.iter().any(|(other, text)| *other == main && text.contains(&module));
        assert!(declares, "{} is no module of {}", path.display(), main.display());
    }
}

#[test]
fn libraries_leave_the_surroundings_to_their_caller() {
    assert_none("a library prints, reads the environment or is unfinished", &in_libraries(contact));
}

#[test]
fn libraries_do_not_call_what_panics_where_memory_runs_out() {
    let violations = in_libraries(failing_with_number);
    assert_none("a fallible function of tch with a number, see regen_torch::Numbers", &violations);
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    let mut files = Vec::new();
    let wanted = |path: &Path| {
        path.extension().is_some_and(|end| ["rs", "md", "toml", "py", "sh"].iter().any(|known| end == *known))
    };
    walk(&root(), &wanted, &mut files);
    let violations: Vec<_> = files
        .iter()
        .filter_map(|(path, text)| Some(format!("{}: {}", path.display(), machine_path(text)?.trim())))
        .collect();
    assert_none("a path of one machine", &violations);
}

#[test]
fn a_missing_header_is_found() {
    assert!(has_header("//! Here is the idea.\nfn f() {}\n"));
    assert!(has_header("#![doc = include_str!(\"../README.md\")]\n"));
    assert!(!has_header("fn f() {}\n"));
    assert!(!has_header("// an ordinary comment\n"));
}

#[test]
fn code_in_a_mod_rs_is_found() {
    assert_eq!(code_in_mod("//! x\nmod a;\npub use a::B;\n"), None);
    assert_eq!(code_in_mod("mod a;\npub(crate) fn f() {}\n"), Some("pub(crate) fn f() {}"));
    assert_eq!(code_in_mod("impl A {}\n"), Some("impl A {}"));
}

#[test]
fn a_machine_path_is_found() {
    assert!(machine_path(&format!("read {}somebody/data", concat!("/ho", "me/"))).is_some());
    assert!(machine_path(&format!("\"{}x\"", concat!("/tm", "p/"))).is_some());
    assert!(machine_path("at https://example.org/home/page").is_none());
}

#[test]
fn a_number_that_would_panic_is_found_outside_tests_and_comments() {
    assert!(failing_with_number("let half = x.f_mul_scalar(0.5)?;").is_some());
    assert!(failing_with_number("// not f_mul_scalar(0.5)\nlet half = x.try_mul(0.5)?;").is_none());
    assert!(failing_with_number("let sum = x.f_add(&y)?;\n#[cfg(test)]\nx.f_arange(3)").is_none());
}

#[test]
fn contact_with_the_surroundings_is_found_outside_tests_and_comments() {
    assert!(contact("fn f() { println!(\"x\"); }").is_some());
    assert!(contact("let home = std::env::var(\"HOME\");").is_some());
    assert!(contact("/// println!(\"in a comment\")\nfn f() {}").is_none());
    assert!(contact("fn f() {}\n#[cfg(test)]\nmod tests { fn g() { todo!() } }").is_none());
}
