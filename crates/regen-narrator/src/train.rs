//! Training adapter and language model together on the narrative's tokens.

use std::ops::ControlFlow;

use rand::seq::SliceRandom;
use regen_fusion::Sources;
use regen_lm::train::{AdamW, AdamWConfig, ParameterGroup, Schedule, clip_gradients};
use regen_torch::seed::{self, ChaCha8Rng};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::narrator::stream;
use crate::next_item::NextItemTraining;
use crate::prompt::{Padding, Sequence};
use crate::{Error, Example, ItemTable, Narrator, Result};

/// How a narrator is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Updates.
    pub steps: u64,
    /// Examples per update.
    pub batch: usize,
    /// Peak rate of the language model, and of what copies from a passage.
    pub learning_rate: f64,
    /// Peak rate of the adapter.
    pub adapter_learning_rate: f64,
    /// Updates over which the rates rise from zero; afterwards they fall along a cosine.
    pub warmup_steps: u64,
    /// Where the cosine ends, as a share of the peak.
    pub final_rate: f64,
    /// Decoupled decay of matrices; vectors are not decayed.
    pub weight_decay: f64,
    /// Gradients with a larger global norm are scaled down to it.
    pub clip_norm: f64,
    /// Updates between two looks at the validation loss.
    pub evaluate_every: u64,
    /// Seed of the order of examples.
    pub seed: u64,
    /// Whether, and how, the next purchase is learned beside the narrative. The narrator must be made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_item: Option<NextItemTraining>,
    /// What of the narrator moves.
    #[serde(default, skip_serializing_if = "Trains::is_all")]
    pub trains: Trains,
    /// Looks at the validation loss without a new best after which training ends; `None` to do all updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
    /// How fast the item tables themselves move.
    #[serde(default, skip_serializing_if = "TableRates::is_none")]
    pub tables: TableRates,
}

/// What of a narrator a stage of training moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trains {
    /// Everything.
    #[default]
    All,
    /// The adapter alone, with what tells the next item and with tables that have a rate: the language model, and what copies
    /// from a passage, stay as they are. A first stage that teaches new soft tokens to speak to a language model that knows.
    Adapter,
}

impl Trains {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// Peak rates at which item tables are trained with the rest: the factorisation's and the encoder's vectors are then where they
/// start from, not what they stay. A side without a rate does not move.
///
/// Every update touches the whole table, so this is for tables of some hundred thousand items, not of millions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableRates {
    /// Of the collaborative vectors.
    pub cf: Option<f64>,
    /// Of the semantic vectors.
    pub semantic: Option<f64>,
}

impl TableRates {
    /// Whether no table moves.
    pub fn is_none(&self) -> bool {
        self.cf.is_none() && self.semantic.is_none()
    }
}

/// One point of a loss curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossPoint {
    /// Updates done.
    pub step: u64,
    /// Nats per narrative token: mean over the updates since the last point, or over the validation examples.
    pub loss: f64,
}

/// Told after every update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainProgress {
    /// Updates done.
    pub step: u64,
    /// Updates in all.
    pub steps: u64,
    /// Loss of this update's batch.
    pub loss: f64,
    /// The latest validation loss, if there was one.
    pub validation_loss: Option<f64>,
    /// Positions computed so far, soft tokens and padding included.
    pub positions: u64,
}

/// What a training run did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Training loss.
    pub training: Vec<LossPoint>,
    /// Loss of the next item in training, in nats a purchase; empty where it was not learned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next_item: Vec<LossPoint>,
    /// Validation loss; empty when there were no validation examples.
    pub validation: Vec<LossPoint>,
    /// The update whose weights the narrator now has: the one with the lowest validation loss, or the last.
    pub kept_step: u64,
    /// Whether the caller stopped it before the last update.
    pub stopped: bool,
    /// Whether it ended before the last update because the validation loss no longer fell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended_early: bool,
    /// Narrative tokens that the loss counted.
    pub narrative_tokens: u64,
    /// Positions computed, soft tokens and padding included.
    pub positions: u64,
}

impl Narrator {
    /// Trains on `training`, looks at `validation` every `evaluate_every` updates, and keeps the weights of the
    /// lowest validation loss. With no validation examples the last weights stay.
    ///
    /// `progress` is told after every update; when it breaks, training ends cleanly with the best weights so far.
    /// The same inputs, seed and thread count give the same weights on the CPU.
    ///
    /// # Errors
    /// [`Error::NoExamples`], [`Error::InvalidConfig`], [`Error::NoNextItem`], [`Error::NonFiniteLoss`], and those of laying out the
    /// requests.
    pub fn train(
        &mut self,
        training: &[Example],
        validation: &[Example],
        config: &TrainConfig,
        progress: &mut dyn FnMut(TrainProgress) -> ControlFlow<()>,
    ) -> Result<TrainReport> {
        check(config)?;
        if training.is_empty() {
            return Err(Error::NoExamples { which: "training" });
        }
        if config.patience.is_some() && validation.is_empty() {
            return Err(Error::NoExamples { which: "validation" });
        }
        if config.trains == Trains::Adapter && self.adapter.is_none() {
            return Err(Error::NoAdapter);
        }
        self.move_tables(config)?;
        if config.trains == Trains::Adapter {
            self.lm_vs.freeze();
            self.copy_vs.freeze();
        }
        let report = self.update(training, validation, config, progress);
        self.lm_vs.unfreeze();
        self.copy_vs.unfreeze();
        self.fix_tables();
        report
    }

