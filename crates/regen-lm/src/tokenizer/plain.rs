//! Ids of text that is not trusted: what it spells out of special tokens stays text.

use tokenizers::{AddedVocabulary, Model, OffsetType, PreTokenizer, Tokenizer};

use super::text::failed;
use crate::error::{Error, Result};

/// The added tokens of a tokenizer, and vocabularies that do not recognise them.
#[derive(Debug, Clone)]
pub(crate) struct Plain {
    /// Recognises added tokens that are not special.
    without_special: AddedVocabulary,
    /// Recognises none.
    without_any: AddedVocabulary,
    added: Vec<Added>,
}

/// A token that was added to the vocabulary.
#[derive(Debug, Clone)]
pub(crate) struct Added {
    pub(crate) id: u32,
    pub(crate) text: String,
    pub(crate) special: bool,
}

impl Plain {
    pub(super) fn of(tokenizer: &Tokenizer) -> Self {
        let mut without_special = tokenizer.get_added_vocabulary().clone();
        without_special.set_encode_special_tokens(true);
        let tokens = without_special.get_added_tokens_decoder().iter();
        let mut added: Vec<Added> = tokens
            .map(|(id, token)| Added { id: *id, text: token.content.clone(), special: token.special })
            .collect();
        added.sort_by_key(|token| token.id);
        Self { without_special, without_any: AddedVocabulary::new(), added }
    }

    /// In the order of their ids.
    pub(crate) fn added(&self) -> &[Added] {
        &self.added
    }

    /// No special token of `text` is recognised.
    pub(super) fn encode(&self, tokenizer: &Tokenizer, text: &str) -> Result<Vec<i64>> {
        let special = |token: &&Added| token.special;
        avoiding(tokenizer, &self.without_special, self.added.iter().filter(special), text)
    }

    /// No added token of `text` is recognised.
    pub(crate) fn encode_spelled_out(&self, tokenizer: &Tokenizer, text: &str) -> Result<Vec<i64>> {
        avoiding(tokenizer, &self.without_any, self.added.iter(), text)
    }
}

/// Ids of `text` with `vocabulary` for the tokenizer's own, none of them one of `tokens`.
fn avoiding<'a>(
    tokenizer: &Tokenizer,
    vocabulary: &AddedVocabulary,
    tokens: impl Iterator<Item = &'a Added> + Clone,
    text: &str,
) -> Result<Vec<i64>> {
    let ids = encode_with(tokenizer, vocabulary, text)?;
    // The model's own pieces may hold the token as well, as those of Unigram vocabularies do. The token of unknown characters is
    // none that the text spelled out.
    let met = |token: &&Added| ids.contains(&i64::from(token.id)) && text.contains(&token.text);
    let Some(token) = tokens.clone().find(met) else { return Ok(ids) };
    // No piece crosses the boundary of what is encoded by itself.
    let cut = text.find(&token.text).and_then(|start| {
        let first = token.text.chars().next()?;
        Some(start + first.len_utf8()).filter(|cut| *cut < start + token.text.len())
    });
    let Some(cut) = cut else { return Err(Error::SpecialInText { token: token.text.clone() }) };
    let mut both = avoiding(tokenizer, vocabulary, tokens.clone(), &text[..cut])?;
    both.extend(avoiding(tokenizer, vocabulary, tokens, &text[cut..])?);
    Ok(both)
}

/// What [`Tokenizer::encode_fast`] does, with another vocabulary of added tokens.
fn encode_with(tokenizer: &Tokenizer, vocabulary: &AddedVocabulary, text: &str) -> Result<Vec<i64>> {
    let mut pieces = vocabulary.extract_and_normalize(tokenizer.get_normalizer(), text);
    if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
        pre_tokenizer.pre_tokenize(&mut pieces).map_err(failed("encoding"))?;
    }
    pieces.tokenize(|piece| tokenizer.get_model().tokenize(piece.get())).map_err(failed("encoding"))?;
    let encoding = pieces.into_encoding(None, 0, OffsetType::None).map_err(failed("encoding"))?;
    Ok(encoding.get_ids().iter().map(|id| i64::from(*id)).collect())
}
