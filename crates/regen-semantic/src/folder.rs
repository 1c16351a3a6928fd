//! The layout of a sentence-transformers folder: which modules follow the transformer, how long a text may be, and which
//! prompts it knows. Both the older files (up to sentence-transformers 4) and those of version 6 are read.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::fields::{Fields, read_object, read_text};
use crate::{Error, Result};

/// How the vectors of a text's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The first token's.
    Cls,
    /// Their mean.
    Mean,
    /// Their sum over the square root of their number.
    MeanSqrtLen,
    /// Their componentwise maximum.
    Max,
    /// The last token's.
    LastToken,
    /// Their mean weighted by position, counted from 1.
    WeightedMean,
}

/// The modes' names of today, the older flags, and the order in which flags are concatenated.
const MODES: [(&str, &str, Pooling); 6] = [
    ("cls", "pooling_mode_cls_token", Pooling::Cls),
    ("max", "pooling_mode_max_tokens", Pooling::Max),
    ("mean", "pooling_mode_mean_tokens", Pooling::Mean),
    ("mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
    ("weightedmean", "pooling_mode_weightedmean_tokens", Pooling::WeightedMean),
    ("lasttoken", "pooling_mode_lasttoken", Pooling::LastToken),
];

/// A module after pooling.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tail {
    Normalize,
    /// A dense layer in this folder.
    Dense(PathBuf),
}

/// What the folder says beside the transformer itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    /// Concatenated in this order.
    pub(crate) pooling: Vec<Pooling>,
    /// False: tokens of the prompt are computed but not pooled.
    pub(crate) include_prompt: bool,
    pub(crate) tail: Vec<Tail>,
    /// Longest text in tokens, special ones included; the rest is cut.
    pub(crate) max_tokens: Option<i64>,
    pub(crate) lowercase: bool,
    /// Name and text.
    pub(crate) prompts: Vec<(String, String)>,
    pub(crate) default_prompt: Option<String>,
}

/// Where the length limit may stand, by the names that the library had for its transformers; the first that exists counts.
const LIMITS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// The file of the length limit, or where it would be.
pub(crate) fn limits_path(dir: &Path) -> PathBuf {
    let mut paths = LIMITS.iter().map(|name| dir.join(name));
    paths.find(|path| path.exists()).unwrap_or_else(|| dir.join(LIMITS[0]))
}

impl Layout {
    /// Reads `modules.json` and the files that it and the folder name; `width` is that of a token's vector.
    pub(crate) fn load(dir: &Path, width: i64) -> Result<Self> {
        let path = dir.join("modules.json");
        let modules: Vec<Map<String, Value>> = serde_json::from_str(&read_text(&path)?)
            .map_err(|source| Error::Json { path: path.clone(), source })?;
        let unsupported = |field: String, value: &str| Error::UnsupportedConfig {
            path: path.clone(),
            field,
            value: value.to_owned(),
        };
        let (mut pooling, mut tail) = (None, Vec::new());
        for (index, module) in modules.into_iter().enumerate() {
            let Module { below, kind } = Module::read(&path, index, module)?;
            // The class's last name is the same in all versions of the library; its package moved. A class of another
            // library may be called the same and compute something else.
            let name = match kind.strip_prefix("sentence_transformers.") {
                Some(rest) => rest.rsplit('.').next().unwrap_or(rest),
                None => return Err(unsupported(format!("[{index}].type"), &kind)),
            };
            let folder = dir.join(&below);
            match (index, name) {
                (0, "Transformer") if below.is_empty() => {}
                (0, "Transformer") => return Err(unsupported("[0].path".into(), &below)),
                (1, "Pooling") => pooling = Some(load_pooling(&folder.join("config.json"), width)?),
                (2.., "Normalize") => {
                    check_names(&folder.join("config.json"))?;
                    tail.push(Tail::Normalize);
                }
                (2.., "Dense") => tail.push(Tail::Dense(folder)),
                _ => return Err(unsupported(format!("[{index}].type"), &kind)),
            }
        }
        let Some((pooling, include_prompt)) = pooling else {
            return Err(unsupported("[1].type".into(), "nothing, where a pooling is expected"));
        };
        let (max_tokens, lowercase) = load_limits(&limits_path(dir))?;
        let (prompts, default_prompt) = load_prompts(&dir.join("config_sentence_transformers.json"))?;
        Ok(Self { pooling, include_prompt, tail, max_tokens, lowercase, prompts, default_prompt })
    }
}

/// An entry of `modules.json`.
struct Module {
    /// Its folder within the model's.
    below: String,
    /// Its class.
    kind: String,
}

impl Module {
    /// Reads entry `index`, refusing what an entry says beside its name, its folder and its class.
    fn read(path: &Path, index: usize, entry: Map<String, Value>) -> Result<Self> {
        let named = |(field, value)| (format!("[{index}].{field}"), value);
        let mut fields = Fields { path, values: entry.into_iter().map(named).collect() };
        let below = fields.text(&format!("[{index}].path"))?;
        let kind = fields.text(&format!("[{index}].type"))?;
        let harmless = ["idx", "name"].map(|field| format!("[{index}].{field}"));
        fields.finish_except(&harmless.each_ref().map(String::as_str))?;
        Ok(Self { below, kind })
    }
}

