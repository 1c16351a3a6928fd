//! Which language model a narrator is made around: one that is trained from nothing, or one that has been trained.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use regen_lm::{DecoderConfig, LoraConfig, LoraTargets};
use regen_narrator::PromptWords;
use serde::Serialize;

use crate::cli::positive;

/// Flags that choose it.
#[derive(Debug, Clone, Args)]
pub struct LanguageModelArgs {
    /// preset:NAME, trained from nothing (1m, 2m, 3m, 10m, 26m), or the Hugging Face folder of one that has been trained.
    #[arg(long, default_value = "preset:2m")]
    pub lm: String,
    /// Rank of low-rank updates beside a trained language model, which then stays as it is; 0 to train all of it.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub lora_rank: i64,
    /// Their alpha [default: twice the rank].
    #[arg(long, value_parser = positive)]
    pub lora_alpha: Option<f64>,
    /// Share of their inputs that training drops.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub lora_dropout: f64,
    /// Projections that get them, such as q_proj,v_proj [default: all].
    #[arg(long, value_delimiter = ',')]
    pub lora_targets: Vec<String>,
    /// TOML file with the words of the prompts for a trained language model: history, last, text, and a table of kinds
    /// [default: plain English].
    #[arg(long)]
    pub words: Option<PathBuf>,
    /// Put the words into the chat format of a trained language model, by its own template.
    #[arg(long)]
    pub chat: bool,
    /// What the system says in that format.
    #[arg(long, requires = "chat")]
    pub system: Option<String>,
    /// Peak learning rate of the language model, or of its low-rank updates
    /// [default: 3e-3 from nothing, 1e-3 with low-rank updates, 1e-4 for all of a trained one].
    #[arg(long, value_parser = positive)]
    pub learning_rate: Option<f64>,
    /// Peak learning rate of the adapter [default: three times that of the language model; beside all of a trained one 3e-3, since
    /// the adapter has learned nothing yet].
    #[arg(long, value_parser = positive)]
    pub adapter_learning_rate: Option<f64>,
}

/// Reads a number from 0 up to, and without, 1.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..1.0).contains(&number) => Ok(number),
        _ => Err("not a number of at least 0 and below 1".to_owned()),
    }
}

impl LanguageModelArgs {
    /// The name of a preset, or the folder.
    pub fn name(&self) -> &str {
        self.lm.strip_prefix("preset:").unwrap_or(&self.lm)
    }

    /// What the flags ask for and the language model cannot do; `None` where it can. Only a trained one is adapted or asked in words.
    pub fn conflict(&self) -> Option<String> {
        if folder(self.name()).is_some() {
            return None;
        }
        let asked = [
            (self.lora_rank > 0, "--lora-rank leaves the language model as it is"),
            (self.words.is_some(), "--words are for a language model that can read"),
            (self.chat, "--chat is for a language model that has a chat template"),
        ];
        let (_, asked) = asked.into_iter().find(|(given, _)| *given)?;
        Some(format!("{asked}, and {} has learned nothing yet", self.lm))
    }

    /// The shape of the language model, of `vocabulary` tokens if it is trained from nothing.
    ///
    /// # Errors
    /// For a name that is neither a preset nor a folder, and for a folder without a usable configuration.
    pub fn decoder(&self, vocabulary: i64) -> Result<DecoderConfig> {
        match folder(self.name()) {
            Some(folder) => DecoderConfig::from_hf(folder)
                .with_context(|| format!("{} is not a language model's folder", folder.display())),
            None => DecoderConfig::preset(self.name(), vocabulary)
                .with_context(|| format!("--lm {} is no folder either", self.lm)),
        }
    }

    /// The peak learning rate of the language model.
    pub fn rate(&self) -> f64 {
        self.learning_rate.unwrap_or(match self.start() {
            Start::Nothing => 3e-3,
            // Updates start as nothing, and take about ten times the rate of weights that have learned.
            Start::Updates => 1e-3,
            Start::Trained => 1e-4,
        })
    }

    /// The peak learning rate of the adapter.
    pub fn adapter_rate(&self) -> f64 {
        self.adapter_learning_rate.unwrap_or(match self.start() {
            Start::Nothing | Start::Updates => 3.0 * self.rate(),
            // It begins as new as beside updates, however slowly the language model may move.
            Start::Trained => 3e-3,
        })
    }

    fn start(&self) -> Start {
        match (folder(self.name()), self.lora_rank) {
            (None, _) => Start::Nothing,
            (Some(_), 0) => Start::Trained,
            (Some(_), _) => Start::Updates,
        }
    }

