//! Tools that must be there before set-up, and the command that installs what is missing.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// Something to run, and how a Debian or Ubuntu user gets it.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    probe: &'static [&'static str],
    purpose: &'static str,
    package: &'static str,
}

/// For building: libtorch's Rust layer is C++, and the LAPACK jumps are assembled.
pub(crate) const COMPILER: &[Tool] = &[Tool {
    name: "c++",
    probe: &["c++", "--version"],
    purpose: "compiles the layer over libtorch",
    package: "g++",
}];

/// For fetching.
pub(crate) const PYTHON: &[Tool] = &[
    Tool { name: "python3", probe: &["python3", "--version"], purpose: "unpacks wheels", package: "python3" },
    Tool {
        name: "pip",
        probe: &["python3", "-m", "pip", "--version"],
        purpose: "downloads wheels",
        package: "python3-pip",
    },
];

impl Tool {
    /// The first line that the tool says of itself, or `None` if it does not run.
    pub(crate) fn version(&self) -> Option<String> {
        let output =
            Command::new(self.probe[0]).args(&self.probe[1..]).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        output.status.success().then(|| text.lines().next().unwrap_or("").trim().to_owned())
    }
}

/// Refuses with one message that names everything missing among `tools` and how to install it.
pub(crate) fn require<'a>(tools: impl IntoIterator<Item = &'a Tool>) -> Result<()> {
    let missing: Vec<_> = tools.into_iter().filter(|tool| tool.version().is_none()).collect();
    match advice(&missing) {
        Some(advice) => bail!("{advice}"),
        None => Ok(()),
    }
}

fn advice(missing: &[&Tool]) -> Option<String> {
    if missing.is_empty() {
        return None;
    }
    let mut text = String::from("a tool is missing:\n");
    for tool in missing {
        text += &format!("  {} ({})\n", tool.name, tool.purpose);
    }
    let packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
    Some(text + &format!("install it with:\n  sudo apt-get install {}", packages.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: Tool = Tool {
        name: "absent",
        probe: &["regen-no-such-tool", "--version"],
        purpose: "tests",
        package: "absent-pkg",
    };
    const FAILING: Tool =
        Tool { name: "failing", probe: &["false"], purpose: "tests", package: "failing-pkg" };
    const PRESENT: Tool = Tool { name: "true", probe: &["true"], purpose: "tests", package: "coreutils" };

    #[test]
    fn every_missing_tool_is_named_with_one_command_that_installs_them() {
        let message = require([&ABSENT, &PRESENT, &FAILING]).unwrap_err().to_string();
        assert!(message.ends_with("sudo apt-get install absent-pkg failing-pkg"), "{message}");
        assert!(message.contains("absent (tests)") && !message.contains("coreutils"), "{message}");
    }

    #[test]
    fn nothing_missing_is_fine() {
        assert!(require([&PRESENT]).is_ok());
    }
}
