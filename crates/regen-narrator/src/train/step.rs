//! The gradients of one batch, at once or in parts.

use rand::RngExt;
use regen_lm::train::largest_gradients;
use regen_lm::{Computed, DropoutDraw, Recomputed, TrainingKernels};
use regen_torch::seed::{self, ChaCha8Rng};
use tch::Tensor;

use super::config::TrainConfig;
use crate::narrator::stream;
use crate::prompt::{Batch, Padding, Sequence};
use crate::{Error, Narrator, Result, Withheld};

/// What a batch cost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BatchLoss {
    /// Nats per narrative token.
    pub(super) narrative: f64,
    /// Nats per purchase; `None` where no place of the batch tells one.
    pub(super) next_item: Option<f64>,
    /// Positions computed.
    pub(super) positions: u64,
}

impl Narrator {
    /// Kernels for the passes of a run, where there are some and the run wants them.
    pub(super) fn training_kernels(&self, config: &TrainConfig) -> Result<Option<TrainingKernels>> {
        if config.memory.recompute || !config.memory.kernels {
            return Ok(None);
        }
        if self.config.injection.is_some() {
            return Err(Error::InvalidConfig {
                field: "memory.kernels",
                got: "true".into(),
                expected: "false, since the kernels add nothing to the states that enter a block: injection is for libtorch",
            });
        }
        Ok(TrainingKernels::new(&self.decoder)?)
    }

    /// Adds the gradients of a batch's loss to those of the parameters. `step` counts updates from 1.
    pub(super) fn accumulate(
        &self,
        rows: &[&Sequence],
        config: &TrainConfig,
        step: u64,
        negatives: &mut ChaCha8Rng,
        kernels: &mut Option<TrainingKernels>,
    ) -> Result<BatchLoss> {
        let parts: Vec<&[&Sequence]> = rows.chunks(rows.len().div_ceil(config.memory.parts).max(1)).collect();
        let tokens = |rows: &[&Sequence]| rows.iter().map(|row| row.answer_len()).sum::<usize>() as f64;
        let batches = parts
            .iter()
            .map(|part| Ok((self.batch(part, Padding::Right)?, tokens(part) / tokens(rows))))
            .collect::<Result<Vec<_>>>()?;
        let places: usize = batches.iter().map(|(batch, _)| batch.next.places.len()).sum();
        let mut total = BatchLoss::default();
        for (part, (batch, share)) in batches.iter().enumerate() {
            let of_places = batch.next.places.len() as f64 / places.max(1) as f64;
            // From the step alone: a run that is resumed drops what it would have dropped.
            let draw = (step - 1) * config.memory.parts as u64 + part as u64;
            let drops = self.config.lora.as_ref().is_some_and(|lora| lora.dropout > 0.0);
            let dropout =
                drops.then(|| DropoutDraw { seed: seed::rng(config.seed, stream::DROPOUT).random(), draw });
            let mut whole = 0.0;
            let mut loss_of = |pass: &mut Pass<'_>| -> Result<Tensor> {
                let narrative = match pass {
                    // What copies from a passage needs the scores themselves.
                    Pass::Computed(pass) if self.copying.is_none() => {
                        Some(pass.masked_loss(&batch.targets, &batch.loss_mask)?)
                    }
                    _ => None,
                };
                let (narrative, next) =
                    self.losses_of(pass.hidden(), batch, narrative, config.next_item, negatives)?;
                let value = narrative.double_value(&[]) * share;
                (total.narrative, whole) = (total.narrative + value, value);
                let mut loss = narrative * *share;
                if let (Some(next), Some(training)) = (next, config.next_item) {
                    let value = next.loss.double_value(&[]) * of_places;
                    if next.places > 0 {
                        *total.next_item.get_or_insert(0.0) += value;
                    }
                    whole += training.weight * value;
                    loss += next.loss * (training.weight * of_places);
                }
                Ok(loss)
            };
            let embeddings = self.embeddings(batch, Withheld::Nothing)?;
            let mut pass = match kernels {
                Some(kernels) => {
                    Pass::Computed(kernels.forward(&self.decoder, &embeddings.embeds, &batch.mask)?)
                }
                None if config.memory.recompute => {
                    Pass::Recomputed(self.decoder.forward_recomputed(&embeddings, &batch.mask, dropout)?)
                }
                None => Pass::Plain(self.decoder.forward_training(&embeddings, &batch.mask, dropout)?),
            };
            let loss = loss_of(&mut pass)?;
            pass.backward(&loss)?;
            if !whole.is_finite() {
                let text = self.answer_start(parts[part])?;
                let trainable = self.trainable();
                let named = trainable.iter().map(|(name, tensor)| (name.as_str(), tensor));
                let gradients = largest_gradients(named)?;
                return Err(Error::NonFiniteLoss { step, loss: whole, text, gradients });
            }
            total.positions += positions(batch);
        }
        Ok(total)
    }
}

/// A forward pass in one of its ways.
enum Pass<'a> {
    Computed(Computed<'a>),
    Recomputed(Recomputed<'a>),
    Plain(Tensor),
}

impl Pass<'_> {
    fn hidden(&self) -> &Tensor {
        match self {
            Self::Computed(pass) => pass.hidden(),
            Self::Recomputed(pass) => pass.hidden(),
            Self::Plain(hidden) => hidden,
        }
    }

    fn backward(self, loss: &Tensor) -> Result<()> {
        match self {
            Self::Computed(pass) => pass.backward(loss)?,
            Self::Recomputed(pass) => pass.backward(loss)?,
            Self::Plain(_) => loss.f_backward().map_err(regen_lm::Error::from)?,
        }
        Ok(())
    }
}

fn positions(batch: &Batch) -> u64 {
    batch.ids.numel() as u64
}
