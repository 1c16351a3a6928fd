//! Brings each component into the cache and links it into the clone; does nothing where all is in place.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::cache::{Cache, Check, Fetcher};
use crate::fetch;
use crate::files::{self, Finding};
use crate::pins::{COMPONENTS, Component};
use crate::tools;
use crate::workspace::Workspace;

/// After this, plain cargo commands work in the clone.
pub(crate) fn run(workspace: &Workspace, cache: &Cache, check: Check) -> Result<()> {
    tools::require(tools::COMPILER)?;
    let mut wanted = Vec::new();
    for component in COMPONENTS {
        match workspace.brought_by_user(component) {
            Some((variable, value)) => {
                if variable == component.variables[0] && !Path::new(&value).is_dir() {
                    bail!(
                        "{variable}={value} is not a folder: correct it, or unset it to have {} fetched",
                        component.title
                    );
                }
                eprintln!("{}: not fetched, {variable}={value} is used", component.title);
            }
            None => wanted.push(component),
        }
    }
    // The cheap look needs no lock: a component is put into its place in one step.
    let ready = |component: &Component| cache.check(component, check) == Finding::Sound;
    if !wanted.iter().all(|component| ready(component)) {
        let _lock = cache.lock()?;
        for component in &wanted {
            bring(component, cache, check)?;
        }
    }

    let links = workspace.links();
    fs::create_dir_all(&links).with_context(|| links.display().to_string())?;
    for component in &wanted {
        files::replace_link(&cache.folder(component), &links.join(component.link))?;
    }
    Ok(())
}

fn bring(component: &Component, cache: &Cache, check: Check) -> Result<()> {
    // Looked at again under the lock: another clone may have brought it meanwhile.
    match cache.check(component, check) {
        Finding::Sound => return Ok(()),
        Finding::NoManifest => eprintln!("{}: setting up in {}", component.title, cache.root.display()),
        Finding::OtherFingerprint => {
            eprintln!("{}: made by another version of set-up, making it anew", component.title)
        }
        Finding::Damaged(what) => eprintln!("{}: damaged ({what}), making it anew", component.title),
    }
    if component.native && !PINNED_PLATFORM {
        bail!("{}", other_platform(component));
    }
    tools::require(tools::PYTHON)?;
    let start = Instant::now();
    cache.install(component, &Fetcher { download: &fetch::download, extract: &fetch::extract })?;
    eprintln!("{}: ready after {:.0} s", component.title, start.elapsed().as_secs_f64());
    Ok(())
}

/// Whether the pinned machine code runs here.
const PINNED_PLATFORM: bool = cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"));

fn other_platform(component: &Component) -> String {
    let advice = match component.link {
        "libtorch" => {
            "get libtorch 2.11 (for instance `pip install torch==2.11.0`) and set LIBTORCH to its torch folder, \
             or LIBTORCH_USE_PYTORCH=1"
        }
        _ => {
            "install the Python wheel scipy-openblas32 and set REGEN_OPENBLAS to its folder, the one with \
             lib/libscipy_openblas.*"
        }
    };
    format!(
        "{} is pinned for Linux on x86-64 with glibc only, this is {} on {}: {advice}",
        component.title,
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

/// Removes leftovers and other versions from the cache; with `all`, everything that set-up made.
pub(crate) fn clean(workspace: &Workspace, cache: &Cache, all: bool) -> Result<()> {
    if cache.root.is_dir() {
        let _lock = cache.lock()?;
        for entry in fs::read_dir(&cache.root).with_context(|| cache.root.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let current = COMPONENTS.iter().any(|component| component.folder == name);
            let leftover = name == "wheels" || name.ends_with(".partial") || name.ends_with(".replaced");
            // Only what carries a manifest was made by set-up; anything else in there is not ours to remove.
            let other_version = !current && path.join(files::MANIFEST).exists();
            if leftover || other_version || (all && current) {
                eprintln!("removing {}", path.display());
                files::remove(&path)?;
            }
        }
    }
    if all {
        for component in COMPONENTS {
            let link = workspace.links().join(component.link);
            if fs::symlink_metadata(&link).is_ok_and(|found| found.is_symlink()) {
                files::remove(&link)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_platform_is_told_which_variable_helps() {
        for component in COMPONENTS.iter().filter(|component| component.native) {
            let message = other_platform(component);
            assert!(message.contains(component.variables[0]), "{message}");
        }
    }

    #[test]
    fn cleaning_keeps_the_current_components_and_what_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace { root: folder.path().join("clone") };
        let cache = Cache { root: folder.path().join("regen") };
        for name in ["libtorch-2.11.0", "libtorch-1.0", "notes", "wheels", "openblas-0.3.34.partial"] {
            fs::create_dir_all(cache.root.join(name)).unwrap();
        }
        for name in ["libtorch-2.11.0", "libtorch-1.0"] {
            files::write_manifest(&cache.root.join(name), "pins").unwrap();
        }
        let left = || {
            let mut names: Vec<_> = fs::read_dir(&cache.root)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        clean(&workspace, &cache, false).unwrap();
        assert_eq!(left(), ["libtorch-2.11.0", "lock", "notes"]);
        clean(&workspace, &cache, true).unwrap();
        assert_eq!(left(), ["lock", "notes"]);
    }
}
