//! How texts are written: what flags say, what a narrator's bundle or a model's folder does, and an account of who said what.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};
use regen_lm::{BeamOptions, CacheStorage, GenerateOptions, Sampling, Storage};
use regen_narrator::{Narrator, Said, SaidBy, WritingDefaults};
use serde::Serialize;

use crate::cli::{at_least_one, positive, probability};

/// Flags that say how narratives are written. What they leave out the narrator's bundle says, then the folder of its language model.
#[derive(Debug, Clone, Default, Args)]
pub struct WritingArgs {
    /// Longest narrative in tokens [default: as in training].
    #[arg(long, value_parser = at_least_one())]
    pub max_tokens: Option<usize>,
    /// A narrative never holds the same run of this many tokens twice; 0 allows it [default: as the bundle says].
    #[arg(long)]
    pub no_repeat_ngram: Option<usize>,
    /// Scores of tokens that a narrative holds already are divided by this, and multiplied below 0; 1 for none [default: as the bundle
    /// says].
    #[arg(long, value_parser = positive)]
    pub repetition_penalty: Option<f64>,
    /// Draw from the model's distribution at this temperature [default: as the bundle says; what train_narrator makes takes the most
    /// probable token].
    #[arg(long, value_parser = positive)]
    pub temperature: Option<f64>,
    /// Draw only from the fewest tokens whose probabilities come to this.
    #[arg(long, value_parser = probability)]
    pub top_p: Option<f64>,
    /// Take the most probable token, whatever bundle or folder say.
    #[arg(long, conflicts_with_all = ["temperature", "top_p"])]
    pub greedy: bool,
    /// Where flags say nothing, write as generation_config.json of the language model's folder says, whatever the bundle does.
    #[arg(long)]
    pub as_folder_says: bool,
}

/// Flags that say in what numbers a processor holds what it writes with.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct RoundingArgs {
    /// How the language model's weights are kept while it writes.
    #[arg(long, value_enum, default_value = "f32")]
    pub weights: Weights,
    /// How keys and values of tokens are kept while it writes. With many narratives at once, or long ones, they are most of the memory.
    #[arg(long, value_enum, default_value = "f32")]
    pub cache: Cache,
}

/// Names of --weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Weights {
    /// As they are.
    #[default]
    F32,
    /// Half the memory; faster where the processor multiplies bfloat16. For writing on a processor.
    Bf16,
    /// A quarter of the memory; for writing on a processor.
    Int8,
}

/// Names of --cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Cache {
    /// As they are computed.
    #[default]
    F32,
    /// Half the memory; for writing on a processor.
    Bf16,
}

impl RoundingArgs {
    /// The first flag that asks for less than f32, with its value: a writer without packed weights would do nothing of the kind.
    pub fn given(self) -> Option<String> {
        match (self.weights, self.cache) {
            (Weights::F32, Cache::F32) => None,
            (Weights::F32, cache) => Some(format!("--cache {}", cache.name())),
            (weights, _) => Some(format!("--weights {}", weights.name())),
        }
    }
}

impl Weights {
    /// As the flag has it.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// As a writer has it.
    pub fn storage(self) -> Storage {
        match self {
            Self::F32 => Storage::F32,
            Self::Bf16 => Storage::Bf16,
            Self::Int8 => Storage::Int8,
        }
    }
}

impl Cache {
    /// As the flag has it.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// As a writer has it.
    pub fn storage(self) -> CacheStorage {
        match self {
            Self::F32 => CacheStorage::F32,
            Self::Bf16 => CacheStorage::Bf16,
        }
    }
}

/// How texts are written, and who says so.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    /// How tokens are chosen.
    pub sampling: Said<Sampling>,
    /// 1 for none.
    pub repetition_penalty: Said<f64>,
    /// 0 for any.
    pub no_repeat_ngram: Said<usize>,
    /// Most tokens of a text. A narrator's bundle says how many it had in training.
    pub max_tokens: Said<usize>,
    /// The folder's beams, where it wants them.
    pub beam: Option<BeamOptions>,
    /// Ids that end a text, beside a narrator's own.
    pub stop: Vec<i64>,
}

