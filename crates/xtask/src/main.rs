#![doc = include_str!("../README.md")]

mod cache;
mod chores;
mod doctor;
mod fetch;
mod files;
mod pins;
mod setup;
mod tools;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// The chores of the regen workspace. After `setup`, plain cargo commands work as well.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
    #[command(flatten)]
    place: Place,
}

/// Where fetched files are kept.
#[derive(Debug, Args)]
struct Place {
    /// The folder that all clones share for libtorch, OpenBLAS and the sentence encoder
    /// [default: $XDG_CACHE_HOME/regen, or ~/.cache/regen].
    #[arg(long, global = true, env = "REGEN_CACHE", value_name = "DIR")]
    cache_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Fetch what is missing (about 0.6 GB the first time on this account) and link it into this clone.
    Setup {
        /// Read every cached file and compare its SHA-256, instead of its size alone.
        #[arg(long)]
        verify: bool,
    },
    /// Say what was found on this machine and whether each part works.
    #[command(disable_help_flag = true)]
    Doctor {
        /// Options of the program `doctor`, such as --device cuda or --json.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
        options: Vec<String>,
    },
    /// Set up, then run the whole pipeline from purchases to narratives.
    #[command(disable_help_flag = true)]
    Quickstart {
        /// Options of the program `quickstart`; try --help.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
        options: Vec<String>,
    },
    /// Set up, then run every test, doc tests and house rules included.
    #[command(disable_help_flag = true)]
    Test {
        /// Options of `cargo test`, such as -p regen-data or -- --nocapture.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
        options: Vec<String>,
    },
    /// Set up, then do all that a change must pass: format, tests, clippy, documentation.
    Ci,
    /// Remove from the cache what this version does not use: leftovers and older versions.
    Clean {
        /// Remove everything that set-up fetched, and this clone's links to it.
        #[arg(long)]
        all: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let workspace = workspace::Workspace::find()?;
    let cache = cache::Cache::locate(arguments.place.cache_dir)?;
    match arguments.chore {
        Chore::Setup { verify } => {
            let check = if verify { cache::Check::Contents } else { cache::Check::Sizes };
            setup::run(&workspace, &cache, check)?;
            eprintln!("everything is in place");
            Ok(ExitCode::SUCCESS)
        }
        Chore::Doctor { options } => doctor::run(&workspace, &cache, &options),
        Chore::Quickstart { options } => chores::quickstart(&workspace, &cache, &options),
        Chore::Test { options } => chores::test(&workspace, &cache, &options),
        Chore::Ci => chores::ci(&workspace, &cache),
        Chore::Clean { all } => {
            setup::clean(&workspace, &cache, all)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_of_a_program_reach_it_untouched() {
        let arguments =
            Arguments::parse_from(["xtask", "quickstart", "--data", "DIR", "--help", "-q", "--cache-dir"]);
        let Chore::Quickstart { options } = arguments.chore else { panic!("not quickstart") };
        assert_eq!(options, ["--data", "DIR", "--help", "-q", "--cache-dir"]);
    }
}
