//! Texts to token ids, as sentence-transformers makes them: cut at the model's limit, no padding.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::normalizers::{BertNormalizer, NormalizerWrapper, Sequence, utils::Lowercase};
use tokenizers::{Encoding, PostProcessor, Tokenizer, TruncationDirection, TruncationParams};

use crate::doubts::{TokenizerDoubt, doubts};
use crate::fields::{read_object, read_text};
use crate::folder::limits_path;
use crate::{EncoderConfig, Error, Family, Result};

/// The tokenizer of a folder with the folder's own limit.
#[derive(Debug)]
pub(crate) struct TextTokens {
    tokenizer: Tokenizer,
    path: PathBuf,
    /// Rows of the model's embedding table.
    vocab: i64,
    pub(crate) doubts: Vec<TokenizerDoubt>,
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
        let settings = Settings::load(dir.join("tokenizer_config.json"))?;
        let limit = Limit::of(dir, limit, &settings, config)?;
        let path = dir.join("tokenizer.json");
        let text = read_text(&path)?;
        let failed = |action| {
            let path = path.clone();
            move |source| Error::Tokenizer { action, path, source }
        };
        let mut tokenizer: Tokenizer = text.parse().map_err(failed("load the tokenizer"))?;
        // Tokens that were added to the model's own may lie beyond its table, such as EmbeddingGemma's placeholder for images:
        // they do no harm until a text holds one.
        let largest = tokenizer.get_vocab(false).into_values().max().map_or(-1, i64::from);
        if largest >= config.vocab {
            return Err(Error::VocabularyMismatch { path, largest, vocab: config.vocab });
        }
        let ids: HashSet<u32> = tokenizer.get_vocab(true).into_values().collect();
        let read = ids.into_iter().filter(|&id| i64::from(id) < config.vocab).count() as i64;
        // Tables are padded, and a few models were published with half as many rows again as their tokenizer has tokens (IndoBERT).
        if read < config.vocab / 2 {
            return Err(Error::SmallVocabulary { path, tokens: read, vocab: config.vocab });
        }
        settings.check(&tokenizer, config, &dir.join("config.json"))?;
        // The tokenizer subtracts them from the limit without asking whether there is anything left.
        limit.check_above(tokenizer.get_post_processor().map_or(0, |around| around.added_tokens(false)))?;
        let truncation = TruncationParams {
            max_length: limit.tokens as usize,
            direction: settings.direction,
            ..TruncationParams::default()
        };
        tokenizer.with_truncation(Some(truncation)).map_err(failed("set the length limit"))?;
        tokenizer.with_padding(None);
        let doubts = doubts(dir, &tokenizer, config.vocab - read, lowercase)?;
        if lowercase {
            lowercase_first(&mut tokenizer).map_err(failed("lower-case texts"))?;
        }
        let tokens = Self { tokenizer, path, vocab: config.vocab, doubts, max_tokens: limit.tokens };
        // Ids of the tokens around a text are written out in the file, whatever its vocabulary says.
        match tokens.special()?.into_iter().max() {
            Some(largest) if largest >= config.vocab => {
                Err(Error::VocabularyMismatch { path: tokens.path, largest, vocab: config.vocab })
            }
            _ => Ok(tokens),
        }
    }

    /// Ids of each text, special tokens included, all of them rows of the model's table. Uses all threads of the current rayon
    /// pool, for one text this thread.
    ///
    /// The next texts are not tokenised while these are computed, since too little can be won: with MiniLM on two cores, tokenising
    /// is 0.7 % of the processor's time for titles and 0.5 % for texts of 200 tokens, on all cores, and where a list of 2,048 ends,
    /// workers wait 1.2 % and 0.2 % of the time for the last batch.
    pub(crate) fn encode(&self, texts: Vec<String>) -> Result<Vec<Vec<i64>>> {
        let encodings = match <[String; 1]>::try_from(texts) {
            Ok([text]) => self.tokenizer.encode_fast(text, true).map(|encoding| vec![encoding]),
            Err(texts) => self.tokenizer.encode_batch_fast(texts, true),
        };
        let encodings = encodings.map_err(|source| Error::Tokenizer {
            action: "tokenise a text",
            path: self.path.clone(),
            source,
        })?;
        let ids = |(text, encoding): (usize, &Encoding)| {
            let ids: Vec<i64> = encoding.get_ids().iter().map(|&id| i64::from(id)).collect();
            match ids.iter().find(|&&id| id >= self.vocab) {
                Some(&id) => {
                    Err(Error::UnknownToken { text, id, path: self.path.clone(), vocab: self.vocab })
                }
                None => Ok(ids),
            }
        };
        encodings.iter().enumerate().map(ids).collect()
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

/// How long a text may be, and which setting says so.
struct Limit {
    tokens: i64,
    path: PathBuf,
    field: &'static str,
}

impl Limit {
    /// The limit of `sentence_bert_config.json` or its like, then that of `tokenizer_config.json`, then the model's positions.
    fn of(dir: &Path, limit: Option<i64>, settings: &Settings, config: &EncoderConfig) -> Result<Self> {
        let longest = config.longest();
        let (tokens, path, field) = match (limit, settings.limit) {
            (Some(limit), _) => (limit, limits_path(dir), "max_seq_length"),
            (None, Some(own)) if own < longest => (own, settings.path.clone(), "model_max_length"),
            _ => (longest, dir.join("config.json"), "max_position_embeddings"),
        };
        let limit = Self { tokens, path, field };
        if tokens > longest {
            return Err(limit.invalid(format!("at most {longest}, the positions of the model")));
        }
        Ok(limit)
    }

    /// Refuses a limit that the tokens `around` every text leave no room below.
    fn check_above(&self, around: usize) -> Result<()> {
        match usize::try_from(self.tokens) {
            Ok(tokens) if tokens > around => Ok(()),
            _ => Err(self.invalid(format!("more than the {around} tokens that are put around every text"))),
        }
    }

    fn invalid(&self, expected: String) -> Error {
        Error::InvalidConfig {
            path: self.path.clone(),
            field: self.field.to_owned(),
            value: self.tokens.to_string(),
            expected,
        }
    }
}

/// What `tokenizer_config.json`, which may be absent, says beside `tokenizer.json`.
struct Settings {
    path: PathBuf,
    fields: Map<String, Value>,
    limit: Option<i64>,
    /// The side that is cut.
    direction: TruncationDirection,
}

impl Settings {
    fn load(path: PathBuf) -> Result<Self> {
        let fields = if path.exists() { read_object(&path)? } else { Map::new() };
        let mut settings = Self { path, fields, limit: None, direction: TruncationDirection::Right };
        settings.limit = match settings.fields.get("model_max_length") {
            None | Some(Value::Null) => None,
            Some(value) => match value.as_f64() {
                // "No limit" is written as 1e30.
                Some(limit) if limit >= 1e15 => None,
                Some(limit) if limit >= 1.0 => Some(limit as i64),
                _ => return Err(settings.invalid("model_max_length", "a positive number".into())),
            },
        };
        settings.direction = match settings.fields.get("truncation_side").map(Value::as_str) {
            None | Some(Some("right")) => TruncationDirection::Right,
            Some(Some("left")) => TruncationDirection::Left,
            Some(_) => return Err(settings.invalid("truncation_side", "left or right".into())),
        };
        Ok(settings)
    }

    /// Refuses a tokenizer that these settings, or the model's own at `model`, do not belong to.
    fn check(&self, tokenizer: &Tokenizer, config: &EncoderConfig, model: &Path) -> Result<()> {
        for field in ["pad_token", "cls_token", "sep_token"] {
            let Some(token) = self.token(field) else { continue };
            // The reference would add it, past the model's table.
            let Some(id) = tokenizer.token_to_id(token) else {
                return Err(self.invalid(field, "a token of tokenizer.json".into()));
            };
            // Only this family's positions hang on config.json's id, and only there is it kept with care: multilingual-e5-small,
            // a BERT, has 0 where its tokenizer pads with 1, Qwen3-Embedding names two ends of a text, and MPNet's is fixed.
            let id = i64::from(id);
            if let (Family::Roberta, "pad_token", Some(padding)) = (config.family, field, config.padding_id)
                && id != padding
            {
                return Err(Error::InvalidConfig {
                    path: model.to_owned(),
                    field: "pad_token_id".into(),
                    value: padding.to_string(),
                    expected: format!("{id}, as tokenizer.json has for {token}"),
                });
            }
        }
        match tokenizer.get_normalizer() {
            Some(NormalizerWrapper::BertNormalizer(normalizer)) if self.is_bert() => {
                self.check_bert(normalizer)
            }
            _ => Ok(()),
        }
    }

    /// Whether the tokenizer's class is one that takes its normalizer's switches from here, whatever `tokenizer.json` says.
    fn is_bert(&self) -> bool {
        let class = self.fields.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
        let class = class.strip_suffix("Fast").unwrap_or(class);
        ["BertTokenizer", "DistilBertTokenizer", "MPNetTokenizer"].contains(&class)
    }

    fn check_bert(&self, normalizer: &BertNormalizer) -> Result<()> {
        // Left open, accents go where capitals go.
        let stripped = normalizer.strip_accents.unwrap_or(normalizer.lowercase);
        for (field, does, open) in [
            ("do_lower_case", normalizer.lowercase, None),
            ("strip_accents", stripped, Some(normalizer.lowercase)),
            ("tokenize_chinese_chars", normalizer.handle_chinese_chars, None),
        ] {
            let Some(value) = self.fields.get(field) else { continue };
            let asked = if value.is_null() { open } else { value.as_bool() };
            if asked != Some(does) {
                return Err(self.invalid(field, format!("{does}, as the normalizer of tokenizer.json does")));
            }
        }
        Ok(())
    }

    /// The token of a role; the library writes its text, or an object that holds the text.
    fn token(&self, role: &str) -> Option<&str> {
        let value = self.fields.get(role)?;
        value.as_str().or_else(|| value.get("content")?.as_str())
    }

    fn invalid(&self, field: &str, expected: String) -> Error {
        Error::InvalidConfig {
            path: self.path.clone(),
            field: field.to_owned(),
            value: self.fields.get(field).map_or_else(|| "nothing".into(), Value::to_string),
            expected,
        }
    }
}

/// What the folder's `do_lower_case` asks for beside what the tokenizer does itself.
fn lowercase_first(tokenizer: &mut Tokenizer) -> tokenizers::Result<()> {
    let mut steps = vec![NormalizerWrapper::Lowercase(Lowercase)];
    steps.extend(tokenizer.get_normalizer().cloned());
    tokenizer.with_normalizer(Some(NormalizerWrapper::Sequence(Sequence::new(steps)))).map(|_| ())
}