impl Settings {
    /// The options that follow.
    pub fn options(&self, seed: u64) -> GenerateOptions {
        GenerateOptions {
            max_new_tokens: self.max_tokens.value,
            sampling: self.sampling.value.clone(),
            stop: self.stop.clone(),
            repetition_penalty: self.repetition_penalty.value,
            no_repeat_ngram: self.no_repeat_ngram.value,
            seed,
            ..GenerateOptions::default()
        }
    }

    /// Whether tokens are drawn.
    pub fn draws(&self) -> bool {
        self.sampling.value != Sampling::Greedy
    }

    /// For people: what is done, and who says so.
    pub fn in_words(&self) -> String {
        let mut parts = vec![match &self.beam {
            Some(beam) => format!("best of {} beams ({})", beam.beams, by(SaidBy::Folder)),
            None => format!("{} ({})", sampling(&self.sampling.value), by(self.sampling.by)),
        }];
        if self.repetition_penalty.value != 1.0 {
            let Said { value, by: who } = self.repetition_penalty;
            parts.push(format!("repetition penalty {value} ({})", by(who)));
        }
        if self.no_repeat_ngram.value > 0 {
            let Said { value, by: who } = self.no_repeat_ngram;
            parts.push(format!("no run of {value} tokens twice ({})", by(who)));
        }
        parts.push(format!("at most {} tokens ({})", self.max_tokens.value, by(self.max_tokens.by)));
        parts.join(", ")
    }
}

fn by(who: SaidBy) -> &'static str {
    match who {
        SaidBy::Caller => "flags",
        SaidBy::Bundle => "bundle",
        SaidBy::Folder => "generation_config.json",
        SaidBy::Library => "default",
    }
}

fn sampling(sampling: &Sampling) -> String {
    let Sampling::Sample { temperature, top_k, top_p, min_p } = sampling else { return "greedy".to_owned() };
    let cuts = [
        top_k.map(|count| format!("top k {count}")),
        top_p.map(|share| format!("top p {share}")),
        min_p.map(|share| format!("min p {share}")),
    ];
    let cuts = cuts.into_iter().flatten().map(|cut| format!(", {cut}")).collect::<String>();
    format!("drawn at temperature {temperature}{cuts}")
}

impl WritingArgs {
    /// How `narrator`, opened from `bundle`, is to write. With --as-folder-says what its bundle says is forgotten.
    ///
    /// # Errors
    /// If the word of a folder is asked for that says nothing, or nothing that can be done.
    pub fn settings(&self, narrator: &mut Narrator, bundle: &Path) -> Result<Settings> {
        if self.as_folder_says {
            match narrator.folder_writing() {
                Ok(Some(_)) => {}
                Ok(None) => bail!(
                    "--as-folder-says: the language model of {} came without a generation_config.json; say how to write by \
                     --temperature and the like",
                    bundle.display()
                ),
                Err(error) => return Err(anyhow!("{error}").context("--as-folder-says")),
            }
            narrator.set_writing(WritingDefaults::default());
        }
        let usual = narrator.writing_settings(&WritingDefaults::default()).sampling.value;
        let asked = WritingDefaults {
            sampling: self.sampling(&usual),
            repetition_penalty: self.repetition_penalty,
            no_repeat_ngram: self.no_repeat_ngram,
        };
        let settings = narrator.writing_settings(&asked);
        // Beams go with what the folder says of choosing tokens, or with nothing.
        let of_folder = asked.sampling.is_none() && narrator.writing().sampling.is_none();
        let folder = narrator.folder_writing().ok().flatten().filter(|_| of_folder);
        let options = narrator.generate_options();
        let trained = Said { value: options.max_new_tokens, by: SaidBy::Bundle };
        Ok(Settings {
            sampling: settings.sampling,
            repetition_penalty: settings.repetition_penalty,
            no_repeat_ngram: settings.no_repeat_ngram,
            max_tokens: self.max_tokens.map_or(trained, |value| Said { value, by: SaidBy::Caller }),
            beam: folder.and_then(|folder| folder.beam),
            stop: options.stop,
        })
    }

