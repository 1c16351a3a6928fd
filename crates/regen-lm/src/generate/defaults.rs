//! How a model's makers want it to write: `generation_config.json`.

use std::num::NonZeroUsize;
use std::path::Path;

use serde_json::{Value, json};

use super::beam::{BeamEnd, BeamOptions};
use super::options::{GenerateOptions, Sampling};
use crate::config::DecoderConfig;
use crate::error::{Error, Result};
use crate::families::{Fields, read_object};

const FILE: &str = "generation_config.json";

/// What transformers cuts to where a file says nothing.
const TOP_K: i64 = 50;

/// Keys that change nothing about which tokens are written after a prompt.
const NEUTRAL: &[&str] = &[
    "_from_model_config",
    "bos_token_id",
    "cache_config",
    "cache_implementation",
    "compile_config",
    "decoder_start_token_id",
    "disable_compile",
    "is_assistant",
    "max_matching_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "pad_token_id",
    "prefill_chunk_size",
    "prompt_lookup_num_tokens",
    "return_dict_in_generate",
    "transformers_version",
    "trust_remote_code",
    "use_cache",
];

/// How a folder's `generation_config.json` writes.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationDefaults {
    /// Sampling, penalties and stop ids.
    pub options: GenerateOptions,
    /// Where it asks for more than one beam.
    pub beam: Option<BeamOptions>,
}

impl GenerationDefaults {
    /// Reads the file of a Hugging Face folder, with the meaning that transformers gives it: what it leaves out has the defaults
    /// there (a `top_k` of 50 where tokens are drawn), and stop ids come from `config` where it names none. Without the file,
    /// writing is greedy.
    ///
    /// # Errors
    /// [`Error::UnsupportedConfig`] for a field that would change what is written and is not implemented,
    /// [`Error::InvalidConfig`], [`Error::Io`], [`Error::Json`].
    pub fn load(dir: &Path, config: &DecoderConfig) -> Result<Self> {
        let path = dir.join(FILE);
        let plain = GenerateOptions { stop: config.special.eos.clone(), ..GenerateOptions::default() };
        if !path.exists() {
            return Ok(Self { options: plain, beam: None });
        }
        let mut fields = Fields::new(&path, read_object(&path)?);
        let wrong = |field: &str, expected: &str, got: String| Error::InvalidConfig {
            field: field.to_owned(),
            expected: expected.to_owned(),
            got,
        };
        let stop = match fields.take("eos_token_id") {
            None | Some(Value::Null) => plain.stop,
            Some(value) => ids(&value)
                .ok_or_else(|| wrong("eos_token_id", "an id or a list of ids", value.to_string()))?,
        };
        if let Some(id) = stop.iter().find(|id| **id < 0) {
            return Err(wrong("eos_token_id", "ids, at least 0", id.to_string()));
        }
        let drawn = fields.boolean("do_sample", false)?;
        let temperature = fields.number("temperature", 1.0)?;
        let top_k = fields.optional_integer("top_k")?.unwrap_or(TOP_K);
        let top_p = fields.optional_number("top_p")?.filter(|share| *share < 1.0);
        let min_p = fields.optional_number("min_p")?.filter(|share| *share > 0.0);
        let sampling = if drawn {
            let top_k = usize::try_from(top_k)
                .map_err(|_| wrong("top_k", "a count, or 0 for all", top_k.to_string()))?;
            Sampling::Sample { temperature, top_k: NonZeroUsize::new(top_k), top_p, min_p }
        } else {
            Sampling::Greedy
        };
        let count = |field: &str, value: i64| {
            usize::try_from(value).map_err(|_| wrong(field, "a count", value.to_string()))
        };
        let ngram = fields.optional_integer("no_repeat_ngram_size")?.unwrap_or(0);
        let more = fields.optional_integer("max_new_tokens")?;
        // Counts the prompt, which is not known here.
        fields.take("max_length");
        let options = GenerateOptions {
            max_new_tokens: match more {
                Some(more) => count("max_new_tokens", more)?,
                None => plain.max_new_tokens,
            },
            sampling,
            stop,
            repetition_penalty: fields.number("repetition_penalty", 1.0)?,
            no_repeat_ngram: count("no_repeat_ngram_size", ngram)?,
            ..GenerateOptions::default()
        };
        options.validate(0)?;
        let beams = count("num_beams", fields.optional_integer("num_beams")?.unwrap_or(1))?;
        let keep =
            count("num_return_sequences", fields.optional_integer("num_return_sequences")?.unwrap_or(1))?;
        let length_penalty = fields.number("length_penalty", 1.0)?;
        let end = match fields.take("early_stopping") {
            None | Some(Value::Null | Value::Bool(false)) => BeamEnd::NoBetterNow,
            Some(Value::Bool(true)) => BeamEnd::Full,
            Some(Value::String(text)) if text == "never" => BeamEnd::NeverBetter,
            Some(other) => {
                return Err(wrong("early_stopping", "true, false or \"never\"", other.to_string()));
            }
        };
        let beam = (beams > 1).then_some(BeamOptions { beams, keep, length_penalty, end });
        if beam.is_some() && drawn {
            let value = "true, with beams".to_owned();
            return Err(Error::UnsupportedConfig { field: "do_sample".to_owned(), value });
        }
        for (field, off) in [
            ("diversity_penalty", json!(0.0)),
            ("encoder_no_repeat_ngram_size", json!(0)),
            ("encoder_repetition_penalty", json!(1.0)),
            ("epsilon_cutoff", json!(0.0)),
            ("eta_cutoff", json!(0.0)),
            ("min_length", json!(0)),
            ("num_beam_groups", json!(1)),
            ("typical_p", json!(1.0)),
        ] {
            fields.expect(field, &off)?;
        }
        fields.finish_with(|field| NEUTRAL.contains(&field))?;
        Ok(Self { options, beam })
    }

    /// Writes the file into a folder, so that transformers writes as these options do.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, dir: &Path) -> Result<()> {
        let options = &self.options;
        let mut file = json!({
            "eos_token_id": options.stop,
            "max_new_tokens": options.max_new_tokens,
            "repetition_penalty": options.repetition_penalty,
            "no_repeat_ngram_size": options.no_repeat_ngram,
        });
        match &options.sampling {
            Sampling::Greedy => file["do_sample"] = json!(false),
            Sampling::Sample { temperature, top_k, top_p, min_p } => {
                file["do_sample"] = json!(true);
                file["temperature"] = json!(temperature);
                file["top_k"] = json!(top_k.map_or(0, NonZeroUsize::get));
                file["top_p"] = json!(top_p.unwrap_or(1.0));
                if let Some(min_p) = min_p {
                    file["min_p"] = json!(min_p);
                }
            }
        }
        if let Some(beam) = &self.beam {
            file["num_beams"] = json!(beam.beams);
            file["num_return_sequences"] = json!(beam.keep);
            file["length_penalty"] = json!(beam.length_penalty);
            file["early_stopping"] = match beam.end {
                BeamEnd::Full => json!(true),
                BeamEnd::NoBetterNow => json!(false),
                BeamEnd::NeverBetter => json!("never"),
            };
        }
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        crate::files::write(&dir.join(FILE), format!("{file:#}\n").as_bytes())
    }
}

fn ids(value: &Value) -> Option<Vec<i64>> {
    match value {
        Value::Array(list) => list.iter().map(Value::as_i64).collect(),
        one => Some(vec![one.as_i64()?]),
    }
}
