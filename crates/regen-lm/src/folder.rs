//! A decoder as a Hugging Face folder.

use std::path::Path;

use regen_torch::save_tensors;
use tch::Kind;

use crate::error::{Error, Result};
use crate::families;
use crate::model::Decoder;

impl Decoder {
    /// Writes `config.json` and `model.safetensors` into a folder, which is made if absent, in the kind of
    /// the parameters; `transformers` loads it back. The tokenizer is saved by itself
    /// ([`TextTokenizer::save`](crate::TextTokenizer::save)).
    ///
    /// # Errors
    /// [`Error::UpdatesAttached`] where low-rank updates are attached, which a folder of a model has no place for;
    /// [`Error::Unwritable`] for settings that `config.json` of the family cannot express; then nothing is written.
    /// [`Error::Io`], [`Error::Checkpoint`].
    pub fn save(&self, dir: &Path) -> Result<()> {
        if !self.lora.is_empty() {
            return Err(Error::UpdatesAttached { path: dir.to_owned() });
        }
        self.save_base(dir)
    }

    /// As [`save`](Self::save), without the low-rank updates that may be attached: those are for
    /// [`save_lora`](Self::save_lora).
    ///
    /// # Errors
    /// [`Error::Unwritable`], [`Error::Io`], [`Error::Checkpoint`].
    pub fn save_base(&self, dir: &Path) -> Result<()> {
        let dtype = match self.kind() {
            Kind::BFloat16 => "bfloat16",
            Kind::Half => "float16",
            Kind::Double => "float64",
            _ => "float32",
        };
        let path = dir.join("config.json");
        let config = families::to_json(self.config(), dtype, &path)?;
        std::fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
        save_tensors(&dir.join("model.safetensors"), self.parameters(), &[("format", "pt")])?;
        crate::files::write(&path, format!("{config:#}\n").as_bytes())
    }
}
