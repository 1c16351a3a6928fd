//! A narrator on disk: one folder that opens without anything else, or with a language model that it names.
//!
//! ```text
//! README.md              a card for people
//! narrator.json          format, configuration, number of items, where it was trained, how it writes, fingerprints of all other parts
//! adapter.safetensors    the adapter, where items are read
//! copying.safetensors    what copies from a passage, where that is done
//! next_item.safetensors  what tells the next item, where that is done
//! lm/                    the language model, its generation_config.json if it had one, and tokenizer, as a Hugging Face folder, unless the
//!                        manifest names one elsewhere
//! lora/                  its low-rank updates, as a PEFT folder, where there are any
//! items.safetensors      cf, cf_present, semantic, semantic_present, where items are read
//! fold_in.safetensors    gram, scale, shift, where users can be folded in; the manifest holds the objective
//! item_ids.txt           outside names of the rows, one a line
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use regen_lm::TextTokenizer;
use regen_lm::generate::GenerationDefaults;
use regen_torch::{Checkpoint, Surplus, save_tensors};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::parts::{Fingerprints, Reading};
use super::provenance::{Provenance, Versions};
use super::{card, parts};
use crate::narrator::LmWeights;
use crate::{
    BaseModel, Error, FoldIn, FoldInConfig, ItemIds, ItemTables, Narrator, NarratorConfig, Result,
    ReviewEncoder, TablePlace, WritingDefaults,
};

/// The layout that this version writes. It reads formats 2 to 5 as well: 5 wrote greedily whatever the language model's folder says, and
/// did not keep that; 4 had fingerprints of blocks of all parts; 3 had none and did not say where it was trained; 2 had no fold-in,
/// named no base and had no optional inputs either.
pub const BUNDLE_FORMAT: u32 = 6;

/// The first layout that may leave it to the folder how it writes.
const FIRST_WITH_FOLDER: u32 = 6;

/// The first layout with fingerprints of whole parts.
const FIRST_WITH_WHOLE: u32 = 5;

/// The first layout with fingerprints.
const FIRST_WITH_PARTS: u32 = 4;

/// The oldest layout that is read.
const OLDEST_FORMAT: u32 = 2;

const CARD: &str = "README.md";
const MANIFEST: &str = "narrator.json";
const ADAPTER: &str = "adapter.safetensors";
const COPYING: &str = "copying.safetensors";
const NEXT_ITEM: &str = "next_item.safetensors";
const LM: &str = "lm";
const LORA: &str = "lora";
const ITEMS: &str = "items.safetensors";
const FOLD_IN: &str = "fold_in.safetensors";
const ITEM_IDS: &str = "item_ids.txt";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    config: NarratorConfig,
    items: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fold_in: Option<FoldInConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<BaseModel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provenance: Option<Provenance>,
    /// Optional: bundles of before it was recorded are of this format too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    review_encoder: Option<ReviewEncoder>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    versions: Option<Versions>,
    #[serde(default, skip_serializing_if = "WritingDefaults::is_silent")]
    writing: WritingDefaults,
    #[serde(default, skip_serializing_if = "Fingerprints::is_empty")]
    parts: Fingerprints,
}