    /// What the flags say of choosing tokens, where `usual` is what is done without them: of draws each number by itself.
    fn sampling(&self, usual: &Sampling) -> Option<Sampling> {
        match (usual, self.temperature, self.top_p) {
            _ if self.greedy => Some(Sampling::Greedy),
            (_, None, None) | (Sampling::Greedy, None, Some(_)) => None,
            (Sampling::Greedy, Some(temperature), top_p) => {
                Some(Sampling::Sample { temperature, top_k: None, top_p, min_p: None })
            }
            (Sampling::Sample { temperature, top_k, top_p, min_p }, own_temperature, own_top_p) => {
                Some(Sampling::Sample {
                    temperature: own_temperature.unwrap_or(*temperature),
                    top_k: *top_k,
                    top_p: own_top_p.or(*top_p),
                    min_p: *min_p,
                })
            }
        }
    }
}

/// Bytes that writing takes beside the narrator.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Packed weights, where there are any.
    pub weights: Option<usize>,
    /// Keys and values of as many of the longest prompts as are written at once.
    pub cache: usize,
}

impl Memory {
    /// For people, where so many narratives are written at once.
    pub fn in_words(&self, at_once: usize) -> String {
        let megabytes = |bytes: usize| format!("{:.1} MB", bytes as f64 / 1e6);
        let weights = self.weights.map(|bytes| format!(", packed weights {}", megabytes(bytes)));
        format!(
            "memory: keys and values of {at_once} at once up to {}{}",
            megabytes(self.cache),
            weights.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_change_of_draws_what_they_name_and_make_draws_of_greedy_writing() {
        let top_k = std::num::NonZeroUsize::new(20);
        let folder = Sampling::Sample { temperature: 0.6, top_k, top_p: Some(0.95), min_p: None };
        let flags = |temperature, top_p| WritingArgs { temperature, top_p, ..WritingArgs::default() };
        assert_eq!(flags(None, None).sampling(&folder), None);
        let warmer = Sampling::Sample { temperature: 0.9, top_k, top_p: Some(0.95), min_p: None };
        assert_eq!(flags(Some(0.9), None).sampling(&folder), Some(warmer));
        let fewer = Sampling::Sample { temperature: 0.6, top_k, top_p: Some(0.5), min_p: None };
        assert_eq!(flags(None, Some(0.5)).sampling(&folder), Some(fewer));
        let drawn = Sampling::Sample { temperature: 0.9, top_k: None, top_p: None, min_p: None };
        assert_eq!(flags(Some(0.9), None).sampling(&Sampling::Greedy), Some(drawn));
        assert_eq!(flags(None, Some(0.5)).sampling(&Sampling::Greedy), None);
        let greedy = WritingArgs { greedy: true, ..WritingArgs::default() };
        assert_eq!(greedy.sampling(&folder), Some(Sampling::Greedy));
    }

    #[test]
    fn a_flag_that_rounds_is_named_with_its_value_and_f32_rounds_nothing() {
        let given = |weights, cache| RoundingArgs { weights, cache }.given();
        assert_eq!(RoundingArgs::default().given(), None);
        assert_eq!(given(Weights::Int8, Cache::F32).as_deref(), Some("--weights int8"));
        assert_eq!(given(Weights::F32, Cache::Bf16).as_deref(), Some("--cache bf16"));
        assert_eq!(given(Weights::Bf16, Cache::Bf16).as_deref(), Some("--weights bf16"));
    }

    #[test]
    fn settings_are_told_with_who_said_them() {
        let top_k = std::num::NonZeroUsize::new(20);
        let drawn = Sampling::Sample { temperature: 0.6, top_k, top_p: Some(0.95), min_p: None };
        let settings = Settings {
            sampling: Said { value: drawn, by: SaidBy::Folder },
            repetition_penalty: Said { value: 1.0, by: SaidBy::Library },
            no_repeat_ngram: Said { value: 4, by: SaidBy::Bundle },
            max_tokens: Said { value: 8, by: SaidBy::Caller },
            beam: None,
            stop: vec![2],
        };
        assert_eq!(
            settings.in_words(),
            "drawn at temperature 0.6, top k 20, top p 0.95 (generation_config.json), no run of 4 tokens twice (bundle), at most 8 \
             tokens (flags)"
        );
        let told = serde_json::to_value(&settings).unwrap();
        assert_eq!(told["max_tokens"], serde_json::json!({ "value": 8, "by": "caller" }));
    }
}
