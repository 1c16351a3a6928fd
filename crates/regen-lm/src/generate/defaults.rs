//! How a model's makers want it to write: `generation_config.json`.

use std::num::NonZeroUsize;
use std::path::Path;

use serde_json::{Value, json};

use super::beam::{BeamEnd, BeamOptions};
use super::options::{GenerateOptions, Sampling};
use crate::config::DecoderConfig;
use crate::error::{Error, Result};
use crate::families::{Fields, read_object};

const FILE: &str = GenerationDefaults::FILE;

/// What transformers cuts to where a file says nothing.
const TOP_K: i64 = 50;

/// Keys that change nothing about which tokens are written after a prompt.
const NEUTRAL: &[&str] = &[
    "_from_model_config",
    "assistant_confidence_threshold",
    "assistant_early_exit",
    "assistant_lookbehind",
    "bos_token_id",
    "cache_config",
    "compile_config",
    "decoder_start_token_id",
    "disable_compile",
    "is_assistant",
    "max_cache_len",
    "max_matching_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_scores",
    "pad_token_id",
    "prefill_chunk_size",
    "prompt_lookup_num_tokens",
    "return_dict_in_generate",
    "return_legacy_cache",
    "target_lookbehind",
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
    /// Most tokens of a prompt and what is written after it, together. Where it is given, it counts instead of
    /// `options.max_new_tokens`; [`after`](Self::after) makes the one of the other.
    pub max_length: Option<usize>,
}

impl GenerationDefaults {
    /// The name of the file.
    pub const FILE: &str = "generation_config.json";

    /// Reads the file of a Hugging Face folder, with the meaning that transformers gives it: what it leaves out has the defaults
    /// there (a `top_k` of 50 where tokens are drawn), numbers that only draws need say nothing where nothing is drawn, those of
    /// beams nothing where there is one beam, and `max_length` nothing beside `max_new_tokens`. Stop ids come from `config` where
    /// the file names none, and where it says nothing of lengths, `max_new_tokens` is that of [`GenerateOptions::default`]. Without
    /// the file, writing is greedy.
    ///
    /// # Errors
    /// [`Error::UnsupportedConfig`] for a field that would change what is written and is not implemented,
    /// [`Error::InvalidConfig`] for one of another type or out of its range, both with the file; [`Error::Io`], [`Error::Json`].
    pub fn load(dir: &Path, config: &DecoderConfig) -> Result<Self> {
        let absent = || Self { options: plain(config), beam: None, max_length: None };
        Ok(Self::find(dir, config)?.unwrap_or_else(absent))
    }

    /// As [`load`](Self::load), and `None` without the file: for callers to whom its absence does not mean greedy writing.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn find(dir: &Path, config: &DecoderConfig) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let fields = Fields::new(&path, read_object(&path)?);
        Self::read(fields, plain(config)).map(Some).map_err(Error::of_file(&path))
    }

    fn read(mut fields: Fields<'_>, plain: GenerateOptions) -> Result<Self> {
        let stop = match fields.take("eos_token_id") {
            None | Some(Value::Null) => plain.stop,
            Some(value) => {
                ids(&value).ok_or_else(|| wrong("eos_token_id", "an id or a list of ids", &value))?
            }
        };
        if let Some(id) = stop.iter().find(|id| **id < 0) {
            return Err(wrong("eos_token_id", "ids, at least 0", id));
        }
        let drawn = fields.boolean("do_sample", false)?;
        let sampling = read_sampling(&mut fields, drawn)?;
        let more = positive(&mut fields, "max_new_tokens")?;
        let together = positive(&mut fields, "max_length")?;
        let repetition_penalty = fields.number("repetition_penalty", 1.0)?;
        if repetition_penalty <= 0.0 {
            return Err(wrong("repetition_penalty", "above 0", repetition_penalty));
        }
        let ngram = fields.optional_integer("no_repeat_ngram_size")?.unwrap_or(0);
        let options = GenerateOptions {
            max_new_tokens: more.unwrap_or(plain.max_new_tokens),
            sampling,
            stop,
            repetition_penalty,
            no_repeat_ngram: usize::try_from(ngram)
                .map_err(|_| wrong("no_repeat_ngram_size", "a count, or 0 for any", ngram))?,
            ..GenerateOptions::default()
        };
        let beam = read_beam(&mut fields, drawn)?;
        if let Some(text) = fields.optional_text("cache_implementation")?.filter(|text| text == "quantized") {
            return Err(unsupported("cache_implementation", text));
        }
        for (field, off) in [
            ("diversity_penalty", json!(0)),
            ("encoder_no_repeat_ngram_size", json!(0)),
            ("encoder_repetition_penalty", json!(1)),
            ("epsilon_cutoff", json!(0)),
            ("eta_cutoff", json!(0)),
            ("guidance_scale", json!(1)),
            ("min_length", json!(0)),
            ("min_new_tokens", json!(0)),
            ("num_beam_groups", json!(1)),
            ("typical_p", json!(1)),
        ] {
            fields.expect(field, &off)?;
        }
        fields.finish_with(|field| NEUTRAL.contains(&field))?;
        Ok(Self { options, beam, max_length: together.filter(|_| more.is_none()) })
    }

    /// The options for prompts of at most so many tokens.
    ///
    /// # Errors
    /// [`Error::TooLong`] if `max_length` leaves no room for a new token.
    pub fn after(&self, prompt_tokens: usize) -> Result<GenerateOptions> {
        let mut options = self.options.clone();
        if let Some(most) = self.max_length {
            let room = most.checked_sub(prompt_tokens).filter(|room| *room > 0);
            options.max_new_tokens = room.ok_or(Error::TooLong {
                tokens: i64::try_from(prompt_tokens).unwrap_or(i64::MAX).saturating_add(1),
                max_positions: i64::try_from(most).unwrap_or(i64::MAX),
            })?;
        }
        Ok(options)
    }

    /// Writes the file into a folder, so that transformers writes as these options do.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, dir: &Path) -> Result<()> {
        let options = &self.options;
        let mut file = json!({
            "eos_token_id": options.stop,
            "repetition_penalty": options.repetition_penalty,
            "no_repeat_ngram_size": options.no_repeat_ngram,
        });
        match self.max_length {
            Some(most) => file["max_length"] = json!(most),
            None => file["max_new_tokens"] = json!(options.max_new_tokens),
        }
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
        std::fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
        crate::files::write(&dir.join(FILE), format!("{file:#}\n").as_bytes())
    }
}

