//! What marks the parts of a prompt: tokens of its own, or words.

use std::collections::BTreeMap;

use regen_lm::TextTokenizer;
use regen_lm::chat::{Chat, ChatTemplate, Message, Role};
use serde::{Deserialize, Serialize};

use crate::{Error, NarratorConfig, Result};

const LAST: &str = "<last>";
const TEXT: &str = "<text>";
/// Once the place of a soft token; tokenizers keep it so that ids stay what they were.
const ITEM: &str = "<item>";

/// The tokens that a narrator's prompts need beside text and the tokenizer's own begin, end and padding; give them
/// to the tokenizer's training. A narrator with [`PromptWords`] needs none of them.
///
/// `kinds` are names of narrative kinds such as `purchase_reason`.
pub fn special_tokens<S: AsRef<str>>(kinds: &[S]) -> Vec<String> {
    let fixed = [ITEM, LAST, TEXT].into_iter().map(str::to_owned);
    fixed.chain(kinds.iter().map(|kind| kind_token(kind.as_ref()))).collect()
}

fn kind_token(kind: &str) -> String {
    format!("<{kind}>")
}

/// A prompt in words, for a language model that can read before it is trained: `history` items `last` target `text` phrase …
/// and what asks for the kind. Special tokens that the words spell out, such as those of a chat format, are recognised.
///
/// The words are the language model's own, so it needs no new rows in its vocabulary and may stay frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptWords {
    /// At the beginning, before the items of the history; after the tokenizer's own token of beginning, where it has one.
    pub history: String,
    /// Before the target.
    pub last: String,
    /// Before each phrase of a passage.
    pub text: String,
    /// What asks for each kind of narrative, at the end. The narrative follows without a space.
    pub kinds: BTreeMap<String, String>,
}

impl PromptWords {
    /// Plain English for any kinds: `user_summary` is asked for by a line `User summary:`.
    ///
    /// ```
    /// let words = regen_narrator::PromptWords::plain(&["user_summary"]);
    /// assert_eq!(words.kinds["user_summary"], "\nUser summary:\n");
    /// ```
    pub fn plain<S: AsRef<str>>(kinds: &[S]) -> Self {
        let asks = kinds.iter().map(|kind| {
            let kind = kind.as_ref();
            let words = kind.replace('_', " ");
            let mut letters = words.chars();
            let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
            (kind.to_owned(), format!("\n{first}{}:\n", letters.as_str()))
        });
        Self {
            history: "Bought before:".to_owned(),
            last: "\nBought now:".to_owned(),
            text: "\n-".to_owned(),
            kinds: asks.collect(),
        }
    }

    /// The same words in a chat model's own format: as what a user says, after what the system says, and before the model's turn.
    ///
    /// # Errors
    /// Those of rendering the template; [`Error::InvalidConfig`] if it does not say what the user says exactly once.
    pub fn in_chat(mut self, template: &ChatTemplate<'_>, system: Option<&str>) -> Result<Self> {
        let system = system.map(|text| Message::new(Role::System, text));
        let user = Message::new(Role::User, PLACE);
        let rendered = template.render(&Chat::asking(system.into_iter().chain([user]).collect()))?;
        let parts: Vec<&str> = rendered.split(PLACE).collect();
        let [before, after] = parts[..] else {
            let (got, expected) = (format!("{} times", parts.len() - 1), "a chat template that says it once");
            return Err(Error::InvalidConfig { field: "words", got, expected });
        };
        // Prompts begin with the tokenizer's token of beginning anyway.
        let begin = template.tokenizer().token("bos_token").unwrap_or_default();
        self.history.insert_str(0, before.strip_prefix(begin).unwrap_or(before));
        self.kinds.values_mut().for_each(|asks| asks.push_str(after));
        Ok(self)
    }
}

/// Stands for what a user says while a template is rendered: a code point without a meaning, which none changes.
const PLACE: &str = "\u{f0002}";

/// The ids of what marks the parts of a prompt, looked up once.
#[derive(Debug)]
pub(crate) struct PromptTokens {
    /// At least one id: the next purchase may be told from it.
    pub(super) begin: Vec<i64>,
    pub(crate) eos: i64,
    pub(super) pad: i64,
    pub(super) last: Vec<i64>,
    /// Only where passages are read.
    pub(super) text: Option<Vec<i64>>,
    kinds: Vec<(String, Vec<i64>)>,
}

impl PromptTokens {
    pub(crate) fn new(tokenizer: &TextTokenizer, config: &NarratorConfig) -> Result<Self> {
        match &config.words {
            Some(words) => Self::of_words(tokenizer, config, words),
            None => Self::own(tokenizer, config),
        }
    }

    fn own(tokenizer: &TextTokenizer, config: &NarratorConfig) -> Result<Self> {
        let id = |token: &str| found(tokenizer.id(token), token).map(|id| vec![id]);
        let kind = |kind: &String| Ok((kind.clone(), id(&kind_token(kind))?));
        id(ITEM)?;
        Ok(Self {
            kinds: config.kinds.iter().map(kind).collect::<Result<_>>()?,
            begin: vec![found(tokenizer.bos_id(), "that begins a sequence")?],
            eos: found(tokenizer.eos_id(), "that ends a sequence")?,
            pad: found(tokenizer.pad_id(), "for padding")?,
            last: id(LAST)?,
            text: config.passage.is_some().then(|| id(TEXT)).transpose()?,
        })
    }

    fn of_words(tokenizer: &TextTokenizer, config: &NarratorConfig, words: &PromptWords) -> Result<Self> {
        let eos = found(tokenizer.eos_id(), "that ends a sequence")?;
        let mut begin: Vec<i64> = tokenizer.bos_id().into_iter().collect();
        begin.extend(tokenizer.encode(&words.history)?);
        if begin.is_empty() {
            let expected = "words, since the tokenizer has no token of beginning";
            return Err(Error::InvalidConfig { field: "words.history", got: "nothing".into(), expected });
        }
        let kind = |kind: &String| {
            let asks = words.kinds.get(kind).ok_or_else(|| Error::Mismatch {
                part: "words.kinds",
                got: words.kinds.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
                other: "the narrator",
                expected: kind.clone(),
            })?;
            Ok((kind.clone(), tokenizer.encode(asks)?))
        };
        Ok(Self {
            kinds: config.kinds.iter().map(kind).collect::<Result<_>>()?,
            begin,
            eos,
            // Padding is masked, so any id of the table does.
            pad: tokenizer.pad_id().filter(|pad| *pad < config.decoder.vocab()).unwrap_or(eos),
            last: tokenizer.encode(&words.last)?,
            text: config.passage.is_some().then(|| tokenizer.encode(&words.text)).transpose()?,
        })
    }

    pub(super) fn kind(&self, kind: &str) -> Result<&[i64]> {
        let found = self.kinds.iter().find(|(name, _)| name == kind);
        found.map(|(_, ids)| ids.as_slice()).ok_or_else(|| Error::UnknownKind {
            kind: kind.to_owned(),
            known: self.kinds.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Ids of the longest prompt beside its soft tokens and its passage.
    pub(crate) fn longest(&self) -> usize {
        let kind = self.kinds.iter().map(|(_, ids)| ids.len()).max().unwrap_or(0);
        self.begin.len() + self.last.len() + kind
    }
}

fn found(id: Option<i64>, token: &str) -> Result<i64> {
    id.ok_or_else(|| Error::MissingToken { token: token.to_owned() })
}
