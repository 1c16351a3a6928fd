//! A narrator on disk: one folder that opens without anything else.
//!
//! ```text
//! narrator.json          format, configuration, number of items
//! adapter.safetensors    the adapter, where items are read
//! copying.safetensors    what copies from a passage, where that is done
//! next_item.safetensors  what tells the next item, where that is done
//! lm/                    the language model and tokenizer, as a Hugging Face folder
//! lora/                  its low-rank updates, as a PEFT folder, where there are any
//! items.safetensors      cf, cf_present, semantic, semantic_present, where items are read
//! item_ids.txt           outside names of the rows, one a line
//! ```

use std::fs;
use std::path::Path;

use regen_lm::TextTokenizer;
use regen_torch::{Checkpoint, Surplus, save_tensors};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use crate::narrator::LmWeights;
use crate::{Error, ItemIds, ItemTables, Narrator, NarratorConfig, Result, TablePlace};

/// The layout that this version writes and reads.
pub const BUNDLE_FORMAT: u32 = 2;

const MANIFEST: &str = "narrator.json";
const ADAPTER: &str = "adapter.safetensors";
const COPYING: &str = "copying.safetensors";
const NEXT_ITEM: &str = "next_item.safetensors";
const LM: &str = "lm";
const LORA: &str = "lora";
const ITEMS: &str = "items.safetensors";
const ITEM_IDS: &str = "item_ids.txt";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    config: NarratorConfig,
    items: usize,
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
        self.decoder.save(&temporary.join(LM))?;
        self.tokenizer.save(&temporary.join(LM))?;
        if let Some(lora) = &self.config.lora {
            self.decoder.save_lora(&temporary.join(LORA), lora)?;
        }
        self.item_ids.save(&temporary.join(ITEM_IDS))?;
        let manifest =
            Manifest { format: BUNDLE_FORMAT, config: self.config.clone(), items: self.item_ids.len() };
        write_json(&temporary.join(MANIFEST), &manifest)?;

        // A non-empty target makes the rename fail, so nothing that stands there is lost.
        fs::rename(temporary, dir).map_err(io("rename the finished bundle to", dir))
    }

    /// Opens a bundle that [`Narrator::save`] wrote, in `f32` on `device`.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Manifest`] for a missing or damaged file, [`Error::BundleFormat`] for another
    /// version's layout, [`Error::Mismatch`] if a part does not fit the others, and those of loading the parts.
    pub fn open(dir: &Path, device: Device) -> Result<Self> {
        Self::open_with(dir, device, TablePlace::Memory)
    }

    /// Opens a bundle as [`Narrator::open`] does, its item tables left in their file: opening takes no longer for
    /// a catalogue of ten million items, and what is not asked about is not read. Such tables cannot be trained.
    ///
    /// # Errors
    /// As [`Narrator::open`]. A value that is not finite is found when its row is read.
    pub fn open_stored(dir: &Path, device: Device) -> Result<Self> {
        Self::open_with(dir, device, TablePlace::Disk)
    }

    fn open_with(dir: &Path, device: Device, place: TablePlace) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let Format { format } = read_json(&path)?;
        if format != BUNDLE_FORMAT {
            return Err(Error::BundleFormat { path, expected: BUNDLE_FORMAT, got: format });
        }
        let manifest: Manifest = read_json(&path)?;
        let item_ids = ItemIds::load(&dir.join(ITEM_IDS))?;
        if item_ids.len() != manifest.items {
            return Err(Error::Mismatch {
                part: "item_ids.txt",
                got: format!("{} lines", item_ids.len()),
                other: "the manifest",
                expected: format!("{} items", manifest.items),
            });
        }
        let tables = match manifest.config.adapter {
            Some(_) => ItemTables::open(&dir.join(ITEMS), place)?,
            None => ItemTables::none(),
        };
        let tokenizer = TextTokenizer::load(&dir.join(LM))?;
        let (lm, lora) = (dir.join(LM), dir.join(LORA));
        // Other initial values are drawn and then overwritten, tensor by tensor; strict loading proves that all are.
        let weights = LmWeights::Adapted(&lm, &lora);
        let narrator = Self::assemble(manifest.config, tables, item_ids, tokenizer, weights, device, 0)?;
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