/// Greedy, and ended by what `config.json` says.
fn plain(config: &DecoderConfig) -> GenerateOptions {
    GenerateOptions { stop: config.special.eos.clone(), ..GenerateOptions::default() }
}

fn wrong(field: &str, expected: &str, got: impl ToString) -> Error {
    Error::InvalidConfig {
        path: None,
        field: field.to_owned(),
        expected: expected.to_owned(),
        got: got.to_string(),
    }
}

fn unsupported(field: &str, value: impl Into<String>) -> Error {
    Error::UnsupportedConfig { path: None, field: field.to_owned(), value: value.into() }
}

/// An absent or null field, or the count it holds, at least 1.
fn positive(fields: &mut Fields<'_>, field: &str) -> Result<Option<usize>> {
    let Some(count) = fields.optional_integer(field)? else { return Ok(None) };
    usize::try_from(count)
        .ok()
        .filter(|count| *count > 0)
        .map(Some)
        .ok_or_else(|| wrong(field, "a whole number, at least 1", count))
}

/// How tokens are chosen. Ranges are checked where something is drawn: greedy files keep a temperature of 0, for instance.
fn read_sampling(fields: &mut Fields<'_>, drawn: bool) -> Result<Sampling> {
    let temperature = fields.number("temperature", 1.0)?;
    let top_k = fields.optional_integer("top_k")?.unwrap_or(TOP_K);
    let top_p = fields.number("top_p", 1.0)?;
    let min_p = fields.number("min_p", 0.0)?;
    if !drawn {
        return Ok(Sampling::Greedy);
    }
    if temperature <= 0.0 {
        return Err(wrong("temperature", "above 0, or `do_sample` false for greedy writing", temperature));
    }
    let top_k = usize::try_from(top_k).map_err(|_| wrong("top_k", "a count, or 0 for all", top_k))?;
    if !(top_p > 0.0 && top_p <= 1.0) {
        return Err(wrong("top_p", "above 0 and at most 1", top_p));
    }
    if !(0.0..=1.0).contains(&min_p) {
        return Err(wrong("min_p", "at least 0 and at most 1", min_p));
    }
    Ok(Sampling::Sample {
        temperature,
        top_k: NonZeroUsize::new(top_k),
        top_p: Some(top_p).filter(|share| *share < 1.0),
        min_p: Some(min_p).filter(|share| *share > 0.0),
    })
}

/// Beams, where there is more than one.
fn read_beam(fields: &mut Fields<'_>, drawn: bool) -> Result<Option<BeamOptions>> {
    let beams = positive(fields, "num_beams")?.unwrap_or(1);
    let keep = positive(fields, "num_return_sequences")?.unwrap_or(1);
    let length_penalty = fields.number("length_penalty", 1.0)?;
    let end = match fields.take("early_stopping") {
        None | Some(Value::Null | Value::Bool(false)) => BeamEnd::NoBetterNow,
        Some(Value::Bool(true)) => BeamEnd::Full,
        Some(Value::String(text)) if text == "never" => BeamEnd::NeverBetter,
        Some(other) => return Err(wrong("early_stopping", "true, false or \"never\"", other)),
    };
    if beams > 1 && drawn {
        return Err(unsupported("do_sample", "true, with beams"));
    }
    if drawn && keep > 1 {
        return Err(unsupported("num_return_sequences", format!("{keep}, where tokens are drawn")));
    }
    if keep > beams {
        return Err(wrong("num_return_sequences", &format!("at most {beams}, the number of beams"), keep));
    }
    Ok((beams > 1).then_some(BeamOptions { beams, keep, length_penalty, end }))
}

fn ids(value: &Value) -> Option<Vec<i64>> {
    match value {
        Value::Array(list) => list.iter().map(Value::as_i64).collect(),
        one => Some(vec![one.as_i64()?]),
    }
}
