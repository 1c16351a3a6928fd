//! Text to ids and back: loading `tokenizer.json`, and training a byte-level BPE from nothing.

use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer,
    TokenizerBuilder,
};

use crate::error::{Error, Result, TokenizerFailure};

/// The special tokens that [`train_bpe`] always makes, as ids 0, 1 and 2: padding, begin, end.
pub const TRAINED_SPECIALS: [&str; 3] = ["<|pad|>", "<|bos|>", "<|eos|>"];

/// A tokenizer with the ids that a decoder needs to know.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    inner: Tokenizer,
    bos: Option<i64>,
    eos: Option<i64>,
    pad: Option<i64>,
}

/// Trains a byte-level BPE of at most `vocab` tokens: three standard specials
/// ([`TRAINED_SPECIALS`]), then `special`, then the 256 bytes, then merges. Any text can be encoded. The
/// same texts in the same order give the same tokenizer.
///
/// **Source** Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", section
/// 3.2; bytes as Radford et al. 2019 (GPT-2), section 2.2.
///
/// # Errors
/// [`Error::Argument`] if `vocab` has no room for specials and bytes; [`Error::Tokenizer`].
///
/// ```
/// let texts = ["a blue pen", "a blue notebook", "two blue pens"];
/// let tokenizer = regen_lm::train_bpe(texts.into_iter(), 300, &["<|item|>"])?;
/// let ids = tokenizer.encode("blue pen £5")?;
/// assert_eq!(tokenizer.decode(&ids)?, "blue pen £5");
/// assert_eq!(tokenizer.id("<|item|>"), Some(3));
/// # Ok::<(), regen_lm::Error>(())
/// ```
pub fn train_bpe<'a>(
    texts: impl Iterator<Item = &'a str>,
    vocab: usize,
    special: &[&str],
) -> Result<TextTokenizer> {
    let specials: Vec<&str> = TRAINED_SPECIALS.iter().chain(special).copied().collect();
    if vocab < specials.len() + 256 {
        return Err(Error::Argument {
            what: "tokenizer vocabulary",
            expected: "room for the special tokens and 256 bytes",
            got: vocab.to_string(),
        });
    }
    let bytes = || ByteLevel::default().add_prefix_space(false);
    let mut tokenizer = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(Some(NFC))
        .with_pre_tokenizer(Some(bytes()))
        .with_post_processor(Some(bytes()))
        .with_decoder(Some(bytes()))
        .build()
        .map_err(failed("building"))?;
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocab)
        .min_frequency(2)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(specials.iter().map(|text| AddedToken::from(*text, true)).collect())
        .build();
    let texts: Vec<&str> = texts.collect();
    tokenizer.train(&mut trainer, texts.into_iter()).map_err(failed("training"))?;
    let (model, normalizer, pre, post, decoder) = (
        tokenizer.get_model().clone(),
        tokenizer.get_normalizer().cloned(),
        tokenizer.get_pre_tokenizer().copied(),
        tokenizer.get_post_processor().copied(),
        tokenizer.get_decoder().copied(),
    );
    let mut whole = Tokenizer::new(model);
    whole
        .with_normalizer(normalizer.map(NormalizerWrapper::from))
        .map_err(failed("building"))?
        .with_pre_tokenizer(pre.map(PreTokenizerWrapper::from))
        .with_post_processor(post.map(PostProcessorWrapper::from))
        .with_decoder(decoder.map(DecoderWrapper::from));
    whole
        .add_special_tokens(specials.iter().map(|text| AddedToken::from(*text, true)))
        .map_err(failed("adding special tokens"))?;
    Ok(TextTokenizer::with_names(whole, |role| match role {
        "pad_token" => Some(TRAINED_SPECIALS[0].to_owned()),
        "bos_token" => Some(TRAINED_SPECIALS[1].to_owned()),
        _ => Some(TRAINED_SPECIALS[2].to_owned()),
    }))
}

fn failed(action: &'static str) -> impl FnOnce(TokenizerFailure) -> Error {
    move |source| Error::Tokenizer { action, source }
}

impl TextTokenizer {
    /// Reads a `tokenizer.json`, or a folder with one; the roles of special tokens come from
    /// `tokenizer_config.json` and `special_tokens_map.json` beside it.
    ///
    /// Truncation and padding that the file asks for are switched off: batching is the caller's.
    ///
    /// # Errors
    /// [`Error::Tokenizer`], [`Error::Io`], [`Error::Json`].
    pub fn load(path: &Path) -> Result<Self> {
        let (file, dir) = if path.is_dir() {
            (path.join("tokenizer.json"), path)
        } else {
            (path.to_owned(), path.parent().unwrap_or(Path::new(".")))
        };
        let bytes = std::fs::read(&file).map_err(Error::io(&file))?;
        let mut inner = Tokenizer::from_bytes(bytes).map_err(failed("reading tokenizer.json"))?;
        inner.with_truncation(None).map_err(failed("switching truncation off"))?;
        inner.with_padding(None);
        let mut roles = Map::new();
        for name in ["special_tokens_map.json", "tokenizer_config.json"] {
            let path = dir.join(name);
            if path.exists() {
                roles.extend(crate::families::read_object(&path)?);
            }
        }
        Ok(Self::with_names(inner, |role| match roles.get(role) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Object(token)) => token.get("content")?.as_str().map(str::to_owned),
            _ => None,
        }))
    }

    fn with_names(inner: Tokenizer, token: impl Fn(&str) -> Option<String>) -> Self {
        let id = |role: &str| token(role).and_then(|text| inner.token_to_id(&text)).map(i64::from);
        Self { bos: id("bos_token"), eos: id("eos_token"), pad: id("pad_token"), inner }
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json` into a folder, which is made if absent.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Tokenizer`].
    pub fn save(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let text = self.inner.to_string(true).map_err(failed("writing tokenizer.json"))?;
        crate::files::write(&dir.join("tokenizer.json"), text.as_bytes())?;
        let name = |id: Option<i64>| id.and_then(|id| self.inner.id_to_token(id as u32));
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": name(self.bos),
            "eos_token": name(self.eos),
            "pad_token": name(self.pad),
            "clean_up_tokenization_spaces": false,
        });
        crate::files::write(&dir.join("tokenizer_config.json"), format!("{config:#}\n").as_bytes())
    }

    /// Ids of a text, without begin or end tokens. Special tokens that the text spells out are recognised.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn encode(&self, text: &str) -> Result<Vec<i64>> {
        self.encode_as(text, false)
    }

    /// Ids of a text as the tokenizer's own template completes it, for instance with a begin token.
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

    /// Begin of sequence.
    pub fn bos_id(&self) -> Option<i64> {
        self.bos
    }

    /// End of sequence.
    pub fn eos_id(&self) -> Option<i64> {
        self.eos
    }

    /// Padding.
    pub fn pad_id(&self) -> Option<i64> {
        self.pad
    }

    /// One more than the largest id: what the model's embedding must at least hold.
    pub fn vocab_size(&self) -> i64 {
        let largest = self.inner.get_vocab(true).into_values().max();
        largest.map_or(0, |id| i64::from(id) + 1)
    }

    /// Refuses a model whose embedding has fewer rows than this tokenizer has ids.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] naming `vocab_size`.
    pub fn check_fits(&self, vocab: i64) -> Result<()> {
        let needed = self.vocab_size();
        if needed > vocab {
            return Err(Error::InvalidConfig {
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
}
