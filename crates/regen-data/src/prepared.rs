//! The prepared folder: a data set at rest, in plain formats that any language reads, with checksums.
//!
//! Version 1 of the format:
//!
//! | file | what it holds |
//! | --- | --- |
//! | `dataset.json` | `format` = `regen-data`, `version`, `name`, `chronology`, counts, SHA-256 of the other files; written last, so a folder without it is unfinished |
//! | `users.txt` | one user name a line; line k (from 0) is the user with index k |
//! | `items.jsonl` | one item a line, in the order of the indices: `item`, and what is known of `title, brand, category, description, price` |
//! | `interactions.csv` | header `user,item,value,timestamp`; names, weight, seconds (empty if unknown), in the order of the source |
//! | `narratives.jsonl` | `user`, `item` (null for user summaries), `kind`, `text` |
//! | `card.html`, `card.json` | the [data card](crate::DataCard), if one was made; not read back |
//!
//! A reader refuses a version that it does not know. New optional fields do not raise the version.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::lines::{self, Lines};
use crate::records::Place;
use crate::table::{Columns, InteractionTable};
use crate::{
    Chronology, DataCard, Dataset, Error, IdMap, Interaction, ItemMetadata, Narrative, NarrativeKind, Result,
};

/// The version of the format that this release writes, and the only one that it reads.
pub const VERSION: u32 = 1;

const FORMAT: &str = "regen-data";
const USERS: &str = "users.txt";
const ITEMS: &str = "items.jsonl";
const INTERACTIONS: &str = "interactions.csv";
const NARRATIVES: &str = "narratives.jsonl";
/// The file whose presence makes a folder a prepared one.
pub(crate) const MANIFEST: &str = "dataset.json";

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: String,
    version: u32,
    name: String,
    chronology: Chronology,
    users: usize,
    items: usize,
    interactions: usize,
    narratives: usize,
    sha256: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct ItemLine {
    item: String,
    #[serde(flatten)]
    metadata: ItemMetadataLine,
}

/// As [`ItemMetadata`], but open for fields of later releases.
#[derive(Default, Serialize, Deserialize)]
struct ItemMetadataLine {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    brand: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    category: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price: Option<f64>,
}

#[derive(Serialize, Deserialize)]
struct NarrativeLine {
    user: String,
    item: Option<String>,
    kind: NarrativeKind,
    text: String,
}

/// Writes `dataset` (and its card, if given) into `folder`, which is made if it does not exist. Each file is written
/// under a temporary name first; an older data set in the folder is replaced.
///
/// # Errors
/// [`Error::Io`] if a file cannot be written; [`Error::InvalidField`] for a user's name with a line break in it.
pub fn write(folder: impl AsRef<Path>, dataset: &Dataset, card: Option<&DataCard>) -> Result<()> {
    let folder = folder.as_ref();
    fs::create_dir_all(folder).map_err(io("create", folder))?;
    let manifest = folder.join(MANIFEST);
    if manifest.exists() {
        fs::remove_file(&manifest).map_err(io("replace", &manifest))?;
    }
    let mut sha256 = Vec::new();
    let mut file = |name: &str, fill: &mut dyn FnMut(&mut dyn Write) -> std::io::Result<()>| -> Result<()> {
        sha256.push((name.to_owned(), replace(&folder.join(name), fill)?));
        Ok(())
    };

    if let Some((user, name)) = dataset.users.iter().find(|(_, name)| name.contains(['\n', '\r'])) {
        return Err(Error::InvalidField {
            path: folder.join(USERS),
            line: user.index() as u64 + 1,
            field: "user".into(),
            expected: "a name without line breaks",
            got: name.chars().take(40).collect(),
        });
    }
    file(USERS, &mut |out| dataset.users.names().try_for_each(|name| writeln!(out, "{name}")))?;
    file(ITEMS, &mut |out| {
        for (item, name) in dataset.items.iter() {
            let metadata = dataset.catalogue[item.index()].clone().unwrap_or_default();
            let ItemMetadata { title, brand, category, description, price } = metadata;
            let metadata = ItemMetadataLine { title, brand, category, description, price };
            json_line(out, &ItemLine { item: name.to_owned(), metadata })?;
        }
        Ok(())
    })?;
    file(INTERACTIONS, &mut |out| interactions_table(out, dataset, &dataset.interactions))?;
    file(NARRATIVES, &mut |out| {
        for narrative in &dataset.narratives {
            let line = NarrativeLine {
                user: dataset.users.name(narrative.user).to_owned(),
                item: narrative.item.map(|item| dataset.items.name(item).to_owned()),
                kind: narrative.kind,
                text: narrative.text.clone(),
            };
            json_line(out, &line)?;
        }
        Ok(())
    })?;
    if let Some(card) = card {
        replace(&folder.join("card.json"), &mut |out| {
            serde_json::to_writer_pretty(&mut *out, card)?;
            writeln!(out)
        })?;
        replace(&folder.join("card.html"), &mut |out| out.write_all(card.to_html().as_bytes()))?;
    }
    let content = Manifest {
        format: FORMAT.into(),
        version: VERSION,
        name: dataset.name.clone(),
        chronology: dataset.chronology,
        users: dataset.users.len(),
        items: dataset.items.len(),
        interactions: dataset.interactions.len(),
        narratives: dataset.narratives.len(),
        sha256,
    };
    replace(&manifest, &mut |out| {
        serde_json::to_writer_pretty(&mut *out, &content)?;
        writeln!(out)
    })?;
    Ok(())
}

