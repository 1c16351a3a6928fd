//! Hashes, and a folder's manifest: the size and SHA-256 of every file in it.
//!
//! Sizes are cheap enough to compare at each start and catch truncation; hashes catch the rest when asked for.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// The manifest's name in the folder that it describes.
pub(crate) const MANIFEST: &str = ".regen-manifest";
const HEADER: &str = "regen manifest 1";

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of a file, in hexadecimal.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hasher.finalize())),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
}

/// Writes the manifest of everything now in `folder`, last and in one step: its presence means completeness.
pub(crate) fn write_manifest(folder: &Path, fingerprint: &str) -> Result<()> {
    let mut paths = Vec::new();
    list(folder, Path::new(""), &mut paths)?;
    paths.sort();
    let mut text = format!("{HEADER} {fingerprint}\n");
    for path in &paths {
        let full = folder.join(path);
        let name = path.to_str().with_context(|| format!("{} is not UTF-8", full.display()))?;
        text += &format!("{} {} {name}\n", sha256(&full)?, fs::metadata(&full)?.len());
    }
    text += &format!("files {}\n", paths.len());
    write_whole(&folder.join(MANIFEST), text.as_bytes())
}

/// What a manifest says of its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Compare sizes.
    Sizes,
    /// Compare sizes and SHA-256.
    Contents,
}

/// How a folder stands to its manifest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// There is no manifest: never completed, or not made by set-up.
    NoManifest,
    /// The manifest belongs to another choice of files.
    OtherFingerprint,
    /// The first thing found wrong.
    Damaged(String),
    /// As written.
    Sound,
}

/// Compares `folder` with its manifest.
pub(crate) fn check_manifest(folder: &Path, fingerprint: &str, check: Check) -> Finding {
    let text = match fs::read_to_string(folder.join(MANIFEST)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Finding::NoManifest,
        Err(error) => return Finding::Damaged(format!("{MANIFEST}: {error}")),
    };
    let mut lines = text.lines();
    if lines.next() != Some(format!("{HEADER} {fingerprint}").as_str()) {
        return Finding::OtherFingerprint;
    }
    for (files, line) in lines.enumerate() {
        if let Some(count) = line.strip_prefix("files ") {
            return if count == files.to_string() && text.ends_with('\n') {
                Finding::Sound
            } else {
                Finding::Damaged(format!("{MANIFEST} lists {files} files, announces {count}"))
            };
        }
        if let Err(error) = check_line(folder, line, check) {
            return Finding::Damaged(format!("{error:#}"));
        }
    }
    Finding::Damaged(format!("{MANIFEST} is cut short"))
}

fn check_line(folder: &Path, line: &str, check: Check) -> Result<()> {
    let mut fields = line.splitn(3, ' ');
    let (Some(hash), Some(size), Some(name)) = (fields.next(), fields.next(), fields.next()) else {
        bail!("{MANIFEST} has the unreadable line {line:?}");
    };
    let path = folder.join(name);
    let found = fs::metadata(&path).with_context(|| name.to_owned())?.len();
    if size != found.to_string() {
        bail!("{name} has {found} bytes, expected {size}");
    }
    if check == Check::Contents {
        let found = sha256(&path)?;
        if found != hash {
            bail!("{name} has SHA-256 {found}, expected {hash}");
        }
    }
    Ok(())
}

fn list(root: &Path, below: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let folder = root.join(below);
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list(root, &path, paths)?;
        } else if path != Path::new(MANIFEST) {
            paths.push(path);
        }
    }
    Ok(())
}

/// Writes a file under a temporary name and renames it.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| path.display().to_string())
}

/// Makes `link` lead to `target`, replacing an older link but never a real file or folder.
pub(crate) fn replace_link(target: &Path, link: &Path) -> Result<()> {
    match fs::symlink_metadata(link) {
        Ok(found) if !found.is_symlink() => {
            bail!("{} is not a link that set-up made: move it away", link.display());
        }
        Ok(_) if fs::read_link(link)? == target => return Ok(()),
        _ => {}
    }
    let temporary = link.with_extension("tmp");
    remove(&temporary)?;
    symlink(target, &temporary).with_context(|| link.display().to_string())?;
    fs::rename(&temporary, link).with_context(|| link.display().to_string())
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}

/// Removes a file, link or folder; its absence is fine.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("lib")).unwrap();
        fs::write(folder.path().join("lib/a.so"), b"machine code").unwrap();
        fs::write(folder.path().join("with space"), b"").unwrap();
        write_manifest(folder.path(), "pins").unwrap();
        folder
    }

    #[test]
    fn an_untouched_folder_is_sound() {
        let folder = folder();
        assert_eq!(check_manifest(folder.path(), "pins", Check::Contents), Finding::Sound);
    }

    #[test]
    fn other_pins_make_it_outdated_and_no_manifest_incomplete() {
        let folder = folder();
        assert_eq!(check_manifest(folder.path(), "new pins", Check::Sizes), Finding::OtherFingerprint);
        fs::remove_file(folder.path().join(MANIFEST)).unwrap();
        assert_eq!(check_manifest(folder.path(), "pins", Check::Sizes), Finding::NoManifest);
    }

    #[test]
    fn a_truncated_or_missing_file_is_found_by_its_size() {
        let folder = folder();
        fs::write(folder.path().join("lib/a.so"), b"machine").unwrap();
        let Finding::Damaged(what) = check_manifest(folder.path(), "pins", Check::Sizes) else { panic!() };
        assert_eq!(what, "lib/a.so has 7 bytes, expected 12");
        fs::remove_file(folder.path().join("lib/a.so")).unwrap();
        assert!(matches!(check_manifest(folder.path(), "pins", Check::Sizes), Finding::Damaged(_)));
    }

    #[test]
    fn a_changed_byte_is_found_by_its_hash_alone() {
        let folder = folder();
        fs::write(folder.path().join("lib/a.so"), b"machine c0de").unwrap();
        assert_eq!(check_manifest(folder.path(), "pins", Check::Sizes), Finding::Sound);
        let Finding::Damaged(what) = check_manifest(folder.path(), "pins", Check::Contents) else { panic!() };
        assert!(what.starts_with("lib/a.so has SHA-256 "), "{what}");
    }

    #[test]
    fn a_manifest_that_is_cut_short_is_damage() {
        let folder = folder();
        let path = folder.path().join(MANIFEST);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.find("files").unwrap()]).unwrap();
        assert!(matches!(check_manifest(folder.path(), "pins", Check::Sizes), Finding::Damaged(_)));
    }

    #[test]
    fn the_hash_is_sha256() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("abc"), b"abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&folder.path().join("abc")).unwrap(), expected);
    }

    #[test]
    fn a_link_is_replaced_but_a_folder_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        replace_link(Path::new("first"), &link).unwrap();
        replace_link(Path::new("second"), &link).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("second"));
        fs::remove_file(&link).unwrap();
        fs::create_dir(&link).unwrap();
        assert!(replace_link(Path::new("third"), &link).is_err());
    }
}
