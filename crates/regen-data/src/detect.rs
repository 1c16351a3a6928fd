//! Which of the formats that are read here a folder holds.

use std::path::Path;

use crate::xrec::Vertical;
use crate::{Error, Result, minionerec, prepared, recbole, sequences};

/// A format, with what is needed to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceFormat {
    /// The XRec release with these verticals: [`xrec::read`](crate::xrec::read).
    Xrec(Vec<Vertical>),
    /// Purchase sequences of this name: [`sequences::read`](crate::sequences::read).
    Sequences(String),
    /// MiniOneRec's rows of histories: [`minionerec::read`](crate::minionerec::read).
    MiniOneRec,
    /// RecBole's atomic files of this name: [`recbole::mapping`](crate::recbole::mapping).
    Recbole(String),
    /// A prepared folder: [`prepared::read`](crate::prepared::read).
    Prepared,
}

/// Looks at the names of the files in `folder`.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be listed; [`Error::UnknownFormat`] with everything that was looked for.
pub fn detect(folder: impl AsRef<Path>) -> Result<SourceFormat> {
    let folder = folder.as_ref();
    let sequences = sequences::name(folder)?;
    if folder.join(prepared::MANIFEST).is_file() {
        return Ok(SourceFormat::Prepared);
    }
    let verticals: Vec<Vertical> = Vertical::ALL
        .into_iter()
        .filter(|vertical| vertical.files().iter().all(|file| folder.join(file).is_file()))
        .collect();
    if !verticals.is_empty() {
        return Ok(SourceFormat::Xrec(verticals));
    }
    if let Some(name) = sequences {
        return Ok(SourceFormat::Sequences(name));
    }
    if minionerec::is_in(folder) {
        return Ok(SourceFormat::MiniOneRec);
    }
    if let Some(name) = recbole::name(folder)? {
        return Ok(SourceFormat::Recbole(name));
    }
    let mut looked_for: Vec<String> =
        Vertical::ALL.iter().map(|vertical| format!("xrec: {}", vertical.files().join(" with "))).collect();
    looked_for.push(sequences::looked_for());
    looked_for.push(minionerec::looked_for());
    looked_for.push(recbole::looked_for());
    looked_for.push(format!("prepared folder: {}", prepared::MANIFEST));
    Err(Error::UnknownFormat { folder: folder.to_owned(), looked_for })
}
