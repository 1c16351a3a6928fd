//! What every arm of a comparison has in common: language model, stages of training, lengths.

use anyhow::{Result, ensure};
use regen_fusion::{AdapterConfig, AdapterKind};
use regen_lm::{DecoderConfig, LoraConfig};
use regen_narrator::{
    InjectionConfig, Memory, PassageConfig, PromptWords, TableRates, TrainConfig, TrainPrecision, Trains,
};
use serde::Serialize;

use crate::given::Given;
use crate::inputs::{Inputs, Scaling};
use crate::language_model::{ChatFormat, folder};

/// What every arm of a comparison has in common.
#[derive(Debug, Clone, Serialize)]
pub struct Budget {
    /// Preset of the language model, trained from scratch, or the folder of one that has been trained.
    pub lm: String,
    /// Low-rank updates beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
    /// The words of its prompts, where it has been trained; plain English without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<PromptWords>,
    /// Whether they stand in the chat format of the trained language model, and after what its system says, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat: Option<ChatFormat>,
    /// Size of the BPE vocabulary, where it is trained from scratch.
    pub vocabulary: usize,
    /// Before the narratives: training of adapter and language model on the catalogue alone.
    pub reading: Option<TrainConfig>,
    /// Between the two: training of the adapter alone on what follows, the language model as the catalogue left it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter_stage: Option<TrainConfig>,
    /// Training of adapter and language model on the narratives, and on the catalogue where it is read.
    pub training: TrainConfig,
    /// Soft tokens of an item.
    #[serde(skip_serializing_if = "is_one")]
    pub tokens_per_item: i64,
    /// Blocks of the language model before which soft tokens are added to its states as well, where an arm has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injection: Option<InjectionConfig>,
    /// What is read beside the vectors of items, as far as an arm can.
    #[serde(skip_serializing_if = "Inputs::is_none")]
    pub inputs: Inputs,
    /// How these are scaled.
    #[serde(skip_serializing_if = "Scaling::is_usual")]
    pub scaling: Scaling,
    /// How the vectors of reviews are scaled, where they are among the inputs.
    #[serde(skip_serializing_if = "Scaling::is_usual")]
    pub review_scaling: Scaling,
    /// Longest history.
    pub max_history: usize,
    /// Longest narrative in tokens.
    pub max_narrative_tokens: usize,
    /// A narrative never holds the same run of this many tokens twice; 0 allows it.
    pub no_repeat_ngram: usize,
    /// How an arm that is given text reads it.
    pub passage: PassageConfig,
    /// Narratives written at once.
    pub write_batch: usize,
}

