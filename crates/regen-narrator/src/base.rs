//! A language model that a bundle names instead of holding: where it was, and the hashes that say whether it is the same.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// A Hugging Face folder by name and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseModel {
    /// Where it is found: a path, or the id of a repository.
    pub name: String,
    /// SHA-256 in hexadecimal digits of each file that a narrator reads, or may read, of it.
    pub files: BTreeMap<String, String>,
}

impl BaseModel {
    /// What `folder` holds, under a name that others will look for it by. Reads every file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn of(folder: &Path, name: &str) -> Result<Self> {
        let io = |source| Error::Io { action: "read", path: folder.to_owned(), source };
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            let counts = matches!(extension, Some("json" | "safetensors" | "model" | "txt" | "jinja"));
            if let (true, Some(file)) = (counts && path.is_file(), path.file_name()) {
                files.insert(file.to_string_lossy().into_owned(), hash(&path)?);
            }
        }
        Ok(Self { name: name.to_owned(), files })
    }

    /// Whether `folder` holds the same files; it may hold more, but no other weights.
    ///
    /// # Errors
    /// [`Error::OtherBase`] with the first file that differs; [`Error::Io`].
    pub fn check(&self, folder: &Path) -> Result<()> {
        let there = Self::of(folder, &self.name)?;
        let refuse = |file: &str, reason| {
            let (name, file) = (self.name.clone(), file.to_owned());
            Err(Error::OtherBase { path: folder.to_owned(), name, file, reason })
        };
        for (file, expected) in &self.files {
            match there.files.get(file) {
                None => return refuse(file, "is missing"),
                Some(got) if got != expected => return refuse(file, "has another content"),
                Some(_) => {}
            }
        }
        let surplus =
            there.files.keys().find(|file| file.ends_with(".safetensors") && !self.files.contains_key(*file));
        surplus.map_or(Ok(()), |file| refuse(file, "was not among its files"))
    }
}

/// What was hashed, in hexadecimal digits.
pub(crate) fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(path: &Path) -> Result<String> {
    let io = |source| Error::Io { action: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0u8; 1 << 20]);
    loop {
        match file.read(&mut buffer).map_err(io)? {
            0 => return Ok(hex(hasher)),
            read => hasher.update(&buffer[..read]),
        }
    }
}