    fn update(
        &mut self,
        training: &[Example],
        validation: &[Example],
        config: &TrainConfig,
        progress: &mut dyn FnMut(TrainProgress) -> ControlFlow<()>,
    ) -> Result<TrainReport> {
        let sequences = self.sequences(training)?;
        let held_out = self.sequences(validation)?;
        let trainable = self.trainable();
        let mut optimizer = self.optimizer(config)?;
        let schedule = Schedule::WarmupCosine {
            warmup_steps: config.warmup_steps,
            total_steps: config.steps,
            floor: config.final_rate,
        };
        let mut batches = Batches::new(&sequences, config);
        let mut negatives = seed::rng(config.seed, stream::NEGATIVES);
        let mut best = Best::default();
        let mut report = TrainReport {
            training: Vec::new(),
            next_item: Vec::new(),
            validation: Vec::new(),
            kept_step: 0,
            stopped: false,
            ended_early: false,
            narrative_tokens: 0,
            positions: 0,
        };
        let (mut since, mut next_since) = (Mean::default(), Mean::default());
        for step in 1..=config.steps {
            let chosen = batches.next();
            let rows: Vec<&Sequence> = chosen.iter().map(|&index| &sequences[index]).collect();
            let batch = self.batch(&rows, Padding::Right)?;
            let (mut loss, next) = self.batch_losses(&batch, config.next_item, &mut negatives)?;
            let value = loss.double_value(&[]);
            let mut whole = value;
            if let (Some(next), Some(training)) = (next, config.next_item) {
                let next_value = next.loss.double_value(&[]);
                if next.places > 0 {
                    next_since.add(next_value);
                }
                whole += training.weight * next_value;
                loss += next.loss * training.weight;
            }
            if !whole.is_finite() {
                let text = training[chosen[0]].text.chars().take(60).collect();
                return Err(Error::NonFiniteLoss { step, loss: whole, text });
            }
            optimizer.zero_gradients();
            loss.backward();
            clip_gradients(optimizer.tensors(), config.clip_norm, step)?;
            optimizer.step(schedule.factor(step - 1))?;
            report.positions += batch.ids.numel() as u64;
            report.narrative_tokens += rows.iter().map(|row| row.answer_len() as u64).sum::<u64>();
            since.add(value);

            if step % config.evaluate_every == 0 || step == config.steps {
                report.training.extend(since.take().map(|loss| LossPoint { step, loss }));
                report.next_item.extend(next_since.take().map(|loss| LossPoint { step, loss }));
                if !held_out.is_empty() {
                    let loss = self.mean_loss(&held_out, config.batch)?;
                    report.validation.push(LossPoint { step, loss });
                    best.offer(step, loss, &trainable);
                }
            }
            let told = TrainProgress {
                step,
                steps: config.steps,
                loss: value,
                validation_loss: report.validation.last().map(|point| point.loss),
                positions: report.positions,
            };
            report.kept_step = step;
            if progress(told).is_break() {
                report.stopped = step < config.steps;
                break;
            }
            if config.patience.is_some_and(|patience| best.misses >= patience) {
                report.ended_early = step < config.steps;
                break;
            }
        }
        if let Some(step) = best.restore(&trainable) {
            report.kept_step = step;
        }
        Ok(report)
    }

    fn optimizer(&self, config: &TrainConfig) -> Result<AdamW> {
        let mut groups = Vec::new();
        // Tables are data more than weights: nothing pulls them towards zero.
        for (prefix, learning_rate, weight_decay) in [
            ("adapter.", config.adapter_learning_rate, config.weight_decay),
            ("copy.", config.learning_rate, config.weight_decay),
            ("lm.", config.learning_rate, config.weight_decay),
            ("next.", config.learning_rate, config.weight_decay),
            ("tables.cf", config.tables.cf.unwrap_or_default(), 0.0),
            ("tables.semantic", config.tables.semantic.unwrap_or_default(), 0.0),
        ] {
            // Nothing flows back to what tells the next item where that is not learned.
            let moves = prefix != "next." || config.next_item.is_some();
            let named = self.trainable().into_iter();
            let tensors: Vec<_> = named.filter(|(name, _)| moves && name.starts_with(prefix)).collect();
            if !tensors.is_empty() {
                let name = prefix.trim_end_matches('.').to_owned();
                groups.push(ParameterGroup { name, tensors, learning_rate, weight_decay });
            }
        }
        Ok(AdamW::new(groups, AdamWConfig::default())?)
    }

