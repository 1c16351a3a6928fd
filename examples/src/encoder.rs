//! Sentence encoders as programs load them: named by a flag where they are not there, and what speaks against their tokenizers told once.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use regen_semantic::SentenceEncoder;
use regen_torch::Placement;

/// Loads the sentence-transformers folder that `flag` names, and tells its doubts.
///
/// # Errors
/// With the folder and what to do.
pub fn load(dir: &Path, flag: &str, placement: Placement) -> Result<SentenceEncoder> {
    let encoder = SentenceEncoder::load(dir, placement).with_context(|| {
        format!("no sentence encoder at {}: run `cargo xtask setup`, or name one with {flag}", dir.display())
    })?;
    tell_doubts(&encoder, dir);
    Ok(encoder)
}

/// Tells on stderr what speaks against the tokenizer of the encoder in `dir`, each doubt once in a process: programs load an encoder
/// for each thing that they do with it. Not progress, so --quiet does not silence it.
pub fn tell_doubts(encoder: &SentenceEncoder, dir: &Path) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    for doubt in encoder.tokenizer_doubts() {
        let line =
            format!("warning: the encoder {}: {doubt}; is tokenizer.json that of this model?", dir.display());
        if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(line.clone()) {
            eprintln!("{line}");
        }
    }
}
