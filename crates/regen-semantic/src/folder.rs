//! The layout of a sentence-transformers folder: which modules follow the transformer, and how long a text may be.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::config::{read_object, read_text};
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

/// What the folder says beside the transformer itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    pub(crate) pooling: Pooling,
    pub(crate) normalize: bool,
    /// Longest text in tokens, special ones included; the rest is cut.
    pub(crate) max_tokens: Option<i64>,
    pub(crate) lowercase: bool,
}

#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Layout {
    /// Reads `modules.json`, `1_Pooling/config.json`, `sentence_bert_config.json` and
    /// `config_sentence_transformers.json`.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("modules.json");
        let modules: Vec<Module> = serde_json::from_str(&read_text(&path)?)
            .map_err(|source| Error::Json { path: path.clone(), source })?;
        let unsupported = |field: String, value: &str| Error::UnsupportedConfig {
            path: path.clone(),
            field,
            value: value.to_owned(),
        };
        let (mut pooling, mut normalize) = (None, false);
        for (index, module) in modules.iter().enumerate() {
            // The class's last name is the same in all versions of the library; its package moved.
            let name = module.kind.rsplit('.').next().unwrap_or(&module.kind);
            match (index, name) {
                (0, "Transformer") if module.path.is_empty() => {}
                (1, "Pooling") => pooling = Some(load_pooling(&dir.join(&module.path).join("config.json"))?),
                (2, "Normalize") => normalize = true,
                _ => return Err(unsupported(format!("[{index}].type"), &module.kind)),
            }
        }
        let Some(pooling) = pooling else {
            return Err(unsupported("[1].type".into(), "nothing, where a pooling is expected"));
        };
        let (max_tokens, lowercase) = load_limits(&dir.join("sentence_bert_config.json"))?;
        check_prompts(&dir.join("config_sentence_transformers.json"))?;
        Ok(Self { pooling, normalize, max_tokens, lowercase })
    }
}

fn load_pooling(path: &Path) -> Result<Pooling> {
    const MODES: [(&str, Pooling); 6] = [
        ("pooling_mode_cls_token", Pooling::Cls),
        ("pooling_mode_mean_tokens", Pooling::Mean),
        ("pooling_mode_max_tokens", Pooling::Max),
        ("pooling_mode_mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
        ("pooling_mode_weightedmean_tokens", Pooling::WeightedMean),
        ("pooling_mode_lasttoken", Pooling::LastToken),
    ];
    let fields = read_object(path)?;
    let on = |field: &str| fields.get(field).and_then(Value::as_bool).unwrap_or(false);
    let mut chosen = MODES.iter().filter(|(field, _)| on(field));
    match (chosen.next(), chosen.next()) {
        (Some((_, mode)), None) => Ok(*mode),
        (first, second) => Err(Error::UnsupportedConfig {
            path: path.to_owned(),
            field: "pooling_mode_*".into(),
            value: match (first, second) {
                (Some((a, _)), Some((b, _))) => format!("both {a} and {b}"),
                _ => "none of the known modes".into(),
            },
        }),
    }
}

/// The length limit and whether texts are lower-cased before the tokenizer. The file may be absent.
fn load_limits(path: &Path) -> Result<(Option<i64>, bool)> {
    if !path.exists() {
        return Ok((None, false));
    }
    let fields = read_object(path)?;
    let max_tokens = match fields.get("max_seq_length") {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_i64().filter(|&n| n > 0).ok_or_else(|| Error::InvalidConfig {
            path: path.to_owned(),
            field: "max_seq_length".into(),
            value: value.to_string(),
            expected: "a positive integer".into(),
        })?),
    };
    Ok((max_tokens, fields.get("do_lower_case").and_then(Value::as_bool).unwrap_or(false)))
}

/// A default prompt would be put before every text; prompts that are only named change nothing by themselves.
fn check_prompts(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    match read_object(path)?.get("default_prompt_name") {
        None | Some(Value::Null) => Ok(()),
        Some(value) => Err(Error::UnsupportedConfig {
            path: path.to_owned(),
            field: "default_prompt_name".into(),
            value: value.to_string(),
        }),
    }
}