    /// Lets the tables that have a rate take gradients.
    fn move_tables(&self, config: &TrainConfig) -> Result<()> {
        let sources = self.adapter.as_ref().map(|adapter| adapter.config().sources);
        let sides = [
            ("tables.cf", config.tables.cf, sources.is_some_and(Sources::cf), self.tables.cf()),
            (
                "tables.semantic",
                config.tables.semantic,
                sources.is_some_and(Sources::semantic),
                self.tables.semantic(),
            ),
        ];
        for (field, rate, read, table) in sides {
            let stored = table.is_some_and(ItemTable::is_stored);
            let refuse = |expected| {
                let got = rate.map_or_else(String::new, |rate| rate.to_string());
                Err(Error::InvalidConfig { field, got, expected })
            };
            match rate {
                None => {}
                Some(rate) if !(rate.is_finite() && rate > 0.0) => return refuse("a positive number"),
                Some(_) if !read => return refuse("none, since the adapter does not read that side"),
                Some(_) if stored => {
                    return refuse("none, since tables on disk cannot change: open them in memory");
                }
                Some(_) => {}
            }
        }
        if config.next_item.is_some() && self.next_item.is_none() {
            return Err(Error::NoNextItem);
        }
        for (side, table) in self.tables.sides() {
            let rate = if side == "cf" { config.tables.cf } else { config.tables.semantic };
            if let Some(vectors) = table.in_memory() {
                let _ = vectors.set_requires_grad(rate.is_some());
            }
        }
        Ok(())
    }

    fn fix_tables(&self) {
        for (_, table) in self.tables.sides() {
            if let Some(vectors) = table.in_memory() {
                let _ = vectors.set_requires_grad(false);
            }
        }
    }
}

/// A mean since it was last asked for.
#[derive(Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn take(&mut self) -> Option<f64> {
        let Self { sum, count } = std::mem::take(self);
        (count > 0).then(|| sum / count as f64)
    }
}

fn check(config: &TrainConfig) -> Result<()> {
    let refuse = |field, got: String, expected| Err(Error::InvalidConfig { field, got, expected });
    for (field, value) in
        [("steps", config.steps), ("batch", config.batch as u64), ("evaluate_every", config.evaluate_every)]
    {
        if value == 0 {
            return refuse(field, "0".into(), "at least 1");
        }
    }
    for (field, value) in [
        ("learning_rate", config.learning_rate),
        ("adapter_learning_rate", config.adapter_learning_rate),
        ("clip_norm", config.clip_norm),
    ] {
        if !(value.is_finite() && value > 0.0) {
            return refuse(field, value.to_string(), "a positive number");
        }
    }
    if config.patience == Some(0) {
        return refuse("patience", "0".into(), "at least 1");
    }
    if let Some(next) = config.next_item
        && !(next.weight.is_finite() && next.weight > 0.0)
    {
        return refuse("next_item.weight", next.weight.to_string(), "a positive number");
    }
    Ok(())
}

/// An endless, seeded order of batches of similar length.
///
/// Each epoch shuffles all examples, sorts runs of [`Batches::POOL`] batches by length, cuts them, and shuffles the
/// batches: little padding is computed, and no batch is tied to a length for good.
struct Batches<'a> {
    sequences: &'a [Sequence],
    batch: usize,
    rng: ChaCha8Rng,
    queue: Vec<Vec<usize>>,
}

impl<'a> Batches<'a> {
    const POOL: usize = 32;

    fn new(sequences: &'a [Sequence], config: &TrainConfig) -> Self {
        let rng = seed::rng(config.seed, stream::BATCHES);
        Self { sequences, batch: config.batch, rng, queue: Vec::new() }
    }

    fn next(&mut self) -> Vec<usize> {
        loop {
            if let Some(batch) = self.queue.pop() {
                return batch;
            }
            let mut order: Vec<usize> = (0..self.sequences.len()).collect();
            order.shuffle(&mut self.rng);
            for pool in order.chunks_mut(self.batch * Self::POOL) {
                pool.sort_by_key(|&index| self.sequences[index].len());
                self.queue.extend(pool.chunks(self.batch).map(<[usize]>::to_vec));
            }
            self.queue.shuffle(&mut self.rng);
        }
    }
}

/// The weights of the lowest validation loss so far.
#[derive(Default)]
struct Best {
    step: u64,
    loss: Option<f64>,
    weights: Vec<Tensor>,
    /// Offers since that were no better.
    misses: u64,
}

impl Best {
    fn offer(&mut self, step: u64, loss: f64, trainable: &[(String, Tensor)]) {
        self.misses += 1;
        if self.loss.is_none_or(|best| loss < best) {
            self.misses = 0;
            self.step = step;
            self.loss = Some(loss);
            self.weights = trainable.iter().map(|(_, variable)| variable.detach().copy()).collect();
        }
    }

    fn restore(self, trainable: &[(String, Tensor)]) -> Option<u64> {
        self.loss?;
        tch::no_grad(|| {
            for ((_, variable), weight) in trainable.iter().zip(&self.weights) {
                variable.shallow_clone().copy_(weight);
            }
        });
        Some(self.step)
    }
}
