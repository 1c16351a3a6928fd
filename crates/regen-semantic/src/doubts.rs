//! What speaks against a folder's tokenizer being its model's, where it does not prove it: folders in use are so, too.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::{ModelWrapper, NormalizedString, Normalizer, Tokenizer};

use crate::Result;
use crate::fields::read_object;

/// A reason to ask whether `tokenizer.json` belongs to the model beside it. With another model's that fits its table, texts get the
/// vectors of other words, and nothing fails. It reads as a clause, for a program to print.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenizerDoubt {
    /// The model embeds more tokens that the tokenizer does not know than tables are padded by. A few sound models do as well.
    UnreadEmbeddings {
        /// Rows of the embedding table that no token reads.
        rows: i64,
    },
    /// The tokens of `vocab.txt` have other ids in `tokenizer.json`. Only the latter is read; a few differences are not told, since
    /// people put words of their own in the place of unused ones.
    OtherVocabulary {
        /// The list of tokens.
        path: PathBuf,
        /// Tokens that have another id, or none.
        differing: usize,
        /// Tokens of the list.
        tokens: usize,
    },
    /// `config.json` names a cased or an uncased model, and `tokenizer.json` does the opposite with capitals.
    Case {
        /// The name.
        name: String,
        /// Whether the tokenizer keeps capitals.
        kept: bool,
    },
}

impl fmt::Display for TokenizerDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnreadEmbeddings { rows } => {
                write!(f, "the model embeds {rows} tokens that its tokenizer does not know")
            }
            Self::OtherVocabulary { path, differing, tokens } => {
                let path = path.display();
                write!(f, "{differing} of the {tokens} tokens of {path} have another id in tokenizer.json")
            }
            Self::Case { name, kept } => {
                let does = if *kept { "keeps" } else { "loses" };
                write!(f, "config.json calls the model {name}, and its tokenizer {does} capitals")
            }
        }
    }
}

/// Rows beyond the tokenizer's tokens that padding explains: the tables of Qwen3 have 267, of multilingual E5 35, of Nomic Embed 6.
const PADDING_ROWS: i64 = 512;

/// Of how many tokens of `vocab.txt` one may have another id.
const EDITED: usize = 10;

/// The doubts about the tokenizer of `dir` as its file has it. `unread`: rows of the table that belong to no token; `lowercase`: the
/// folder has texts lower-cased before it.
pub(crate) fn doubts(
    dir: &Path,
    tokenizer: &Tokenizer,
    unread: i64,
    lowercase: bool,
) -> Result<Vec<TokenizerDoubt>> {
    let rows = (unread > PADDING_ROWS).then_some(TokenizerDoubt::UnreadEmbeddings { rows: unread });
    let config = read_object(&dir.join("config.json"))?;
    let name = config.get("_name_or_path").and_then(Value::as_str);
    let case = name.and_then(|name| case(name, keeps_capitals(tokenizer), lowercase));
    Ok(rows.into_iter().chain(vocabulary(dir, tokenizer)).chain(case).collect())
}

/// Whether `vocab.txt` is the list of another tokenizer. Other kinds of tokenizers have other files of that name.
fn vocabulary(dir: &Path, tokenizer: &Tokenizer) -> Option<TokenizerDoubt> {
    if !matches!(tokenizer.get_model(), ModelWrapper::WordPiece(_)) {
        return None;
    }
    let path = dir.join("vocab.txt");
    // Nothing else reads it, so that it may be absent or damaged.
    let list = std::fs::read_to_string(&path).ok()?;
    let tokens = list.lines().count();
    let differing =
        list.lines().zip(0..).filter(|&(token, id)| tokenizer.token_to_id(token) != Some(id)).count();
    (differing > tokens / EDITED).then_some(TokenizerDoubt::OtherVocabulary { path, differing, tokens })
}

fn keeps_capitals(tokenizer: &Tokenizer) -> bool {
    let mut text = NormalizedString::from("A");
    match tokenizer.get_normalizer() {
        Some(normalizer) => normalizer.normalize(&mut text).is_err() || text.get().contains('A'),
        None => true,
    }
}

fn case(name: &str, kept: bool, lowercase: bool) -> Option<TokenizerDoubt> {
    let says = |word: &str| {
        name.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part.eq_ignore_ascii_case(word))
    };
    // A cased model whose folder asks for small letters is its owner's wish.
    let opposite = if kept { says("uncased") && !lowercase } else { says("cased") };
    opposite.then(|| TokenizerDoubt::Case { name: name.to_owned(), kept })
}
