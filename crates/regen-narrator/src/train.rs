//! Training adapter and language model together on the narrative's tokens.

use std::ops::ControlFlow;

use rand::seq::SliceRandom;
use regen_lm::train::{AdamW, AdamWConfig, ParameterGroup, Schedule, clip_gradients};
use regen_torch::seed::{self, ChaCha8Rng};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::narrator::stream;
use crate::prompt::{Padding, Sequence};
use crate::{Error, Example, Narrator, Result};

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
    /// Validation loss; empty when there were no validation examples.
    pub validation: Vec<LossPoint>,
    /// The update whose weights the narrator now has: the one with the lowest validation loss, or the last.
    pub kept_step: u64,
    /// Whether the caller stopped it before the last update.
    pub stopped: bool,
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
    /// [`Error::NoExamples`], [`Error::InvalidConfig`], [`Error::NonFiniteLoss`], and those of laying out the
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
        let mut best = Best::default();
        let mut report = TrainReport {
            training: Vec::new(),
            validation: Vec::new(),
            kept_step: 0,
            stopped: false,
            narrative_tokens: 0,
            positions: 0,
        };
        let (mut since, mut since_count) = (0.0, 0u64);
        for step in 1..=config.steps {
            let chosen = batches.next();
            let rows: Vec<&Sequence> = chosen.iter().map(|&index| &sequences[index]).collect();
            let batch = self.batch(&rows, Padding::Right)?;
            let loss = self.batch_loss(&batch)?;
            let value = loss.double_value(&[]);
            if !value.is_finite() {
                let text = training[chosen[0]].text.chars().take(60).collect();
                return Err(Error::NonFiniteLoss { step, loss: value, text });
            }
            optimizer.zero_gradients();
            loss.backward();
            clip_gradients(optimizer.tensors(), config.clip_norm, step)?;
            optimizer.step(schedule.factor(step - 1))?;
            report.positions += batch.ids.numel() as u64;
            report.narrative_tokens += rows.iter().map(|row| row.answer_len() as u64).sum::<u64>();
            (since, since_count) = (since + value, since_count + 1);

            if step % config.evaluate_every == 0 || step == config.steps {
                report.training.push(LossPoint { step, loss: since / since_count as f64 });
                (since, since_count) = (0.0, 0);
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
        }
        if let Some(step) = best.restore(&trainable) {
            report.kept_step = step;
        }
        Ok(report)
    }

    fn optimizer(&self, config: &TrainConfig) -> Result<AdamW> {
        let mut groups = Vec::new();
        for (prefix, learning_rate) in [
            ("adapter.", config.adapter_learning_rate),
            ("copy.", config.learning_rate),
            ("lm.", config.learning_rate),
        ] {
            let named = self.trainable().into_iter();
            let tensors: Vec<_> = named.filter(|(name, _)| name.starts_with(prefix)).collect();
            if !tensors.is_empty() {
                let name = prefix.trim_end_matches('.').to_owned();
                groups.push(ParameterGroup {
                    name,
                    tensors,
                    learning_rate,
                    weight_decay: config.weight_decay,
                });
            }
        }
        Ok(AdamW::new(groups, AdamWConfig::default())?)
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
}

impl Best {
    fn offer(&mut self, step: u64, loss: f64, trainable: &[(String, Tensor)]) {
        if self.loss.is_none_or(|best| loss < best) {
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
