//! The chores that are set-up followed by cargo.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::cache::{Cache, Check};
use crate::setup;
use crate::workspace::Workspace;

/// The whole pipeline on the synthetic world, or on `--data`.
pub(crate) fn quickstart(workspace: &Workspace, cache: &Cache, options: &[String]) -> Result<ExitCode> {
    setup::run(workspace, cache, Check::Sizes)?;
    workspace.cargo(&example("quickstart", options))
}

/// The command line that runs a program of `examples/`.
pub(crate) fn example<'a>(name: &'a str, options: &'a [String]) -> Vec<&'a str> {
    let mut line = vec!["run", "--release", "--package", "regen-examples", "--example", name, "--"];
    line.extend(options.iter().map(String::as_str));
    line
}

/// Every test of the workspace, or those that `options` select.
pub(crate) fn test(workspace: &Workspace, cache: &Cache, options: &[String]) -> Result<ExitCode> {
    setup::run(workspace, cache, Check::Sizes)?;
    workspace.cargo(&test_line(options))
}

fn test_line(options: &[String]) -> Vec<&str> {
    let for_cargo = options.iter().take_while(|option| *option != "--");
    let selects = |option: &String| option.starts_with("-p") || option.starts_with("--package");
    let mut line = vec!["test"];
    if !for_cargo.into_iter().any(selects) {
        line.push("--workspace");
    }
    line.extend(options.iter().map(String::as_str));
    line
}

/// All that a change must pass, cheapest first except that set-up comes before everything. One target folder and
/// one profile serve all steps.
pub(crate) fn ci(workspace: &Workspace, cache: &Cache) -> Result<ExitCode> {
    let steps: &[(&str, &[&str])] = &[
        ("format", &["fmt", "--all", "--check"]),
        ("tests", &["test", "--workspace", "--locked", "--no-fail-fast"]),
        ("clippy", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
        ("documentation", &["doc", "--workspace", "--no-deps", "--locked"]),
    ];
    let start = Instant::now();
    let mut summary = Vec::new();
    setup::run(workspace, cache, Check::Contents)?;
    summary.push(format!("set-up {:.0} s", start.elapsed().as_secs_f64()));
    let mut failed = Vec::new();
    for (name, arguments) in steps {
        eprintln!("== {name}: cargo {}", arguments.join(" "));
        let step = Instant::now();
        let mut command = workspace.cargo_command();
        command.args(*arguments);
        if *name == "documentation" {
            command.env("RUSTDOCFLAGS", "-D warnings");
        }
        if !command.status()?.success() {
            failed.push(*name);
        }
        summary.push(format!("{name} {:.0} s", step.elapsed().as_secs_f64()));
    }
    match missing_browser() {
        None => {
            eprintln!("== browser: cargo {}", BROWSER.join(" "));
            if !workspace.cargo_command().args(BROWSER).status()?.success() {
                failed.push("browser");
            }
        }
        Some(program) => {
            eprintln!("== browser: NOT RUN, {program} is not installed (Debian: chromium chromium-driver)");
            summary.push("browser tests not run".to_owned());
        }
    }
    eprintln!("== {}; total {:.0} s", summary.join(", "), start.elapsed().as_secs_f64());
    if !failed.is_empty() {
        bail!("did not pass: {}", failed.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

/// The tests of `regen-human` in a real browser.
const BROWSER: &[&str] =
    &["test", "-p", "regen-human", "--test", "it", "--locked", "browser", "--", "--ignored"];

/// The program that those tests need and this machine lacks.
fn missing_browser() -> Option<&'static str> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let there = |program: &str| std::env::split_paths(&folders).any(|folder| folder.join(program).is_file());
    ["chromium", "chromedriver"].into_iter().find(|program| !there(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &[&str], expected: &[&str]) {
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        assert_eq!(test_line(&options), expected);
    }

    #[test]
    fn without_options_the_whole_workspace_is_tested() {
        check(&[], &["test", "--workspace"]);
    }

    #[test]
    fn a_chosen_package_is_not_widened_to_the_workspace() {
        check(&["-p", "regen-data"], &["test", "-p", "regen-data"]);
        check(&["--package=xtask", "--doc"], &["test", "--package=xtask", "--doc"]);
    }

    #[test]
    fn options_of_the_test_program_choose_no_package() {
        check(&["--", "-p"], &["test", "--workspace", "--", "-p"]);
    }
}
