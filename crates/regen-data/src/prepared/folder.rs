//! A data set to a folder and back.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

#[cfg(feature = "parquet")]
use super::columnar;
use super::files::{io, replace};
use super::manifest::{MANIFEST, Manifest, PARQUET_FILES, Sums, TableFormat};
use super::text;
use crate::{DataCard, Dataset, Error, Result};

/// As [`write_as`] with [`TableFormat::Text`].
///
/// # Errors
/// Those of [`write_as`].
pub fn write(folder: impl AsRef<Path>, dataset: &Dataset, card: Option<&DataCard>) -> Result<()> {
    write_as(folder, dataset, card, TableFormat::Text)
}

/// Writes `dataset` (and its card, if given) into `folder`, which is made if it does not exist. Each file is written
/// under a temporary name first; an older data set in the folder is replaced.
///
/// # Errors
/// [`Error::Io`] if a file cannot be written; [`Error::InvalidField`] for a user's name with a line break in it (text
/// only) and [`Error::NeedsFeature`] for Parquet in a build without it, both before anything is changed.
pub fn write_as(
    folder: impl AsRef<Path>,
    dataset: &Dataset,
    card: Option<&DataCard>,
    format: TableFormat,
) -> Result<()> {
    let folder = folder.as_ref();
    // What is refused is refused before the older data set goes.
    match format {
        TableFormat::Text => text::check(folder, dataset)?,
        TableFormat::Parquet if cfg!(feature = "parquet") => {}
        TableFormat::Parquet => return Err(needs_parquet(folder)),
    }
    fs::create_dir_all(folder).map_err(io("create", folder))?;
    for older in [MANIFEST].iter().chain(&text::FILES).chain(&PARQUET_FILES) {
        let path = folder.join(older);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io("replace", &path)(error)),
            _ => {}
        }
    }
    let mut sums = Sums::default();
    match format {
        TableFormat::Text => text::write(folder, dataset, &mut sums)?,
        TableFormat::Parquet => write_parquet(folder, dataset, &mut sums)?,
    }
    if let Some(card) = card {
        replace(&folder.join("card.json"), &mut |out| {
            serde_json::to_writer_pretty(&mut *out, card)?;
            writeln!(out)
        })?;
        replace(&folder.join("card.html"), &mut |out| out.write_all(card.to_html().as_bytes()))?;
    }
    let manifest = Manifest::new(dataset, format, sums);
    replace(&folder.join(MANIFEST), &mut |out| {
        serde_json::to_writer_pretty(&mut *out, &manifest)?;
        writeln!(out)
    })?;
    Ok(())
}

/// Reads a prepared folder, whichever way its tables are written: what [`write()`] was given comes back equal.
///
/// # Errors
/// [`Error::Io`] for a file that is missing; [`Error::NotPrepared`] for a folder without a manifest;
/// [`Error::UnsupportedVersion`] for another format or version;
/// [`Error::Checksum`] for a file that was changed or cut; the errors of reading its lines, or [`Error::Parquet`];
/// [`Error::NeedsFeature`] for Parquet in a build without it.
pub fn read(folder: impl AsRef<Path>) -> Result<Dataset> {
    let folder = folder.as_ref();
    let (manifest, format) = verified(folder)?;
    let mut data = Dataset { name: manifest.name, chronology: manifest.chronology, ..Default::default() };
    match format {
        TableFormat::Text => text::read(folder, &mut data)?,
        TableFormat::Parquet => read_parquet(folder, &mut data)?,
    }
    Ok(data)
}

/// Checks that a prepared folder is finished and that its tables are those that were written, without holding them; says in which form
/// they are. Of text, [`ITEMS`](super::ITEMS) can then be read line by line.
///
/// # Errors
/// [`Error::Io`], [`Error::NotPrepared`], [`Error::UnsupportedVersion`], [`Error::Checksum`], as of [`read()`].
pub fn verify(folder: impl AsRef<Path>) -> Result<TableFormat> {
    Ok(verified(folder.as_ref())?.1)
}

fn verified(folder: &Path) -> Result<(Manifest, TableFormat)> {
    let (manifest, format) = Manifest::load(folder)?;
    manifest.verify(folder)?;
    Ok((manifest, format))
}

#[cfg(feature = "parquet")]
use columnar::{read as read_parquet, write as write_parquet};

#[cfg(not(feature = "parquet"))]
fn write_parquet(folder: &Path, _: &Dataset, _: &mut Sums) -> Result<()> {
    Err(needs_parquet(folder))
}

#[cfg(not(feature = "parquet"))]
fn read_parquet(folder: &Path, _: &mut Dataset) -> Result<()> {
    Err(needs_parquet(folder))
}

fn needs_parquet(folder: &Path) -> Error {
    Error::NeedsFeature { path: folder.to_owned(), what: "a prepared folder in Parquet", feature: "parquet" }
}
