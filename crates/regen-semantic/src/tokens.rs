//! Texts to token ids, as sentence-transformers makes them: cut at the model's limit, no padding.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::normalizers::{NormalizerWrapper, Sequence, utils::Lowercase};
use tokenizers::{Tokenizer, TruncationDirection, TruncationParams};

use crate::fields::{read_object, read_text};
use crate::{EncoderConfig, Error, Result};

/// The tokenizer of a folder with the folder's own limit.
#[derive(Debug)]
pub(crate) struct TextTokens {
    tokenizer: Tokenizer,
    path: PathBuf,
    pub(crate) max_tokens: i64,
}

impl TextTokens {
    /// Loads `tokenizer.json`. Its own truncation and padding are replaced: sentence-transformers does so too. `limit` is
    /// that of `sentence_bert_config.json`; without one, that of `tokenizer_config.json`, where newer folders have it.
    pub(crate) fn load(
        dir: &Path,
        limit: Option<i64>,
        config: &EncoderConfig,
        lowercase: bool,
    ) -> Result<Self> {
        let longest = config.longest();
        if let Some(limit) = limit.filter(|&limit| limit > longest) {
            return Err(Error::InvalidConfig {
                path: dir.join("sentence_bert_config.json"),
                field: "max_seq_length".into(),
                value: limit.to_string(),
                expected: format!("at most {longest}, the positions of the model"),
            });
        }
        let (own_limit, direction) = load_settings(&dir.join("tokenizer_config.json"))?;
        let max_tokens = limit.unwrap_or_else(|| own_limit.unwrap_or(longest).min(longest));
        let path = dir.join("tokenizer.json");
        let text = read_text(&path)?;
        let failed = |action| {
            let path = path.clone();
            move |source| Error::Tokenizer { action, path, source }
        };
        let mut tokenizer: Tokenizer = text.parse().map_err(failed("load the tokenizer"))?;
        let truncation =
            TruncationParams { max_length: max_tokens as usize, direction, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(failed("set the length limit"))?;
        tokenizer.with_padding(None);
        if lowercase {
            lowercase_first(&mut tokenizer).map_err(failed("lower-case texts"))?;
        }
        let largest = tokenizer.get_vocab(true).into_values().max().map_or(-1, i64::from);
        if largest >= config.vocab {
            return Err(Error::VocabularyMismatch { path, largest, vocab: config.vocab });
        }
        Ok(Self { tokenizer, path, max_tokens })
    }

    /// Ids of each text, special tokens included. Uses all threads of the current rayon pool.
    pub(crate) fn encode(&self, texts: Vec<String>) -> Result<Vec<Vec<i64>>> {
        let encodings = self.tokenizer.encode_batch_fast(texts, true).map_err(|source| Error::Tokenizer {
            action: "tokenise a text",
            path: self.path.clone(),
            source,
        })?;
        Ok(encodings.iter().map(|e| e.get_ids().iter().map(|&id| i64::from(id)).collect()).collect())
    }

    /// The tokens that are put around every text.
    pub(crate) fn special(&self) -> Result<Vec<i64>> {
        let encoding = self.tokenizer.encode("", true).map_err(|source| Error::Tokenizer {
            action: "tokenise an empty text",
            path: self.path.clone(),
            source,
        })?;
        Ok(encoding.get_ids().iter().map(|&id| i64::from(id)).collect())
    }

    /// Tokens of a prompt that stand before the text: its own and leading special ones, not a closing one.
    pub(crate) fn prompt_tokens(&self, prompt: &str) -> Result<i64> {
        let encoding = self.tokenizer.encode(prompt, true).map_err(|source| Error::Tokenizer {
            action: "tokenise the prompt",
            path: self.path.clone(),
            source,
        })?;
        let closing = encoding.get_special_tokens_mask().last() == Some(&1);
        Ok(encoding.len() as i64 - i64::from(closing))
    }
}

/// The limit and the side that is cut, of `tokenizer_config.json`, which may be absent.
fn load_settings(path: &Path) -> Result<(Option<i64>, TruncationDirection)> {
    if !path.exists() {
        return Ok((None, TruncationDirection::Right));
    }
    let fields = read_object(path)?;
    let invalid = |field: &str, expected: &str| Error::InvalidConfig {
        path: path.to_owned(),
        field: field.to_owned(),
        value: fields[field].to_string(),
        expected: expected.to_owned(),
    };
    let limit = match fields.get("model_max_length") {
        None | Some(Value::Null) => None,
        Some(value) => match value.as_f64() {
            // "No limit" is written as 1e30.
            Some(limit) if limit >= 1e15 => None,
            Some(limit) if limit >= 1.0 => Some(limit as i64),
            _ => return Err(invalid("model_max_length", "a positive number")),
        },
    };
    let direction = match fields.get("truncation_side").and_then(Value::as_str) {
        None | Some("right") => TruncationDirection::Right,
        Some("left") => TruncationDirection::Left,
        Some(_) => return Err(invalid("truncation_side", "left or right")),
    };
    Ok((limit, direction))
}

/// What the folder's `do_lower_case` asks for beside what the tokenizer does itself.
fn lowercase_first(tokenizer: &mut Tokenizer) -> tokenizers::Result<()> {
    let mut steps = vec![NormalizerWrapper::Lowercase(Lowercase)];
    steps.extend(tokenizer.get_normalizer().cloned());
    tokenizer.with_normalizer(Some(NormalizerWrapper::Sequence(Sequence::new(steps)))).map(|_| ())
}