/// Writes some of a data set's interactions in the format of `interactions.csv`: those of the training part, say, for a
/// factorisation that must not see the others.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn write_interactions(
    path: impl AsRef<Path>,
    dataset: &Dataset,
    interactions: &[Interaction],
) -> Result<()> {
    replace(path.as_ref(), &mut |out| interactions_table(out, dataset, interactions)).map(|_| ())
}

fn interactions_table(
    out: &mut dyn Write,
    dataset: &Dataset,
    interactions: &[Interaction],
) -> std::io::Result<()> {
    let mut table = csv::Writer::from_writer(out);
    table.write_record(["user", "item", "value", "timestamp"])?;
    for one in interactions {
        table.write_record([
            dataset.users.name(one.user),
            dataset.items.name(one.item),
            &one.weight.to_string(),
            &one.time.map(|time| time.to_string()).unwrap_or_default(),
        ])?;
    }
    table.flush()
}

/// Reads a prepared folder: what [`write()`] was given comes back equal.
///
/// # Errors
/// [`Error::Io`] for a file that is missing; [`Error::UnsupportedVersion`] for another format or version;
/// [`Error::Checksum`] for a file that was changed or cut; the errors of reading its lines.
pub fn read(folder: impl AsRef<Path>) -> Result<Dataset> {
    let folder = folder.as_ref();
    let path = folder.join(MANIFEST);
    let value: serde_json::Value = lines::json_document(&path)?;
    let found = (value["format"].as_str().unwrap_or_default(), value["version"].as_u64().unwrap_or_default());
    if found != (FORMAT, u64::from(VERSION)) {
        return Err(Error::UnsupportedVersion {
            path,
            expected: format!("{FORMAT} {VERSION}"),
            got: format!("{} {}", found.0, found.1),
        });
    }
    let manifest: Manifest = lines::json_document(&path)?;
    for (name, expected) in &manifest.sha256 {
        let path = folder.join(name);
        let got = sha256_of(&path)?;
        if got != *expected {
            return Err(Error::Checksum { path, expected: expected.clone(), got });
        }
    }

    let mut data = Dataset { name: manifest.name, chronology: manifest.chronology, ..Default::default() };
    let mut users = Lines::open(folder.join(USERS))?;
    let path = users.path().to_owned();
    loop {
        let number = users.number() + 1;
        let Some(line) = users.next_line()? else { break };
        data.users.intern(lines::utf8(line, &path, number)?)?;
    }
    each_json(&folder.join(ITEMS), |line: ItemLine, _| {
        data.items.intern(&line.item)?;
        let ItemMetadataLine { title, brand, category, description, price } = line.metadata;
        let metadata = ItemMetadata { title, brand, category, description, price };
        data.catalogue.push((metadata != ItemMetadata::default()).then_some(metadata));
        Ok(())
    })?;
    let path = folder.join(INTERACTIONS);
    for (at, row) in InteractionTable::open(&path, &Columns::default())?.enumerate() {
        let row = row?;
        let place = Place { path: &path, line: at as u64 + 2 };
        data.interactions.push(Interaction {
            user: known(&data.users, &row.user, "user in users.txt", place)?,
            item: known(&data.items, &row.item, "item in items.jsonl", place)?,
            weight: row.value.ok_or_else(|| place.missing("value"))?,
            time: row.time,
        });
    }
    let mut narratives = Vec::new();
    each_json(&folder.join(NARRATIVES), |line: NarrativeLine, place| {
        let item = line.item.as_deref().map(|item| known(&data.items, item, "item in items.jsonl", place));
        narratives.push(Narrative {
            user: known(&data.users, &line.user, "user in users.txt", place)?,
            item: item.transpose()?,
            kind: line.kind,
            text: line.text,
        });
        Ok(())
    })?;
    data.narratives = narratives;
    Ok(data)
}

fn known<Id: crate::DenseId>(map: &IdMap<Id>, name: &str, what: &str, place: Place<'_>) -> Result<Id> {
    map.get(name).ok_or_else(|| place.missing(what))
}

fn each_json<T: serde::de::DeserializeOwned>(
    path: &Path,
    mut each: impl FnMut(T, Place<'_>) -> Result<()>,
) -> Result<()> {
    let mut lines = Lines::open(path)?;
    loop {
        let place = Place { path, line: lines.number() + 1 };
        let Some(line) = lines.next_line()? else { return Ok(()) };
        each(lines::json(line, path, place.line)?, place)?;
    }
}

fn json_line<T: Serialize>(out: &mut dyn Write, value: &T) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}

/// Writes a file under a temporary name and then gives it its own; gives the SHA-256 of what was written.
pub(crate) fn replace(
    path: &Path,
    fill: &mut dyn FnMut(&mut dyn Write) -> std::io::Result<()>,
) -> Result<String> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let written = (|| {
        let mut out = Hashing { out: BufWriter::new(File::create(&temporary)?), hasher: Sha256::new() };
        fill(&mut out)?;
        out.flush()?;
        fs::rename(&temporary, path)?;
        Ok(hex(out.hasher))
    })();
    written.map_err(|source| {
        // The cause is what matters; a temporary file that cannot be removed either changes nothing.
        let _ = fs::remove_file(&temporary);
        Error::Io { action: "write", path: path.to_owned(), source }
    })
}

struct Hashing<W> {
    out: W,
    hasher: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(io("open", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(io("read", path))? {
            0 => return Ok(hex(hasher)),
            read => hasher.update(&buffer[..read]),
        }
    }
}

fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
