//! Writing files so that nobody ever reads half of one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes to a temporary name in the same folder, then renames.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().map_or_else(OsString::new, |name| name.to_owned());
    name.push(".tmp");
    let temporary: PathBuf = path.with_file_name(name);
    std::fs::write(&temporary, bytes).map_err(Error::io("write", &temporary))?;
    std::fs::rename(&temporary, path).map_err(Error::io("replace", path))
}
