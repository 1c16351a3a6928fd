//! Which language model a narrator is made around: one that is trained from nothing, or one that has been trained.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use regen_lm::{LoraConfig, LoraTargets};
use regen_narrator::PromptWords;
use serde::Serialize;

/// Flags that choose it.
#[derive(Debug, Clone, Args)]
pub struct LanguageModelArgs {
    /// preset:NAME, trained from nothing (1m, 2m, 3m, 10m, 26m), or the Hugging Face folder of one that has been trained.
    #[arg(long, default_value = "preset:2m")]
    pub lm: String,
    /// Rank of low-rank updates beside a trained language model, which then stays as it is; 0 to train all of it.
    #[arg(long, default_value_t = 0)]
    pub lora_rank: i64,
    /// Their alpha [default: twice the rank].
    #[arg(long)]
    pub lora_alpha: Option<f64>,
    /// Share of their inputs that training drops.
    #[arg(long, default_value_t = 0.0)]
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
    /// Peak learning rate of the language model; the adapter's is three times that
    /// [default: 3e-3 from nothing, 1e-3 with low-rank updates, 3e-4 for all of a trained one].
    #[arg(long)]
    pub learning_rate: Option<f64>,
}

impl LanguageModelArgs {
    /// The name of a preset, or the folder.
    pub fn name(&self) -> &str {
        self.lm.strip_prefix("preset:").unwrap_or(&self.lm)
    }

    /// The peak learning rate.
    pub fn rate(&self) -> f64 {
        self.learning_rate.unwrap_or(match (folder(self.name()), self.lora_rank) {
            (None, _) => 3e-3,
            (Some(_), 0) => 3e-4,
            (Some(_), _) => 1e-3,
        })
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

/// The folder that `name` is, if it is one and not a preset.
pub fn folder(name: &str) -> Option<&Path> {
    let path = Path::new(name);
    path.is_dir().then_some(path)
}
