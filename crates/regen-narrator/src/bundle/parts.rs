//! Whether the parts of a bundle are those that were saved together.
//!
//! Two trainings on the same catalogue leave parts of the same names and shapes, and factors of another fit lie in another basis:
//! put together, they would open, and write nonsense. So the manifest holds a fingerprint of every part.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::base::hex;
use crate::{Error, Result};

/// Bytes of a block.
const BLOCK: u64 = 4096;

/// Blocks of a file that are read at most: tables of ten million items are looked at in some hundredths of a second.
const BLOCKS: u64 = 1024;

/// Fingerprints of files by their place in the bundle, `/` between folders.
pub(super) type Fingerprints = BTreeMap<String, String>;

/// Of every file below `dir` but those at its top that `except` names.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn fingerprints(dir: &Path, except: &[&str]) -> Result<Fingerprints> {
    let mut found = Fingerprints::new();
    collect(dir, "", except, &mut found)?;
    Ok(found)
}

fn collect(dir: &Path, prefix: &str, except: &[&str], found: &mut Fingerprints) -> Result<()> {
    let io = |source| Error::Io { action: "read", path: dir.to_owned(), source };
    for entry in fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), &[], found)?;
        } else if !except.contains(&name.as_str()) {
            found.insert(format!("{prefix}{name}"), fingerprint(&path)?);
        }
    }
    Ok(())
}

/// Refuses a part that is missing or is not the one that was saved. What is not of the bundle may lie beside it.
///
/// # Errors
/// [`Error::ForeignPart`], [`Error::Io`].
pub(super) fn check(dir: &Path, saved: &Fingerprints) -> Result<()> {
    for (part, expected) in saved {
        let path = dir.join(part);
        if fingerprint(&path)? != *expected {
            return Err(Error::ForeignPart { path });
        }
    }
    Ok(())
}

/// SHA-256 in hexadecimal digits of a file's length and of blocks spread evenly over it, first and last included: of all of a
/// file of up to 4 MiB.
fn fingerprint(path: &Path) -> Result<String> {
    let io = |source| Error::Io { action: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut hasher = Sha256::new();
    hasher.update(length.to_le_bytes());
    let all = length.div_ceil(BLOCK);
    let read = all.min(BLOCKS);
    let mut block = Vec::with_capacity(BLOCK as usize);
    for place in 0..read {
        let index = if read == all { place } else { place * (all - 1) / (read - 1) };
        block.clear();
        file.seek(SeekFrom::Start(index * BLOCK)).map_err(io)?;
        (&file).take(BLOCK).read_to_end(&mut block).map_err(io)?;
        hasher.update(&block);
    }
    Ok(hex(hasher))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_the_length_and_of_blocks_from_end_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("part");
        let print = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            fingerprint(&path).unwrap()
        };
        assert_ne!(print(b""), print(b"\0"));
        // Of a small file every byte counts.
        let mut small = vec![0u8; 3 * BLOCK as usize + 5];
        let before = print(&small);
        small[4100] = 1;
        assert_ne!(print(&small), before);
        assert_eq!(print(&small), print(&small));
        // Of a large one the first block and the last, and one in three between.
        let mut large = vec![0u8; (3 * BLOCKS * BLOCK) as usize];
        let before = print(&large);
        for place in [0, large.len() - 1] {
            large[place] = 1;
            assert_ne!(print(&large), before);
            large[place] = 0;
        }
        let seen = (0..300u64).filter(|block| {
            large[(block * BLOCK) as usize] = 1;
            let differs = print(&large) != before;
            large[(block * BLOCK) as usize] = 0;
            differs
        });
        assert!((90..=110).contains(&seen.count()));
    }

    #[test]
    fn parts_in_folders_are_named_and_what_is_not_of_the_bundle_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("lm")).unwrap();
        for name in ["adapter", "lm/config", "manifest"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let saved = fingerprints(dir.path(), &["manifest"]).unwrap();
        assert_eq!(saved.keys().collect::<Vec<_>>(), ["adapter", "lm/config"]);
        fs::write(dir.path().join("notes"), "mine").unwrap();
        check(dir.path(), &saved).unwrap();
        fs::write(dir.path().join("lm/config"), "another").unwrap();
        let error = check(dir.path(), &saved).unwrap_err();
        assert!(matches!(&error, Error::ForeignPart { path } if path.ends_with("lm/config")), "{error}");
    }
}