/// Read first, so that a bundle of another format is named as such instead of failing on an unknown field.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Narrator {
    /// Writes the bundle. The folder is made under a temporary name and renamed when complete.
    ///
    /// # Errors
    /// [`Error::Io`], also if `dir` exists and is not empty; those of saving the parts.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.save_parts(dir, None)
    }

    /// Writes a bundle of a narrator with low-rank updates that does not hold the language model beneath them, but names it by
    /// `name` (a path, or the id of a repository) and the hashes of its files. Where `name` is no folder when the bundle is opened,
    /// [`Narrator::open_on`] is told the place.
    ///
    /// # Errors
    /// [`Error::NoBase`] if the language model was not taken from a folder, or does not stay as it is there; those of
    /// [`Narrator::save`].
    pub fn save_on_base(&self, dir: &Path, name: &str) -> Result<()> {
        let folder = self.base.as_deref().filter(|_| self.config.lora.is_some()).ok_or(Error::NoBase)?;
        self.save_parts(dir, Some(BaseModel::of(folder, name)?))
    }

    fn save_parts(&self, dir: &Path, base: Option<BaseModel>) -> Result<()> {
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { action, path, source }
        };
        let mut temporary = dir.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = Path::new(&temporary);
        if temporary.exists() {
            fs::remove_dir_all(temporary).map_err(io("replace", temporary))?;
        }
        fs::create_dir_all(temporary).map_err(io("create", temporary))?;

        let sorted = |vs: &tch::nn::VarStore| {
            let mut tensors: Vec<(String, Tensor)> = vs.variables().into_iter().collect();
            tensors.sort_by(|a, b| a.0.cmp(&b.0));
            tensors
        };
        if self.adapter.is_some() {
            save_tensors(&temporary.join(ADAPTER), &sorted(&self.adapter_vs), &[])?;
            self.tables.save(&temporary.join(ITEMS))?;
        }
        if self.copying.is_some() {
            save_tensors(&temporary.join(COPYING), &sorted(&self.copy_vs), &[])?;
        }
        if self.next_item.is_some() {
            save_tensors(&temporary.join(NEXT_ITEM), &sorted(&self.next_vs), &[])?;
        }
        if base.is_none() {
            self.decoder.save_base(&temporary.join(LM))?;
            self.tokenizer.save(&temporary.join(LM))?;
            if let Some(folder) = &self.folder {
                let path = temporary.join(LM).join(GenerationDefaults::FILE);
                fs::write(&path, &folder.text).map_err(io("write", &path))?;
            }
        }
        if let Some(fold_in) = self.tables.fold_in() {
            fold_in.save(&temporary.join(FOLD_IN))?;
        }
        if let Some(lora) = &self.config.lora {
            let to = temporary.join(LORA);
            match &base {
                Some(base) => self.decoder.save_lora_on(&to, lora, &base.name)?,
                None => self.decoder.save_lora(&to, lora)?,
            }
        }
        self.item_ids.save(&temporary.join(ITEM_IDS))?;
        let manifest = Manifest {
            format: BUNDLE_FORMAT,
            config: self.config.clone(),
            items: self.item_ids.len(),
            fold_in: self.tables.fold_in().map(|fold_in| fold_in.config().clone()),
            base,
            provenance: self.provenance.clone(),
            review_encoder: self.review_encoder.clone(),
            versions: Some(Versions::here()),
            writing: self.writing.clone(),
            parts: parts::fingerprints(temporary, &[CARD, MANIFEST])?,
        };
        let card = temporary.join(CARD);
        fs::write(&card, card::card(self, manifest.base.as_ref())).map_err(io("write", &card))?;
        write_json(&temporary.join(MANIFEST), &manifest)?;

        // A non-empty target makes the rename fail, so nothing that stands there is lost.
        fs::rename(temporary, dir).map_err(io("rename the finished bundle to", dir))
    }

    /// Opens a bundle that [`Narrator::save`] wrote, in `f32` on `device`.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Manifest`] for a missing or damaged file, [`Error::BundleFormat`] for another
    /// version's layout, [`Error::ForeignPart`] if a part is not the one that was saved, [`Error::Mismatch`] if one does not fit
    /// the others, and those of loading the parts.
    pub fn open(dir: &Path, device: Device) -> Result<Self> {
        Self::open_with(dir, None, device, TablePlace::Memory)
    }

    /// Opens a bundle as [`Narrator::open`] does, its item tables left in their file: opening takes no longer for
    /// a catalogue of ten million items, and what is not asked about is not read. Such tables cannot be trained.
    ///
    /// # Errors
    /// As [`Narrator::open`]. A value that is not finite is found when its row is read.
    pub fn open_stored(dir: &Path, device: Device) -> Result<Self> {
        Self::open_with(dir, None, device, TablePlace::Disk)
    }

    /// Opens a bundle that names its language model ([`Narrator::save_on_base`]) with the Hugging Face folder `lm`.
    ///
    /// # Errors
    /// As [`Narrator::open`]; [`Error::OtherBase`] if the folder does not hold what the bundle names, [`Error::HoldsBase`] if it
    /// names nothing.
    pub fn open_on(dir: &Path, lm: &Path, device: Device, place: TablePlace) -> Result<Self> {
        Self::open_with(dir, Some(lm), device, place)
    }

    fn open_with(dir: &Path, given: Option<&Path>, device: Device, place: TablePlace) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let Format { format } = read_json(&path)?;
        if !(OLDEST_FORMAT..=BUNDLE_FORMAT).contains(&format) {
            return Err(Error::BundleFormat { path, expected: BUNDLE_FORMAT, got: format });
        }
        let manifest = read_manifest(&path, format)?;
        let reading = if format < FIRST_WITH_WHOLE { Reading::Blocks } else { Reading::Whole };
        parts::check(dir, &manifest.parts, reading)?;
        if format >= FIRST_WITH_PARTS {
            let own = [ADAPTER, COPYING, NEXT_ITEM, ITEMS, FOLD_IN, ITEM_IDS];
            parts::check_listed(dir, &own, &[LM, LORA], &manifest.parts)?;
        }
        let item_ids = ItemIds::load(&dir.join(ITEM_IDS))?;
        if item_ids.len() != manifest.items {
            return Err(Error::Mismatch {
                part: "item_ids.txt",
                got: format!("{} lines", item_ids.len()),
                other: "the manifest",
                expected: format!("{} items", manifest.items),
            });
        }
        let mut tables = match manifest.config.adapter {
            Some(_) => ItemTables::open(&dir.join(ITEMS), place)?,
            None => ItemTables::none(),
        };
        if let Some(config) = manifest.fold_in {
            let rank = tables.cf().map_or(0, crate::ItemTable::dim);
            tables = tables.with_fold_in(FoldIn::load(&dir.join(FOLD_IN), config, rank)?)?;
        }
        let (lm, named) = lm_folder(dir, manifest.base.as_ref(), given)?;
        let lora = dir.join(LORA);
        let tokenizer = TextTokenizer::load(&lm)?;
        let saved_with = match &manifest.base {
            Some(base) => base.files.contains_key(GenerationDefaults::FILE),
            None => manifest.parts.contains_key(&format!("{LM}/{}", GenerationDefaults::FILE)),
        };
        // Other initial values are drawn and then overwritten, tensor by tensor; strict loading proves that all are.
        let weights = LmWeights::Adapted(&lm, &lora);
        let mut narrator = Self::assemble(manifest.config, tables, item_ids, tokenizer, weights, device, 0)?;
        narrator.base = named.then_some(lm);
        // One that came into the folder later would change what is written unseen.
        narrator.folder = narrator.folder.filter(|_| saved_with);
        narrator.provenance = manifest.provenance;
        if let Some(encoder) = manifest.review_encoder {
            narrator.set_review_encoder(encoder)?;
        }
        narrator.writing = manifest.writing;
        if narrator.adapter.is_some() {
            let adapter = Checkpoint::open(&dir.join(ADAPTER))?;
            adapter.load_into(&narrator.adapter_vs, str::to_owned, Surplus::Refuse)?;
        }
        if narrator.copying.is_some() {
            let copying = Checkpoint::open(&dir.join(COPYING))?;
            copying.load_into(&narrator.copy_vs, str::to_owned, Surplus::Refuse)?;
        }
        if narrator.next_item.is_some() {
            let next = Checkpoint::open(&dir.join(NEXT_ITEM))?;
            next.load_into(&narrator.next_vs, str::to_owned, Surplus::Refuse)?;
        }
        Ok(narrator)
    }
}