    /// What is trained beside a language model that stays as it is.
    ///
    /// # Errors
    /// For low-rank updates of one that has learned nothing.
    pub fn lora(&self) -> Result<Option<LoraConfig>> {
        if self.lora_rank == 0 {
            return Ok(None);
        }
        if folder(self.name()).is_none() {
            bail!("--lora-rank leaves the language model as it is, and {} has learned nothing yet", self.lm);
        }
        let usual = low_rank(self.lora_rank);
        Ok(Some(LoraConfig {
            alpha: self.lora_alpha.unwrap_or(usual.alpha),
            dropout: self.lora_dropout,
            targets: match &self.lora_targets[..] {
                [] => LoraTargets::All,
                names => LoraTargets::Named(names.to_vec()),
            },
            ..usual
        }))
    }

    /// The chat format that was asked for.
    ///
    /// # Errors
    /// If the language model is trained from nothing.
    pub fn chat_format(&self) -> Result<Option<ChatFormat>> {
        if self.chat && folder(self.name()).is_none() {
            bail!("--chat is for a language model that has a chat template, and {} has none", self.lm);
        }
        Ok(self.chat.then(|| ChatFormat { system: self.system.clone() }))
    }

    /// The words of the prompts, where a file gives them.
    ///
    /// # Errors
    /// If it cannot be read, or the language model is trained from nothing.
    pub fn prompt_words(&self) -> Result<Option<PromptWords>> {
        let Some(path) = &self.words else { return Ok(None) };
        if folder(self.name()).is_none() {
            bail!("--words are for a language model that can read, and {} has learned nothing yet", self.lm);
        }
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let words =
            toml::from_str(&text).with_context(|| format!("{} is not a table of words", path.display()))?;
        Ok(Some(words))
    }
}

/// What moves of a language model, and from where.
enum Start {
    /// All, from random weights.
    Nothing,
    /// All, from weights that have learned.
    Trained,
    /// Low-rank updates beside these.
    Updates,
}

/// Updates of all projections, of that rank, with an alpha of twice the rank.
pub fn low_rank(rank: i64) -> LoraConfig {
    LoraConfig {
        rank,
        alpha: 2.0 * rank as f64,
        rank_stabilised: false,
        dropout: 0.0,
        targets: LoraTargets::All,
    }
}

/// A chat model's format for the words of prompts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChatFormat {
    /// What the system says before the user does.
    pub system: Option<String>,
}

/// The folder that `name` is, if it is one and not a preset: a folder of that name is `./NAME`.
pub fn folder(name: &str) -> Option<&Path> {
    let path = Path::new(name);
    // Any vocabulary will do to ask whether there is such a preset.
    (DecoderConfig::preset(name, 2048).is_err() && path.is_dir()).then_some(path)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        lm: LanguageModelArgs,
    }

    fn args(more: &[&str]) -> LanguageModelArgs {
        Program::try_parse_from([&["program"], more].concat()).unwrap().lm
    }

    #[test]
    fn what_has_learned_moves_more_slowly_and_its_new_adapter_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap();
        let rates = |more: &[&str]| (args(more).rate(), args(more).adapter_rate());
        let close = |(a, b): (f64, f64), (c, d): (f64, f64)| (a - c).abs() < 1e-12 && (b - d).abs() < 1e-12;
        assert!(close(rates(&[]), (3e-3, 9e-3)));
        assert!(close(rates(&["--lm", folder]), (1e-4, 3e-3)));
        assert!(close(rates(&["--lm", folder, "--lora-rank", "8"]), (1e-3, 3e-3)));
        // What is given is taken.
        assert!(close(rates(&["--learning-rate", "2e-4"]), (2e-4, 6e-4)));
        let both = ["--lm", folder, "--learning-rate", "2e-4", "--adapter-learning-rate", "5e-4"];
        assert!(close(rates(&both), (2e-4, 5e-4)));
    }

    #[test]
    fn numbers_that_cannot_be_are_refused_with_the_flags() {
        for line in [
            ["--lora-rank", "-1"],
            ["--lora-dropout", "1"],
            ["--lora-alpha", "nan"],
            ["--learning-rate", "0"],
            ["--adapter-learning-rate", "-1e-3"],
        ] {
            assert!(Program::try_parse_from([&["program"], &line[..]].concat()).is_err(), "{line:?}");
        }
        assert!(args(&["--lora-rank", "2"]).conflict().is_some_and(|told| told.contains("learned nothing")));
        assert!(args(&["--lm", "preset:9m"]).decoder(300).is_err());
        assert!(args(&["--lm", "no/such/folder"]).decoder(300).is_err());
    }
}