fn load_pooling(path: &Path, width: i64) -> Result<(Vec<Pooling>, bool)> {
    let mut fields = Fields { path, values: read_object(path)? };
    for field in ["embedding_dimension", "word_embedding_dimension"] {
        fields.allow(field, &[&width.to_string()])?;
    }
    let include_prompt = fields.flag("include_prompt")?.unwrap_or(true);
    let mut flags = Vec::new();
    for (_, flag, mode) in MODES {
        if let Some(on) = fields.flag(flag)? {
            flags.push((flag, mode, on));
        }
    }
    let named = fields.values.remove("pooling_mode");
    fields.finish_except(&[])?;
    let unsupported = |value: String| Error::UnsupportedConfig {
        path: path.to_owned(),
        field: "pooling_mode".into(),
        value,
    };
    let by_name = |value: &Value| {
        let found = MODES.iter().find(|(name, _, _)| value.as_str() == Some(name));
        found.map(|(_, _, mode)| *mode).ok_or_else(|| unsupported(value.to_string()))
    };
    let modes: Vec<Pooling> = match named {
        None => {
            let flagged: Vec<_> = flags.iter().filter(|(_, _, on)| *on).map(|(_, mode, _)| *mode).collect();
            if flagged.is_empty() { vec![Pooling::Mean] } else { flagged }
        }
        Some(named) => {
            let modes = match &named {
                Value::Array(names) => names.iter().map(by_name).collect::<Result<_>>()?,
                name => vec![by_name(name)?],
            };
            // Both spellings may be there, but must say the same: which one counts depends on the library's version.
            if let Some((flag, mode, on)) = flags.iter().find(|(_, mode, on)| *on != modes.contains(mode)) {
                return Err(Error::InvalidConfig {
                    path: path.to_owned(),
                    field: (*flag).to_owned(),
                    value: on.to_string(),
                    expected: format!("{}, as its pooling_mode {named} says", modes.contains(mode)),
                });
            }
            modes
        }
    };
    if modes.is_empty() { Err(unsupported("[]".into())) } else { Ok((modes, include_prompt)) }
}

/// Normalize may say which vectors it reads and writes; only the sentence's own exist here. The file may be absent.
fn check_names(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let mut fields = Fields { path, values: read_object(path)? };
    fields.allow("module_input_name", &["sentence_embedding"])?;
    fields.allow("module_output_name", &["sentence_embedding", "null"])?;
    fields.finish_except(&[])
}

/// The length limit and whether texts are lower-cased before the tokenizer. The file may be absent.
fn load_limits(path: &Path) -> Result<(Option<i64>, bool)> {
    if !path.exists() {
        return Ok((None, false));
    }
    let mut fields = Fields { path, values: read_object(path)? };
    let max_tokens = match fields.values.get("max_seq_length") {
        None | Some(Value::Null) => {
            fields.values.remove("max_seq_length");
            None
        }
        Some(_) => Some(fields.positive("max_seq_length")?),
    };
    let lowercase = fields.flag("do_lower_case")?.unwrap_or(false);
    fields.allow("transformer_task", &["feature-extraction"])?;
    fields.allow("module_output_name", &["token_embeddings"])?;
    let modality =
        serde_json::json!({"text": {"method": "forward", "method_output_name": "last_hidden_state"}});
    fields.allow("modality_config", &[&modality.to_string()])?;
    // Without flash attention the reference ignores it; here padding never takes part anyway.
    fields.finish_except(&["unpad_inputs"])?;
    Ok((max_tokens, lowercase))
}

type Prompts = (Vec<(String, String)>, Option<String>);

/// The prompts and the name of the one that is put before every text. The file may be absent.
fn load_prompts(path: &Path) -> Result<Prompts> {
    if !path.exists() {
        return Ok((Vec::new(), None));
    }
    let mut fields = Fields { path, values: read_object(path)? };
    let mut prompts = Vec::new();
    match fields.values.remove("prompts") {
        None | Some(Value::Null) => {}
        Some(Value::Object(named)) => {
            for (name, text) in named {
                match text {
                    // The reference reads null as "no prompt".
                    Value::Null => {}
                    Value::String(text) => prompts.push((name, text)),
                    other => return Err(fields.invalid("prompts", &other.to_string(), "texts".into())),
                }
            }
        }
        Some(other) => return Err(fields.invalid("prompts", &other.to_string(), "an object".into())),
    }
    let default_prompt = match fields.values.remove("default_prompt_name") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => match prompts.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Some(text.clone()),
            None => return Err(fields.invalid("default_prompt_name", &name, "one of its prompts".into())),
        },
        Some(other) => {
            return Err(fields.invalid("default_prompt_name", &other.to_string(), "a name".into()));
        }
    };
    // The similarity is for those who compare vectors; it does not change them.
    fields.allow("truncate_dim", &["null"])?;
    fields.finish_except(&["__version__", "model_type", "similarity_fn_name"])?;
    Ok((prompts, default_prompt))
}
