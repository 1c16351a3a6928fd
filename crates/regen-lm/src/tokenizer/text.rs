//! Text to ids and back, with the roles of special tokens and the chat templates that stand beside `tokenizer.json`.

use std::path::Path;

use serde_json::json;
use tokenizers::Tokenizer;

use super::plain::Plain;
use super::settings::{ROLES, Settings};
use super::templates::{self, NamedTemplate};
use crate::error::{Error, Result, TokenizerFailure};

/// A tokenizer with the ids that a decoder needs to know.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    inner: Tokenizer,
    plain: Plain,
    /// Roles and the texts of their tokens.
    roles: Vec<(&'static str, String)>,
    templates: Vec<NamedTemplate>,
}

pub(super) fn failed(action: &'static str) -> impl FnOnce(TokenizerFailure) -> Error {
    move |source| Error::Tokenizer { action, source }
}

impl TextTokenizer {
    /// Reads a `tokenizer.json`, or a folder with one; the roles of special tokens come from
    /// `tokenizer_config.json` and `special_tokens_map.json` beside it. As in transformers, special tokens that these name and
    /// `tokenizer.json` does not know are added, the new ones behind its last id, and `add_prefix_space` has its way where the
    /// tokenizer's class reads it: that of Llama's first models, of GPT-2 and of Qwen 2.
    ///
    /// Truncation and padding that the file asks for are switched off: batching is the caller's.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a field of `tokenizer_config.json` of another type, or one that contradicts `tokenizer.json`
    /// (ids of added tokens; `add_prefix_space` where the parts of the tokenizer are not those of its class); [`Error::UnsupportedConfig`] for one that asks for
    /// another text or other ids than are made here (`clean_up_tokenization_spaces` of a vocabulary that is no BPE,
    /// `split_special_tokens`, `fix_mistral_regex`); [`Error::Tokenizer`], [`Error::Io`], [`Error::Json`].
    pub fn load(path: &Path) -> Result<Self> {
        let (file, dir) = if path.is_dir() {
            (path.join("tokenizer.json"), path)
        } else {
            (path.to_owned(), path.parent().unwrap_or(Path::new(".")))
        };
        let bytes = std::fs::read(&file).map_err(Error::io("read", &file))?;
        let mut inner = Tokenizer::from_bytes(bytes).map_err(failed("reading tokenizer.json"))?;
        inner.with_truncation(None).map_err(failed("switching truncation off"))?;
        inner.with_padding(None);
        let settings = Settings::read(dir)?;
        let roles = settings.apply(&mut inner)?;
        let (path, config) = settings.config();
        let templates = templates::read(dir, path, config)?;
        Ok(Self { plain: Plain::of(&inner), inner, roles, templates })
    }