/// Refuses an adapter, or lengths, that a language model of this shape cannot have, whatever the data. The widths of vectors are not
/// known yet.
///
/// # Errors
/// If it cannot.
pub fn check_lengths(
    given: Given,
    kind: AdapterKind,
    budget: &Budget,
    decoder: &DecoderConfig,
) -> Result<()> {
    let adapter = given.vectors.map(|sources| AdapterConfig {
        sources,
        kind,
        normalisation: budget.scaling.normalisation(),
        cf_dim: 1,
        semantic_dim: 1,
        hidden: decoder.hidden(),
        tokens_per_item: budget.tokens_per_item,
        initial_rms: decoder.initializer_range,
        details: budget.inputs.details,
        user: budget.inputs.of(sources).user,
    });
    let mut positions = budget.max_narrative_tokens as i64;
    if let Some(adapter) = &adapter {
        adapter.validate()?;
        let history = match adapter.tokens_per_history() {
            0 => (budget.max_history as i64).saturating_mul(adapter.tokens_per_item),
            fixed => fixed,
        };
        let others = adapter.tokens_per_item + adapter.tokens_per_user();
        positions = positions.saturating_add(history).saturating_add(others);
    }
    if given.text {
        positions = positions.saturating_add(budget.passage.max_tokens as i64);
    }
    // Words of the prompt beside these are few, and counted where the narrator is made.
    ensure!(
        positions < decoder.max_positions(),
        "prompts with their narratives take more than {positions} positions, and the language model has {}: read shorter histories, or \
         make fewer soft tokens of an item",
        decoder.max_positions()
    );
    Ok(())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_one(count: &i64) -> bool {
    *count == 1
}

impl Budget {
    /// Puts `steps` updates of the adapter alone before the training of all. What else is trained, such as item tables and the next
    /// purchase, is as it is then in [`training`](Self::training): say that first.
    #[must_use]
    pub fn with_adapter_stage(mut self, steps: u64) -> Self {
        self.adapter_stage = (steps > 0).then(|| TrainConfig {
            steps,
            warmup_steps: (steps / 20).max(1),
            evaluate_every: (steps / 10).max(1),
            trains: Trains::Adapter,
            ..self.training.clone()
        });
        self
    }

    /// Trains every stage with what saves memory.
    #[must_use]
    pub fn with_memory(mut self, memory: Memory) -> Self {
        self.stages().for_each(|stage| stage.memory = memory);
        self
    }

    /// Trains the language model of every stage in these numbers.
    #[must_use]
    pub fn with_precision(mut self, precision: TrainPrecision) -> Self {
        self.stages().for_each(|stage| stage.precision = precision);
        self
    }

    /// Trains the adapter of every stage at this peak rate instead of three times the language model's.
    #[must_use]
    pub fn with_adapter_rate(mut self, rate: f64) -> Self {
        self.stages().for_each(|stage| stage.adapter_learning_rate = rate);
        self
    }

    /// Refuses numbers that no stage can be trained with.
    ///
    /// # Errors
    /// If there are any.
    pub fn validate(&self) -> regen_narrator::Result<()> {
        let stages = [self.reading.as_ref(), self.adapter_stage.as_ref(), Some(&self.training)];
        stages.into_iter().flatten().try_for_each(TrainConfig::validate)
    }

    fn stages(&mut self) -> impl Iterator<Item = &mut TrainConfig> {
        [Some(&mut self.training), self.reading.as_mut(), self.adapter_stage.as_mut()].into_iter().flatten()
    }

    /// The budget of `lm` with `steps` updates on narratives after `reading_steps` on the catalogue alone.
    ///
    /// `batch` is in examples per update, `learning_rate` the language model's; the adapter's is three times that.
    pub fn new(
        lm: &str,
        steps: u64,
        reading_steps: u64,
        batch: usize,
        learning_rate: f64,
        seed: u64,
    ) -> Self {
        let training = TrainConfig {
            steps,
            batch,
            learning_rate,
            adapter_learning_rate: 3.0 * learning_rate,
            warmup_steps: (steps / 20).max(1),
            final_rate: 0.05,
            weight_decay: 0.05,
            clip_norm: 1.0,
            evaluate_every: (steps / 10).max(1),
            seed,
            next_item: None,
            trains: Trains::All,
            patience: None,
            tables: TableRates::default(),
            memory: Memory::default(),
            precision: TrainPrecision::default(),
        };
        // Item texts are short and without a history, so twice as many fit into an update of the same cost.
        let reading = (reading_steps > 0).then(|| TrainConfig {
            steps: reading_steps,
            batch: 2 * batch,
            warmup_steps: (reading_steps / 20).max(1),
            evaluate_every: (reading_steps / 10).max(1),
            // A catalogue has no purchases.
            next_item: None,
            ..training.clone()
        });
        Self {
            lm: lm.to_owned(),
            lora: None,
            words: None,
            chat: None,
            vocabulary: 2048,
            max_history: 50,
            max_narrative_tokens: 96,
            // Only small models that read real catalogues repeat themselves so much that it is worth the constraint.
            no_repeat_ngram: if reading_steps > 0 { 4 } else { 0 },
            // A language model that has been trained copies by itself.
            passage: PassageConfig { max_tokens: 96, copy_width: if folder(lm).is_some() { 0 } else { 64 } },
            write_batch: 32,
            reading,
            adapter_stage: None,
            training,
            tokens_per_item: 1,
            injection: None,
            inputs: Inputs::default(),
            scaling: Scaling::default(),
            review_scaling: Scaling::default(),
        }
    }
}
