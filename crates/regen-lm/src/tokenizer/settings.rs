//! What `tokenizer_config.json` and `special_tokens_map.json` say beside `tokenizer.json`: applied as transformers applies it, or
//! refused by name.
//!
//! `add_bos_token` and `add_eos_token` say nothing beside a `tokenizer.json`, as in transformers 5: what completes a text is the
//! template there. The two contradict each other in folders that many use (those of DeepSeek's distilled models ask for a begin token
//! and have no template). `add_prefix_space` is for [`spacing`](super::spacing).
//!
//! **Source** transformers 5.23, `PreTrainedTokenizerBase._from_pretrained`, `TokenizersBackend.__init__` and `_decode`, and the
//! constructors of the classes.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tokenizers::{AddedToken, ModelWrapper, Tokenizer};

use super::spacing::{Reader, adds_space};
use super::text::failed;
use crate::error::{Error, Result};
use crate::families::read_object;

/// Roles that these files give to special tokens, by which chat templates name them; in the order in which transformers adds tokens
/// that `tokenizer.json` lacks.
pub(super) const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Fields that have to be off, because nothing here does what they ask for.
const OFF: [&str; 3] = [
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
    "fix_mistral_regex",
    "split_special_tokens",
];

/// Both files of a folder, where they are.
pub(super) struct Settings {
    path: PathBuf,
    config: Map<String, Value>,
    map_path: PathBuf,
    map: Map<String, Value>,
}

impl Settings {
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let (path, map_path) = (dir.join("tokenizer_config.json"), dir.join("special_tokens_map.json"));
        let object = |path: &Path| if path.exists() { read_object(path) } else { Ok(Map::new()) };
        let (config, mut map) = (object(&path)?, object(&map_path)?);
        // Whoever wrote this list wrote the roles beside it, and the map is a leftover.
        if config.contains_key("added_tokens_decoder") {
            map.clear();
        }
        Ok(Self { path, config, map_path, map })
    }

    /// The file of `tokenizer_config.json`, and what it says.
    pub(super) fn config(&self) -> (&Path, &Map<String, Value>) {
        (&self.path, &self.config)
    }

    /// Gives the tokenizer the tokens that the files know of, refuses what it does not do, and names the tokens in roles.
    pub(super) fn apply(&self, tokenizer: &mut Tokenizer) -> Result<Vec<(&'static str, String)>> {
        self.space(tokenizer)?;
        self.add_listed(tokenizer)?;
        let mut roles = Vec::new();
        let mut named = Vec::new();
        for role in ROLES {
            let (path, value) = self.value(role);
            if let Some(token) = token(path, role, value)? {
                roles.push((role, token.content.clone()));
                named.push(token);
            }
        }
        named.extend(self.further()?);
        add_missing(tokenizer, named)?;
        self.check(tokenizer)?;
        Ok(roles)
    }

    /// What the files say of a field, the map first, and which of them does.
    fn value(&self, field: &str) -> (&Path, Option<&Value>) {
        match self.map.get(field) {
            Some(value) => (&self.map_path, Some(value)),
            None => (&self.path, self.config.get(field)),
        }
    }

    /// Tokens with the ids that `added_tokens_decoder` gives them. Where `tokenizer.json` has them too, their flags are those here.
    fn add_listed(&self, tokenizer: &mut Tokenizer) -> Result<()> {
        const FIELD: &str = "added_tokens_decoder";
        let listed = match self.config.get(FIELD) {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::Object(listed)) => listed,
            Some(other) => return Err(self.wrong(FIELD, "tokens by their ids", other)),
        };
        let mut tokens = Vec::with_capacity(listed.len());
        for (id, value) in listed {
            let field = format!("{FIELD}.{id}");
            let known = id.parse::<u32>().ok().zip(token(&self.path, &field, Some(value))?);
            tokens.push(known.ok_or_else(|| self.wrong(&field, "the id of a token, and the token", value))?);
        }
        tokens.sort_by_key(|(id, _)| *id);
        tokenizer
            .add_tokens(tokens.iter().map(|(_, token)| token.clone()))
            .map_err(failed("adding tokens"))?;
        for (id, token) in tokens {
            let got = tokenizer.token_to_id(&token.content);
            if got != Some(id) {
                let got = got.map_or_else(|| "none".to_owned(), |got| got.to_string());
                let expected =
                    format!("{got}, the id of {:?} in tokenizer.json and after what it has", token.content);
                return Err(self.wrong(&format!("{FIELD}.{id}"), &expected, &json!(id)));
            }
        }
        Ok(())
    }

    /// Special tokens without a role of every model: under names of their own, or in a list.
    fn further(&self) -> Result<Vec<AddedToken>> {
        let mut found = Vec::new();
        for (field, value) in &self.config {
            let own = field.ends_with("_token") && !ROLES.contains(&field.as_str());
            if own && (value.is_string() || value.is_object()) {
                found.extend(token(&self.path, field, Some(value))?);
            }
        }
        for field in ["additional_special_tokens", "extra_special_tokens"] {
            let (path, value) = self.value(field);
            match value {
                None | Some(Value::Null) => {}
                Some(Value::Array(list)) => {
                    for value in list {
                        found.extend(token(path, field, Some(value))?);
                    }
                }
                Some(Value::Object(named)) => {
                    for (name, value) in named {
                        found.extend(token(path, &format!("{field}.{name}"), Some(value))?);
                    }
                }
                Some(other) => {
                    return Err(wrong(path, field, "a list of tokens, or tokens by their names", other));
                }
            }
        }
        Ok(found)
    }

    /// Refuses switches that ask for something else than the tokenizer does.
    fn check(&self, tokenizer: &Tokenizer) -> Result<()> {
        for field in OFF {
            if self.switch(field)? == Some(true) {
                return Err(self.unsupported(field));
            }
        }
        // The reference leaves BPE alone: what this takes away is no trace of tokens there.
        let cleans = self.switch("clean_up_tokenization_spaces")? == Some(true);
        if cleans && !matches!(tokenizer.get_model(), ModelWrapper::BPE(_)) {
            return Err(self.unsupported("clean_up_tokenization_spaces"));
        }
        for field in ["add_bos_token", "add_eos_token"] {
            self.switch(field)?;
        }
        Ok(())
    }

    /// Adds a space before texts, or none, where the tokenizer's class reads that it is to be otherwise than in `tokenizer.json`.
    fn space(&self, tokenizer: &mut Tokenizer) -> Result<()> {
        const FIELD: &str = "add_prefix_space";
        let does = adds_space(tokenizer);
        let Some(asked) = self.switch(FIELD)?.filter(|asked| *asked != does) else { return Ok(()) };
        // What is wrong with the model's own file is told when the model is loaded.
        let model = read_object(&self.path.with_file_name("config.json")).unwrap_or_default();
        let named = self.config.get("tokenizer_class").filter(|class| class.is_string());
        let class = named.or(model.get("tokenizer_class")).and_then(Value::as_str);
        let model_type = model.get("model_type").and_then(Value::as_str);
        let Some(reader) = Reader::of(class, model_type, tokenizer) else { return Ok(()) };
        let legacy = self.switch("legacy")? == Some(true);
        if !reader.set(tokenizer, asked, legacy)? {
            let expected =
                format!("{does}, which is what tokenizer.json does: its parts are not those of the class");
            return Err(self.wrong(FIELD, &expected, &json!(asked)));
        }
        Ok(())
    }

    /// A field that is on, off, or says nothing.
    fn switch(&self, field: &str) -> Result<Option<bool>> {
        match self.config.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(on)) => Ok(Some(*on)),
            Some(other) => Err(self.wrong(field, "true or false", other)),
        }
    }

    fn wrong(&self, field: &str, expected: &str, got: &Value) -> Error {
        wrong(&self.path, field, expected, got)
    }

    fn unsupported(&self, field: &str) -> Error {
        Error::UnsupportedConfig {
            path: Some(self.path.clone()),
            field: field.to_owned(),
            value: "true".to_owned(),
        }
    }
}

