//! The cache that all clones of one account share, and how a component gets into it.
//!
//! A component is unpacked beside its place and renamed into it with its manifest complete, so what stands there is
//! whole or damaged later, never half made. An interrupted run leaves verified wheels, which the next one uses.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub(crate) use crate::files::Check;
use crate::files::{self, Finding};
use crate::pins::{Component, Wheel};

/// The shared folder.
#[derive(Debug)]
pub(crate) struct Cache {
    pub(crate) root: PathBuf,
}

/// How wheels are got and unpacked; tests bring their own.
pub(crate) struct Fetcher<'a> {
    pub(crate) download: &'a dyn Fn(&Wheel, &Path) -> Result<()>,
    pub(crate) extract: &'a dyn Fn(&Wheel, &Path, &Path) -> Result<()>,
}

impl Cache {
    /// `chosen`, or `$XDG_CACHE_HOME/regen`, or `~/.cache/regen`. Nothing is created yet.
    pub(crate) fn locate(chosen: Option<PathBuf>) -> Result<Self> {
        let set = |variable| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = match chosen {
            Some(root) => std::path::absolute(&root).with_context(|| root.display().to_string())?,
            // The XDG specification: a relative path is invalid and to be ignored.
            None => match set("XDG_CACHE_HOME").filter(|path| path.is_absolute()) {
                Some(caches) => caches.join("regen"),
                None => set("HOME")
                    .context("neither HOME nor XDG_CACHE_HOME is set: name a --cache-dir")?
                    .join(".cache/regen"),
            },
        };
        Ok(Self { root })
    }

    /// Where `component` lies once it is installed.
    pub(crate) fn folder(&self, component: &Component) -> PathBuf {
        self.root.join(component.folder)
    }

    /// Where wheels lie until they are unpacked.
    pub(crate) fn wheels(&self) -> PathBuf {
        self.root.join("wheels")
    }

    /// How the installed `component` stands.
    pub(crate) fn check(&self, component: &Component, check: Check) -> Finding {
        files::check_manifest(&self.folder(component), &component.fingerprint(), check)
    }

    /// Keeps other set-ups on this cache waiting until the returned file is dropped; the system lets go of it
    /// even when the process is killed.
    pub(crate) fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.root).with_context(|| self.root.display().to_string())?;
        let path = self.root.join("lock");
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("another set-up is using {}; waiting for it", self.root.display());
                file.lock().with_context(|| path.display().to_string())?;
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| path.display().to_string()),
        }
        Ok(file)
    }

    /// Puts `component` into its place, replacing whatever is there. Call it under [`Self::lock`].
    pub(crate) fn install(&self, component: &Component, fetcher: &Fetcher<'_>) -> Result<()> {
        let wheels = self.wheels();
        fs::create_dir_all(&wheels).with_context(|| wheels.display().to_string())?;
        for wheel in component.wheels {
            obtain(wheel, &wheels, fetcher)?;
        }

        let partial = self.root.join(format!("{}.partial", component.folder));
        files::remove(&partial)?;
        fs::create_dir_all(&partial).with_context(|| partial.display().to_string())?;
        for wheel in component.wheels {
            eprintln!("  unpacking {}", wheel.file);
            (fetcher.extract)(wheel, &wheels.join(wheel.file), &partial)?;
        }
        for (path, content) in component.written {
            files::write_whole(&partial.join(path), content.as_bytes())?;
        }
        files::write_manifest(&partial, &component.fingerprint())?;

        let place = self.folder(component);
        let replaced = self.root.join(format!("{}.replaced", component.folder));
        files::remove(&replaced)?;
        if fs::symlink_metadata(&place).is_ok() {
            fs::rename(&place, &replaced).with_context(|| place.display().to_string())?;
        }
        fs::rename(&partial, &place).with_context(|| place.display().to_string())?;
        files::remove(&replaced)?;
        for wheel in component.wheels {
            files::remove(&wheels.join(wheel.file))?;
        }
        Ok(())
    }
}

/// Makes sure that the right `wheel` lies in `folder`; a wrong file is fetched once more.
fn obtain(wheel: &Wheel, folder: &Path, fetcher: &Fetcher<'_>) -> Result<()> {
    let path = folder.join(wheel.file);
    let mut fetched = 0;
    loop {
        if path.exists() {
            let found = files::sha256(&path)?;
            if found == wheel.sha256 {
                return Ok(());
            }
            files::remove(&path)?;
            if fetched == 2 {
                bail!("{} has SHA-256 {found} twice, expected {}", wheel.file, wheel.sha256);
            }
            eprintln!("  {} is corrupt (SHA-256 {found}): fetching it again", wheel.file);
        } else if fetched > 0 {
            bail!("the index has no {} for {} {}", wheel.file, wheel.project, wheel.version);
        }
        eprintln!("  fetching {} {}", wheel.project, wheel.version);
        (fetcher.download)(wheel, folder)?;
        fetched += 1;
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
