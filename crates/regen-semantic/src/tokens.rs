//! Texts to token ids, as sentence-transformers makes them: cut at the model's limit, no padding.

use std::path::{Path, PathBuf};

use tokenizers::{Tokenizer, TruncationParams};

use crate::{Error, Result};

/// The tokenizer of a folder with the folder's own limit.
#[derive(Debug)]
pub(crate) struct TextTokens {
    tokenizer: Tokenizer,
    path: PathBuf,
    lowercase: bool,
}

impl TextTokens {
    /// Loads `tokenizer.json`. Its own truncation and padding are replaced: sentence-transformers does so too.
    pub(crate) fn load(dir: &Path, max_tokens: i64, vocab: i64, lowercase: bool) -> Result<Self> {
        let path = dir.join("tokenizer.json");
        let text = crate::config::read_text(&path)?;
        let failed = |action| {
            let path = path.clone();
            move |source| Error::Tokenizer { action, path, source }
        };
        let mut tokenizer: Tokenizer = text.parse().map_err(failed("load the tokenizer"))?;
        let truncation = TruncationParams { max_length: max_tokens as usize, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(failed("set the length limit"))?;
        tokenizer.with_padding(None);
        let largest = tokenizer.get_vocab(true).into_values().max().map_or(-1, i64::from);
        if largest >= vocab {
            return Err(Error::VocabularyMismatch { path, largest, vocab });
        }
        Ok(Self { tokenizer, path, lowercase })
    }

    /// Ids of each text, special tokens included. Uses all threads of the current rayon pool.
    pub(crate) fn encode<S: AsRef<str>>(&self, texts: &[S]) -> Result<Vec<Vec<i64>>> {
        // The reference strips texts before tokenising them.
        let cleaned: Vec<String> = texts
            .iter()
            .map(|text| {
                let text = text.as_ref().trim();
                if self.lowercase { text.to_lowercase() } else { text.to_owned() }
            })
            .collect();
        let encodings = self.tokenizer.encode_batch_fast(cleaned, true).map_err(|source| {
            Error::Tokenizer { action: "tokenise a text", path: self.path.clone(), source }
        })?;
        Ok(encodings.iter().map(|e| e.get_ids().iter().map(|&id| i64::from(id)).collect()).collect())
    }
}
