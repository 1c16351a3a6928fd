//! The loop.

use std::ops::ControlFlow;

use regen_lm::TrainingKernels;
use regen_lm::train::{AdamW, Schedule, clip_gradients};
use regen_torch::seed::{self, ChaCha8Rng};
use tch::Tensor;

use super::batches::Batches;
use super::best::Best;
use super::config::{TrainConfig, Trains};
use super::precision::TrainPrecision;
use super::report::{LossPoint, Mean, TrainProgress, TrainReport};
use super::snapshots::{Cursor, Snapshots, fingerprint};
use crate::narrator::stream;
use crate::prompt::Sequence;
use crate::{Error, Example, Narrator, Result};

/// Told after every update; breaks to stop.
type Progress<'a> = &'a mut dyn FnMut(TrainProgress) -> ControlFlow<()>;

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
        self.stage(training, validation, config, None, progress)
    }

    /// As [`Narrator::train`], leaving snapshots: when there is one of this very run, training goes on from it, and ends with
    /// the weights and the report of a run that was never broken. The narrator must be as it was when the run began.
    ///
    /// # Errors
    /// As [`Narrator::train`]; [`Error::OtherRun`] if the snapshot is of other settings or examples, or of a language model or tables in
    /// memory that are others and do not move; those of writing and reading it.
    pub fn train_with_snapshots(
        &mut self,
        training: &[Example],
        validation: &[Example],
        config: &TrainConfig,
        snapshots: &Snapshots,
        progress: &mut dyn FnMut(TrainProgress) -> ControlFlow<()>,
    ) -> Result<TrainReport> {
        if snapshots.every == 0 {
            let (field, expected) = ("snapshots.every", "at least 1");
            return Err(Error::InvalidConfig { field, got: "0".into(), expected });
        }
        self.stage(training, validation, config, Some(snapshots), progress)
    }

    fn stage(
        &mut self,
        training: &[Example],
        validation: &[Example],
        config: &TrainConfig,
        snapshots: Option<&Snapshots>,
        progress: Progress<'_>,
    ) -> Result<TrainReport> {
        config.validate()?;
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
        self.thaw(config.trains);
        let report = self.in_precision(config.precision, |narrator| {
            narrator.update(training, validation, config, snapshots, progress)
        });
        self.thaw(Trains::All);
        self.fix_tables();
        report
    }

    /// What `work` gives while the language model is in `precision`; it is in f32 again afterwards, whatever comes of it.
    fn in_precision<T>(
        &mut self,
        precision: TrainPrecision,
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let lowered = match precision {
            TrainPrecision::F32 => None,
            TrainPrecision::Bf16 => Some(self.lower()?),
        };
        let done = work(self);
        let raised = lowered.map_or(Ok(()), |lowered| lowered.raise());
        done.and_then(|done| raised.map(|()| done))
    }

    fn update(
        &mut self,
        training: &[Example],
        validation: &[Example],
        config: &TrainConfig,
        snapshots: Option<&Snapshots>,
        progress: Progress<'_>,
    ) -> Result<TrainReport> {
        let sequences = self.sequences(training)?;
        let held_out = self.sequences(validation)?;
        let trainable = self.trainable();
        let mut run = Run {
            config,
            optimizer: self.optimizer(config)?,
            negatives: seed::rng(config.seed, stream::NEGATIVES),
            kernels: self.training_kernels(config)?,
            best: Best::new(&trainable, !held_out.is_empty()),
            trainable,
            step: 0,
            factor: 0.0,
            gradient_norm: 0.0,
            finished: false,
            report: TrainReport::default(),
            since: Mean::default(),
            next_since: Mean::default(),
        };
        let name = match snapshots {
            Some(_) => fingerprint(&self.config, config, &sequences, &held_out, &self.fixed(&run.trainable))?,
            None => String::new(),
        };
        if let Some(snapshots) = snapshots {
            run.go_on(snapshots, &name)?;
        }
        let mut batches = Batches::new(&sequences, config);
        for _ in 0..run.step {
            batches.next();
        }
        while !run.finished {
            let rows: Vec<&Sequence> = batches.next().iter().map(|&index| &sequences[index]).collect();
            let loss = run.learn(self, &rows)?;
            if run.step.is_multiple_of(config.evaluate_every) || run.step == config.steps {
                run.look(self, &held_out)?;
            }
            run.report.kept_step = run.step;
            let stop = progress(run.progress(loss)).is_break();
            let hopeless = config.patience.is_some_and(|patience| run.best.at.misses >= patience);
            run.finished = run.step == config.steps || hopeless;
            run.report.ended_early = hopeless && run.step < config.steps;
            run.report.stopped = stop && !run.finished;
            if let Some(snapshots) = snapshots
                && (stop || run.finished || run.step.is_multiple_of(snapshots.every))
            {
                run.save(snapshots, &name)?;
            }
            if stop {
                break;
            }
        }
        if let Some(step) = run.best.restore(&run.trainable) {
            run.report.kept_step = step;
        }
        Ok(run.report)
    }
}