/// Takes the parts of a bundle as they are now for those that belong together: after one was replaced on purpose, such as item
/// tables by a file of [`ItemTableWriter`](crate::ItemTableWriter).
///
/// # Errors
/// [`Error::Io`], [`Error::Manifest`], and [`Error::BundleFormat`] for a layout that has no fingerprints.
pub fn reseal(dir: &Path) -> Result<()> {
    let path = dir.join(MANIFEST);
    let Format { format } = read_json(&path)?;
    if !(FIRST_WITH_PARTS..=BUNDLE_FORMAT).contains(&format) {
        return Err(Error::BundleFormat { path, expected: BUNDLE_FORMAT, got: format });
    }
    let mut manifest = read_manifest(&path, format)?;
    manifest.format = BUNDLE_FORMAT;
    // What lies beside the bundle's own files stays out of it.
    let mut now = parts::fingerprints(dir, &[CARD, MANIFEST])?;
    now.retain(|part, _| manifest.parts.contains_key(part));
    manifest.parts = now;
    let temporary = dir.join(format!("{MANIFEST}.tmp"));
    write_json(&temporary, &manifest)?;
    fs::rename(&temporary, &path).map_err(|source| Error::Io { action: "replace", path, source })
}

/// A manifest of any format that is read, with what older ones meant without saying it.
fn read_manifest(path: &Path, format: u32) -> Result<Manifest> {
    let mut manifest: Manifest = read_json(path)?;
    if format < FIRST_WITH_FOLDER {
        manifest.writing = manifest.writing.or(WritingDefaults::greedy());
    }
    Ok(manifest)
}

/// The folder of a bundle's language model, and whether it is outside the bundle. One that is has been checked.
fn lm_folder(dir: &Path, base: Option<&BaseModel>, given: Option<&Path>) -> Result<(PathBuf, bool)> {
    let Some(base) = base else {
        return match given {
            Some(_) => Err(Error::HoldsBase { bundle: dir.to_owned() }),
            None => Ok((dir.join(LM), false)),
        };
    };
    let folder = given.unwrap_or(Path::new(&base.name));
    if !folder.is_dir() {
        return Err(Error::BaseNotFound { bundle: dir.to_owned(), name: base.name.clone() });
    }
    base.check(folder)?;
    Ok((folder.to_owned(), true))
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|source| Error::Manifest { path: path.to_owned(), source })?;
    fs::write(path, text).map_err(|source| Error::Io { action: "write", path: path.to_owned(), source })
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(|source| Error::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|source| Error::Manifest { path: path.to_owned(), source })
}
