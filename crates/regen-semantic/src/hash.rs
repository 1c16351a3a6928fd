//! SHA-256 of what embeddings are made from, so that a change is noticed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Hash of one file's bytes, in hexadecimal digits.
///
/// # Errors
/// [`Error::Io`].
pub fn hash_file(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    feed(path, &mut hasher)?;
    Ok(digits(hasher))
}

/// Hash of the files of an encoder folder that its vectors depend on: every `.json` and `.safetensors` file of the folder
/// and of its modules' folders, with their names, in the order of names.
///
/// # Errors
/// [`Error::Io`].
pub fn hash_model(dir: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    for file in files(dir, DEEPEST)? {
        let name = file.strip_prefix(dir).unwrap_or(&file).to_string_lossy().into_owned();
        hasher.update(name.as_bytes());
        hasher.update([0]);
        feed(&file, &mut hasher)?;
    }
    Ok(digits(hasher))
}

/// Folders below a model's own that are looked into: modules lie one deep, and a link back must not be followed for ever.
const DEEPEST: u32 = 4;

fn files(dir: &Path, deeper: u32) -> Result<Vec<std::path::PathBuf>> {
    let io = |source| Error::Io { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() {
            if deeper > 0 {
                found.extend(files(&path, deeper - 1)?);
            }
        } else if matches!(extension, Some("json" | "safetensors")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn feed(path: &Path, hasher: &mut Sha256) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(io)? {
            0 => return Ok(()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Hash of texts one after the other, where each begins and ends included: what is embedded, whichever files and templates it
/// came from.
///
/// ```
/// use regen_semantic::TextsHash;
/// let of = |texts: &[&str]| texts.iter().fold(TextsHash::default(), |hash, text| hash.and(text)).finish();
/// assert_eq!(of(&["a pen", "ink"]), of(&["a pen", "ink"]));
/// assert_ne!(of(&["a pen", "ink"]), of(&["a penink", ""]));
/// ```
#[derive(Debug, Clone, Default)]
pub struct TextsHash(Sha256);

impl TextsHash {
    /// With another text.
    #[must_use]
    pub fn and(mut self, text: &str) -> Self {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
        self
    }

    /// In hexadecimal digits.
    pub fn finish(self) -> String {
        digits(self.0)
    }
}

fn digits(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
