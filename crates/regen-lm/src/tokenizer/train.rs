//! Training a byte-level BPE from nothing.

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer,
    TokenizerBuilder,
};

use super::text::{TextTokenizer, failed};
use crate::error::{Error, Result};

/// The special tokens that [`train_bpe`] always makes, as ids 0, 1 and 2: padding, begin, end.
pub const TRAINED_SPECIALS: [&str; 3] = ["<|pad|>", "<|bos|>", "<|eos|>"];

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
        "eos_token" => Some(TRAINED_SPECIALS[2].to_owned()),
        _ => None,
    }))
}
