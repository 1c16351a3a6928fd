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

/// The part that may be larger than memory.
const TABLES: &str = "items.safetensors";

/// Bytes of a block.
const BLOCK: u64 = 4096;

/// Blocks of a file that are read at most: tables of ten million items are looked at in some hundredths of a second.
const BLOCKS: u64 = 1024;

/// Fingerprints of files by their place in the bundle, `/` between folders.
pub(super) type Fingerprints = BTreeMap<String, String>;

/// How much of a part its fingerprint is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Everything, but of item tables, which may be larger than memory, blocks.
    Whole,
    /// Blocks of everything, as up to format 4.
    Blocks,
}

/// Of every file below `dir` but those at its top that `except` names, as of the newest format.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn fingerprints(dir: &Path, except: &[&str]) -> Result<Fingerprints> {
    let mut found = Fingerprints::new();
    collect(dir, "", except, &mut |name, path| {
        found.insert(name.clone(), fingerprint(path, Reading::Whole.of(&name))?);
        Ok(())
    })?;
    Ok(found)
}

impl Reading {
    /// Blocks that are read at most of a part.
    fn of(self, part: &str) -> u64 {
        if self == Self::Whole && part != TABLES { u64::MAX } else { BLOCKS }
    }
}

type Each<'a> = &'a mut dyn FnMut(String, &Path) -> Result<()>;

fn collect(dir: &Path, prefix: &str, except: &[&str], each: Each<'_>) -> Result<()> {
    let io = |source| Error::Io { action: "read", path: dir.to_owned(), source };
    for entry in fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), &[], each)?;
        } else if !except.contains(&name.as_str()) {
            each(format!("{prefix}{name}"), &path)?;
        }
    }
    Ok(())
}

/// Refuses a file that would be read and that no fingerprint stands for: one of `own` at the top, or tensors in a folder of the bundle's
/// models. It was taken out of the manifest, or put into the folder.
///
/// # Errors
/// [`Error::ForeignPart`], [`Error::Io`].
pub(super) fn check_listed(dir: &Path, own: &[&str], models: &[&str], saved: &Fingerprints) -> Result<()> {
    collect(dir, "", &[], &mut |name, path| {
        let of_model = |model: &&str| name.strip_prefix(*model).is_some_and(|rest| rest.starts_with('/'));
        let read =
            own.contains(&name.as_str()) || (models.iter().any(of_model) && name.ends_with(".safetensors"));
        match read && !saved.contains_key(&name) {
            true => Err(Error::ForeignPart { path: path.to_owned() }),
            false => Ok(()),
        }
    })
}

/// Refuses a part that is missing or is not the one that was saved. What is not of the bundle may lie beside it.
///
/// # Errors
/// [`Error::ForeignPart`], [`Error::Io`].
pub(super) fn check(dir: &Path, saved: &Fingerprints, reading: Reading) -> Result<()> {
    for (part, expected) in saved {
        let path = dir.join(part);
        if fingerprint(&path, reading.of(part))? != *expected {
            return Err(Error::ForeignPart { path });
        }
    }
    Ok(())
}

/// SHA-256 in hexadecimal digits of a file's length and of at most so many blocks spread evenly over it, first and last included.
fn fingerprint(path: &Path, blocks: u64) -> Result<String> {
    let io = |source| Error::Io { action: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut hasher = Sha256::new();
    hasher.update(length.to_le_bytes());
    let all = length.div_ceil(BLOCK);
    let read = all.min(blocks);
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
            fingerprint(&path, BLOCKS).unwrap()
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
        check(dir.path(), &saved, Reading::Whole).unwrap();
        fs::write(dir.path().join("lm/config"), "another").unwrap();
        let error = check(dir.path(), &saved, Reading::Whole).unwrap_err();
        assert!(matches!(&error, Error::ForeignPart { path } if path.ends_with("lm/config")), "{error}");
    }
}
