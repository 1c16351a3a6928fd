//! The order in which examples are learned from.

use rand::seq::SliceRandom;
use regen_torch::seed::{self, ChaCha8Rng};

use super::config::TrainConfig;
use crate::narrator::stream;
use crate::prompt::Sequence;

/// An endless, seeded order of batches of similar length.
///
/// Each epoch shuffles all examples, sorts runs of [`Batches::POOL`] batches by length, cuts them, and shuffles the
/// batches: little padding is computed, and no batch is tied to a length for good.
pub(super) struct Batches<'a> {
    sequences: &'a [Sequence],
    batch: usize,
    rng: ChaCha8Rng,
    queue: Vec<Vec<usize>>,
}

impl<'a> Batches<'a> {
    const POOL: usize = 32;

    pub(super) fn new(sequences: &'a [Sequence], config: &TrainConfig) -> Self {
        let rng = seed::rng(config.seed, stream::BATCHES);
        Self { sequences, batch: config.batch, rng, queue: Vec::new() }
    }

    pub(super) fn next(&mut self) -> Vec<usize> {
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