/// A stage of training under way.
struct Run<'a> {
    config: &'a TrainConfig,
    optimizer: AdamW,
    trainable: Vec<(String, Tensor)>,
    negatives: ChaCha8Rng,
    kernels: Option<TrainingKernels>,
    best: Best,
    /// Updates done.
    step: u64,
    /// Of the learning rates, in the last update.
    factor: f64,
    /// In the last update, before clipping.
    gradient_norm: f64,
    finished: bool,
    report: TrainReport,
    since: Mean,
    next_since: Mean,
}

impl Run<'_> {
    /// One update; returns the loss of the narratives.
    fn learn(&mut self, narrator: &Narrator, rows: &[&Sequence]) -> Result<f64> {
        let config = self.config;
        let schedule = Schedule::WarmupCosine {
            warmup_steps: config.warmup_steps,
            total_steps: config.steps,
            floor: config.final_rate,
        };
        let factor = schedule.factor(self.step);
        self.step += 1;
        self.optimizer.zero_gradients();
        let loss = narrator.accumulate(rows, config, self.step, &mut self.negatives, &mut self.kernels)?;
        if let Some(next) = loss.next_item {
            self.next_since.add(next);
        }
        self.gradient_norm = match clip_gradients(self.optimizer.tensors(), config.clip_norm, self.step) {
            Err(regen_lm::Error::NonFiniteGradient { step, largest }) => {
                let text = narrator.answer_start(rows)?;
                return Err(Error::NonFiniteGradient { step, text, gradients: largest });
            }
            norm => norm?,
        };
        self.factor = factor;
        self.optimizer.step(factor)?;
        self.report.positions += loss.positions;
        self.report.narrative_tokens += rows.iter().map(|row| row.answer_len() as u64).sum::<u64>();
        self.since.add(loss.narrative);
        Ok(loss.narrative)
    }

    /// Adds a point to the curves, and offers the weights.
    fn look(&mut self, narrator: &Narrator, held_out: &[Sequence]) -> Result<()> {
        let step = self.step;
        self.report.training.extend(self.since.take().map(|loss| LossPoint { step, loss }));
        self.report.next_item.extend(self.next_since.take().map(|loss| LossPoint { step, loss }));
        if !held_out.is_empty() {
            let loss = narrator.mean_loss(held_out, self.config.batch)?;
            self.report.validation.push(LossPoint { step, loss });
            self.best.offer(step, loss, &self.trainable);
        }
        Ok(())
    }

    fn progress(&self, loss: f64) -> TrainProgress {
        TrainProgress {
            step: self.step,
            steps: self.config.steps,
            loss,
            validation_loss: self.report.validation.last().map(|point| point.loss),
            positions: self.report.positions,
            learning_rate: self.config.learning_rate * self.factor,
            gradient_norm: self.gradient_norm,
        }
    }

    fn save(&self, snapshots: &Snapshots, name: &str) -> Result<()> {
        let cursor = Cursor {
            run: name.to_owned(),
            step: self.step,
            finished: self.finished,
            report: TrainReport { stopped: false, ..self.report.clone() },
            since: self.since,
            next_since: self.next_since,
            drawn: u64::try_from(self.negatives.get_word_pos()).unwrap_or(u64::MAX),
            best: self.best.at,
        };
        snapshots.save(&cursor, &self.trainable, &self.best, &self.optimizer)
    }

    /// Takes the state of the newest snapshot, if there is one.
    fn go_on(&mut self, snapshots: &Snapshots, name: &str) -> Result<()> {
        let Some(cursor) = snapshots.load(name, &self.trainable, &mut self.best, &mut self.optimizer)? else {
            return Ok(());
        };
        (self.step, self.finished, self.report) = (cursor.step, cursor.finished, cursor.report);
        (self.since, self.next_since) = (cursor.since, cursor.next_since);
        self.negatives.set_word_pos(u128::from(cursor.drawn));
        Ok(())
    }
}
