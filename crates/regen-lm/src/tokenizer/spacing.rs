//! `add_prefix_space` of `tokenizer_config.json`: whether a text is encoded as if a space stood before it.
//!
//! In transformers it is the class of the tokenizer that reads this field, and most classes do not. Where a class that does is asked for
//! something else than `tokenizer.json` does, the class has its way, as there: that of Llama puts pre-tokeniser and decoder of its own
//! in the place of normaliser, pre-tokeniser and decoder, and those of GPT-2 and Qwen 2 turn the byte-level pre-tokeniser over.
//!
//! DIFFERENCE: these classes of transformers 5 make all parts anew also where `tokenizer.json` does what is asked for, or nothing is.
//! Here `tokenizer.json` has its way then, as in the releases before: it is what the model was trained with. Texts that begin with a
//! space, and what follows a special token, may get other ids there.
//!
//! **Source** transformers 5.23, `AutoTokenizer.from_pretrained`, `LlamaTokenizer`, `GPT2Tokenizer`, `Qwen2Tokenizer`; the golden files in
//! `tests/golden/spaces`.

use serde_json::{Value, json};
use tokenizers::{DecoderWrapper, ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, Tokenizer};

use super::text::failed;
use crate::error::{Error, Result};

/// Types of models whose tokenizers read the field in no class, because transformers gives them its plain one.
const PLAIN: [&str; 2] = ["mistral", "phi3"];

/// A class that reads the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// Pieces of text with `▁` for a space.
    Llama,
    /// Bytes.
    ByteLevel,
}

impl Reader {
    /// What reads the field, if anything does, for the class that the files name, with or without `Fast` behind it, and the model type
    /// of `config.json`.
    pub(super) fn of(class: Option<&str>, model_type: Option<&str>, tokenizer: &Tokenizer) -> Option<Self> {
        if model_type.is_some_and(|name| PLAIN.contains(&name)) {
            return None;
        }
        match (class.map(|class| class.strip_suffix("Fast").unwrap_or(class)), model_type) {
            // Llama 3 and its like name this class, whose parts do not suit them.
            (Some("LlamaTokenizer"), _) => Some(Self::Llama).filter(|_| !names_byte_level(tokenizer)),
            (Some("GPT2Tokenizer" | "Qwen2Tokenizer"), _) => Some(Self::ByteLevel),
            (None, Some("gpt2" | "qwen2" | "qwen3")) => Some(Self::ByteLevel),
            _ => None,
        }
    }

    /// Makes the tokenizer add a space before a text, or none; `false` where its parts are not those of the class. `legacy` is
    /// the field of that name, by which a space goes also before what follows a special token.
    pub(super) fn set(self, tokenizer: &mut Tokenizer, asked: bool, legacy: bool) -> Result<bool> {
        match self {
            Self::Llama => set_llama(tokenizer, asked, legacy),
            Self::ByteLevel => set_bytes(tokenizer, asked),
        }
    }
}

fn set_llama(tokenizer: &mut Tokenizer, asked: bool, legacy: bool) -> Result<bool> {
    if !matches!(tokenizer.get_model(), ModelWrapper::BPE(_)) {
        return Ok(false);
    }
    let scheme = match (asked, legacy) {
        (false, _) => "never",
        (true, false) => "first",
        (true, true) => "always",
    };
    let mut steps = vec![
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if asked {
        steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    let before: PreTokenizerWrapper =
        part(json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false }))?;
    let decoder: DecoderWrapper = part(json!({ "type": "Sequence", "decoders": steps }))?;
    tokenizer.with_normalizer(None::<NormalizerWrapper>).map_err(failed("setting the normaliser"))?;
    tokenizer.with_pre_tokenizer(Some(before)).with_decoder(Some(decoder));
    Ok(true)
}

fn set_bytes(tokenizer: &mut Tokenizer, asked: bool) -> Result<bool> {
    fn turn(part: &mut Value, asked: bool) {
        if part["type"] == "ByteLevel" {
            part["add_prefix_space"] = json!(asked);
        }
        if let Some(Value::Array(list)) = part.get_mut("pretokenizers") {
            list.iter_mut().for_each(|part| turn(part, asked));
        }
    }
    let Some(mut before) = described(tokenizer.get_pre_tokenizer()) else { return Ok(false) };
    turn(&mut before, asked);
    tokenizer.with_pre_tokenizer(Some(part::<PreTokenizerWrapper>(before)?));
    Ok(adds_space(tokenizer) == asked)
}

fn part<T: for<'de> serde::Deserialize<'de>>(description: Value) -> Result<T> {
    serde_json::from_value(description)
        .map_err(|source| Error::Tokenizer { action: "setting the pre-tokeniser", source: Box::new(source) })
}

fn described<T: serde::Serialize>(part: Option<&T>) -> Option<Value> {
    part.and_then(|part| serde_json::to_value(part).ok())
}

/// Whether a text is encoded as if a space stood before it.
pub(super) fn adds_space(tokenizer: &Tokenizer) -> bool {
    fn within(part: &Value) -> bool {
        let each =
            |list: &str| part.get(list).and_then(Value::as_array).is_some_and(|list| list.iter().any(within));
        match part.get("type").and_then(Value::as_str) {
            Some("ByteLevel") => part["add_prefix_space"] == json!(true),
            Some("Metaspace") => part["prepend_scheme"] != json!("never"),
            Some("Prepend") => true,
            _ => each("pretokenizers") || each("normalizers"),
        }
    }
    let parts = [described(tokenizer.get_pre_tokenizer()), described(tokenizer.get_normalizer())];
    parts.iter().flatten().any(within)
}

/// Whether pre-tokeniser or decoder are those of bytes.
fn names_byte_level(tokenizer: &Tokenizer) -> bool {
    fn within(part: &Value) -> bool {
        let each =
            |list: &str| part.get(list).and_then(Value::as_array).is_some_and(|list| list.iter().any(within));
        part["type"] == "ByteLevel" || each("pretokenizers") || each("decoders")
    }
    let parts = [described(tokenizer.get_pre_tokenizer()), described(tokenizer.get_decoder())];
    parts.iter().flatten().any(within)
}
