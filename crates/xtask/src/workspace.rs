//! The clone that is worked in: its root, and cargo run there.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::pins::Component;

/// A clone of the repository.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
}

impl Workspace {
    /// The clone that `cargo xtask` was called in: cargo says where this package lies.
    pub(crate) fn find() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .context("cargo did not say where xtask lies: run it as `cargo xtask …`")?;
        let root = Path::new(&package).ancestors().nth(2).context("xtask does not lie in crates/")?;
        Ok(Self { root: root.to_owned() })
    }

    /// The folder of links into the cache.
    pub(crate) fn links(&self) -> PathBuf {
        self.root.join(".regen")
    }

    /// The variable by which the user brings their own `component`, and its value.
    ///
    /// Cargo sets the first variable for what it runs, xtask included, where the user did not: that value is not
    /// a choice.
    pub(crate) fn brought_by_user(&self, component: &Component) -> Option<(&'static str, String)> {
        let configured = self.root.join(component.configured);
        component.variables.iter().find_map(|variable| {
            let value = env::var_os(variable)?;
            (Path::new(&value) != configured).then(|| (*variable, value.to_string_lossy().into_owned()))
        })
    }

    /// Runs cargo in the root with inherited streams and returns its exit status as ours.
    pub(crate) fn cargo<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<ExitCode> {
        let status = self
            .cargo_command()
            .args(arguments)
            .status()
            .context("cannot run cargo: install Rust, see https://rustup.rs")?;
        Ok(match status.code() {
            Some(0) => ExitCode::SUCCESS,
            Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
            // Ended by a signal, for instance Ctrl-C.
            None => ExitCode::FAILURE,
        })
    }

    /// A cargo command in the root.
    pub(crate) fn cargo_command(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        command
    }
}