    pub(super) fn with_names(inner: Tokenizer, token: impl Fn(&str) -> Option<String>) -> Self {
        let roles = ROLES.into_iter().filter_map(|role| Some((role, token(role)?))).collect();
        Self { plain: Plain::of(&inner), inner, roles, templates: Vec::new() }
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json` and the chat templates into a folder, which is made if absent.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Tokenizer`].
    pub fn save(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
        let text = self.inner.to_string(true).map_err(failed("writing tokenizer.json"))?;
        crate::files::write(&dir.join("tokenizer.json"), text.as_bytes())?;
        let mut config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": null,
            "eos_token": null,
            "pad_token": null,
            "clean_up_tokenization_spaces": false,
        });
        for (role, token) in &self.roles {
            config[*role] = json!(token);
        }
        templates::write(dir, &self.templates)?;
        crate::files::write(&dir.join("tokenizer_config.json"), format!("{config:#}\n").as_bytes())
    }

    /// Ids of a text that may speak for itself, without begin or end tokens: special tokens that it spells out are recognised.
    /// Text that comes from users, catalogues or reviews is for [`encode_plain`](Self::encode_plain).
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn encode(&self, text: &str) -> Result<Vec<i64>> {
        self.encode_as(text, false)
    }

    /// Ids of a text in which special tokens are text like any other, so that whoever wrote it cannot speak in the name of the
    /// system or end what another says. Where none is spelled out, they are those of [`encode`](Self::encode).
    ///
    /// Added tokens that are not special, such as the runs of spaces of some vocabularies, are recognised still.
    ///
    /// # Errors
    /// [`Error::SpecialInText`] if the vocabulary gives no other ids for a special token's text; [`Error::Tokenizer`].
    ///
    /// ```
    /// let tokenizer = regen_lm::train_bpe(["a blue pen"].into_iter(), 300, &["<|user|>"])?;
    /// let text = "<|user|>pen";
    /// assert_eq!(tokenizer.encode(text)?[0], 3);
    /// let plain = tokenizer.encode_plain(text)?;
    /// assert!(!plain.contains(&3));
    /// assert_eq!(tokenizer.decode(&plain)?, text);
    /// # Ok::<(), regen_lm::Error>(())
    /// ```
    pub fn encode_plain(&self, text: &str) -> Result<Vec<i64>> {
        self.plain.encode(&self.inner, text)
    }

    /// Ids of a text as the template of `tokenizer.json` completes it, for instance with a begin token. As in transformers 5,
    /// `add_bos_token` and `add_eos_token` of `tokenizer_config.json` change nothing about it.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn encode_with_special(&self, text: &str) -> Result<Vec<i64>> {
        self.encode_as(text, true)
    }

    fn encode_as(&self, text: &str, template: bool) -> Result<Vec<i64>> {
        let encoding = self.inner.encode_fast(text, template).map_err(failed("encoding"))?;
        Ok(encoding.get_ids().iter().map(|id| i64::from(*id)).collect())
    }

    /// The text of ids; special tokens are left out.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`], [`Error::Tokenizer`].
    pub fn decode(&self, ids: &[i64]) -> Result<String> {
        let ids = ids.iter().map(|id| self.narrow(*id)).collect::<Result<Vec<u32>>>()?;
        self.inner.decode(&ids, true).map_err(failed("decoding"))
    }

    fn narrow(&self, id: i64) -> Result<u32> {
        u32::try_from(id).map_err(|_| Error::IdOutOfRange { id, vocab: self.vocab_size() })
    }

    /// One entry of the vocabulary as people read it, special tokens by their names. A piece of a character that takes several
    /// tokens becomes U+FFFD.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`], [`Error::Tokenizer`].
    pub fn piece(&self, id: i64) -> Result<String> {
        self.inner.decode(&[self.narrow(id)?], false).map_err(failed("decoding"))
    }

    /// The id of a token by its exact text.
    pub fn id(&self, token: &str) -> Option<i64> {
        self.inner.token_to_id(token).map(i64::from)
    }

    /// The text of the token in a role of `tokenizer_config.json`, such as `bos_token`.
    pub fn token(&self, role: &str) -> Option<&str> {
        self.roles.iter().find(|(known, _)| *known == role).map(|(_, token)| token.as_str())
    }

    /// Begin of sequence.
    pub fn bos_id(&self) -> Option<i64> {
        self.id(self.token("bos_token")?)
    }

    /// End of sequence.
    pub fn eos_id(&self) -> Option<i64> {
        self.id(self.token("eos_token")?)
    }

    /// Padding.
    pub fn pad_id(&self) -> Option<i64> {
        self.id(self.token("pad_token")?)
    }

    /// One more than the largest id: what the model's embedding must at least hold.
    pub fn vocab_size(&self) -> i64 {
        let largest = self.inner.get_vocab(true).into_values().max();
        largest.map_or(0, |id| i64::from(id) + 1)
    }

    /// Refuses a model whose embedding has fewer rows than this tokenizer's own vocabulary has ids. Added tokens may lie past the table, as
    /// Gemma 3's place of an image does in its models of text alone; a text that uses one is refused when it is embedded.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] naming `vocab_size`.
    pub fn check_fits(&self, vocab: i64) -> Result<()> {
        let largest = self.inner.get_vocab(false).into_values().max();
        let needed = largest.map_or(0, |id| i64::from(id) + 1);
        if needed > vocab {
            return Err(Error::InvalidConfig {
                path: None,
                field: "vocab_size".to_owned(),
                expected: format!("at least {needed}, the tokenizer's ids"),
                got: vocab.to_string(),
            });
        }
        Ok(())
    }

    pub(crate) fn inner(&self) -> &Tokenizer {
        &self.inner
    }

    pub(crate) fn plain(&self) -> &Plain {
        &self.plain
    }

    /// Roles and the texts of their tokens.
    pub(crate) fn roles(&self) -> &[(&'static str, String)] {
        &self.roles
    }

    /// Chat templates by name.
    pub(crate) fn templates(&self) -> &[NamedTemplate] {
        &self.templates
    }
}