pub(super) fn wrong(path: &Path, field: &str, expected: &str, got: &Value) -> Error {
    Error::InvalidConfig {
        path: Some(path.to_owned()),
        field: field.to_owned(),
        expected: expected.to_owned(),
        got: got.to_string(),
    }
}

/// Absent, null, or a special token as a text or as an object with its `content` and flags.
fn token(path: &Path, field: &str, value: Option<&Value>) -> Result<Option<AddedToken>> {
    const EXPECTED: &str =
        "the text of a token, or an object with its `content` and true or false for its flags";
    let value = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => return Ok(Some(AddedToken::from(text.as_str(), true))),
        Some(value) => value,
    };
    let flag = |name: &str, default: bool| match value.get(name) {
        None => Some(default),
        Some(value) => value.as_bool(),
    };
    let read = || {
        // In the list of added tokens each says whether it is special; a token in a role is.
        let special = flag("special", !field.starts_with("added_tokens_decoder"))?;
        let mut token = AddedToken::from(value.get("content")?.as_str()?, special);
        token.normalized = flag("normalized", token.normalized)?;
        token.single_word = flag("single_word", false)?;
        token.lstrip = flag("lstrip", false)?;
        token.rstrip = flag("rstrip", false)?;
        Some(token)
    };
    read().map(Some).ok_or_else(|| wrong(path, field, EXPECTED, value))
}

/// Adds those that are no added tokens yet, though the vocabulary may have them: then they keep their ids.
fn add_missing(tokenizer: &mut Tokenizer, tokens: Vec<AddedToken>) -> Result<()> {
    let known = tokenizer.get_added_vocabulary().get_vocab();
    let missing: Vec<_> = tokens.into_iter().filter(|token| !known.contains_key(&token.content)).collect();
    tokenizer.add_tokens(missing).map_err(failed("adding tokens"))?;
    Ok(())
}
