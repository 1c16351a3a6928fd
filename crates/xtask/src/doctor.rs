//! What is on this machine: first what needs no libtorch, then the program `doctor`, which looks from inside a
//! process that links it.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cache::{Cache, Check};
use crate::chores;
use crate::files::Finding;
use crate::pins::COMPONENTS;
use crate::tools;
use crate::workspace::Workspace;

/// Prints what was found; ends in failure when something needed is missing or damaged.
pub(crate) fn run(workspace: &Workspace, cache: &Cache, options: &[String]) -> Result<ExitCode> {
    if options.iter().any(|option| option == "--help" || option == "-h") {
        return workspace.cargo(&chores::example("doctor", options));
    }
    let mut healthy = true;
    let mut line = |what: &str, found: Result<String, String>| match found {
        Ok(text) => println!("  ok      {what:<10} {text}"),
        Err(text) => {
            healthy = false;
            println!("  PROBLEM {what:<10} {text}");
        }
    };

    println!("tools");
    for tool in tools::COMPILER.iter().chain(tools::PYTHON) {
        line(tool.name, tool.version().ok_or_else(|| tools::require([tool]).unwrap_err().to_string()));
    }
    println!("cache {}", cache.root.display());
    for component in COMPONENTS {
        if let Some((variable, value)) = workspace.brought_by_user(component) {
            line(component.link, Ok(format!("yours: {variable}={value}")));
            continue;
        }
        line(component.link, component_health(workspace, cache, component));
    }
    line("disk", free_space(&cache.root));

    if !healthy {
        eprintln!(
            "not everything is in place: see the lines above; `cargo xtask setup` mends the cache and links"
        );
        return Ok(ExitCode::FAILURE);
    }
    workspace.cargo(&chores::example("doctor", options))
}

fn component_health(
    workspace: &Workspace,
    cache: &Cache,
    component: &crate::pins::Component,
) -> Result<String, String> {
    match cache.check(component, Check::Contents) {
        Finding::Sound => {}
        Finding::NoManifest => return Err("not set up: run `cargo xtask setup`".into()),
        Finding::OtherFingerprint => return Err("of another version: run `cargo xtask setup`".into()),
        Finding::Damaged(what) => return Err(format!("{what}: run `cargo xtask setup --verify`")),
    }
    let link = workspace.links().join(component.link);
    if fs::read_link(&link).ok() != Some(cache.folder(component)) {
        return Err(format!("{} does not lead to the cache: run `cargo xtask setup`", link.display()));
    }
    Ok(format!("{}, every file's SHA-256 is right", component.title))
}

/// Free space where the cache lies, or will lie, as `df` says.
fn free_space(folder: &Path) -> Result<String, String> {
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let output = Command::new("df").arg("-Pk").arg(there).output().map_err(|error| format!("df: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    free_kib(&text)
        .map(|kib| format!("{:.1} GiB free", kib as f64 / 1_048_576.0))
        .ok_or(format!("df said {text:?}"))
}

/// The fourth column of the second line of POSIX `df -Pk`.
fn free_kib(text: &str) -> Option<u64> {
    text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_the_available_column() {
        let text =
            "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/a 300 100 2097152 34% /\n";
        assert_eq!(free_kib(text), Some(2_097_152));
        assert_eq!(free_kib("nonsense"), None);
        assert!(free_space(Path::new("/no/such/folder")).is_ok());
    }
}
