//! The decoding loop: one forward pass over the prompt, then one token at a time from the cache.

use std::ops::ControlFlow;

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use regen_torch::{seed, tensor_from_f32, tensor_to_vec_f32};
use tch::Tensor;

use super::continuation::{Continuation, Hidden};
use super::ending::Ending;
use super::options::{GenerateOptions, Generated};
use super::prefix::Prompt;
use super::sampling::{choose, forbid_repeats, log_probability, penalise};
use crate::error::{Error, Result};
use crate::model::Decoder;
use crate::packed::{CacheStorage, PackedDecoder};

/// Turns the model's scores of the next token into others: where a caller mixes another distribution into the model's own,
/// such as one over the words of the prompt.
pub trait NextToken {
    /// Sees the prompts once, before the first token is chosen.
    ///
    /// **Shapes** `hidden: [batch, seq, hidden]`; columns that the prompt's mask leaves out mean nothing.
    ///
    /// # Errors
    /// What the implementation cannot compute; it ends the generation.
    fn prompt(&mut self, hidden: &Tensor) -> Result<()>;

    /// Learns after each step which of the present rows go on, by their places, and with which ids. The places are ascending,
    /// but in a beam search, where a row may also go on in several ways or in another place.
    ///
    /// # Errors
    /// As [`prompt`](Self::prompt).
    fn chosen(&mut self, rows: &[usize], ids: &[i64]) -> Result<()>;

    /// Scores every token of the vocabulary for every present row, as logits. `logits` are the model's own.
    ///
    /// **Shapes** `hidden: [rows, 1, hidden]`, `logits: [rows, 1, vocab] → [rows, 1, vocab]`.
    ///
    /// # Errors
    /// As [`prompt`](Self::prompt).
    fn scores(&mut self, hidden: &Tensor, logits: Tensor) -> Result<Tensor>;
}

/// A row that is still being written.
struct Row {
    /// Its place in the caller's batch.
    index: usize,
    rng: ChaCha8Rng,
}

/// One decoding run: what to write with, and how.
pub(super) struct Run<'a> {
    pub(super) decoder: &'a Decoder,
    pub(super) packed: Option<&'a PackedDecoder>,
    pub(super) cache: CacheStorage,
    pub(super) options: &'a GenerateOptions,
}

impl Run<'_> {
    /// Writes.
    pub(super) fn write(
        &self,
        prompt: &Prompt<'_>,
        mut next_token: Option<&mut dyn NextToken>,
        on_token: &mut dyn FnMut(usize, i64) -> ControlFlow<()>,
    ) -> Result<Vec<Generated>> {
        let (decoder, options) = (self.decoder, self.options);
        let batch = prompt.mask.batch() as usize;
        options.validate(batch)?;
        prompt.check(decoder, options.max_new_tokens)?;
        let mut results: Vec<Generated> = (0..batch)
            .map(|_| Generated { ids: Vec::new(), log_probabilities: Vec::new(), ending: Ending::Length })
            .collect();
        if options.max_new_tokens == 0 {
            return Ok(results);
        }
        let _guard = tch::no_grad_guard();
        let more = options.max_new_tokens - 1;
        let (mut continuation, mut logits) = self.begin(prompt, more, &mut next_token)?;
        let mut rows: Vec<Row> = (0..batch)
            .map(|index| Row { index, rng: seed::rng(options.seed, stream(options, index)) })
            .collect();
        let vocab = decoder.config().vocab as usize;
        for step in 1..=options.max_new_tokens {
            let mut next = Vec::with_capacity(rows.len());
            let mut kept = Vec::with_capacity(rows.len());
            let picked: Vec<(usize, f32)> = rows
                .par_iter_mut()
                .zip(logits.par_chunks_exact(vocab))
                .map(|(row, logits)| {
                    let id = pick(logits, options, row, &results[row.index].ids);
                    (id, log_probability(logits, id))
                })
                .collect();
            for (place, (row, (id, log_probability))) in rows.iter().zip(picked).enumerate() {
                let result = &mut results[row.index];
                if options.stop.contains(&(id as i64)) {
                    result.ending = Ending::StopId(id as i64);
                    continue;
                }
                result.ids.push(id as i64);
                result.log_probabilities.push(log_probability);
                if on_token(row.index, id as i64).is_break() {
                    result.ending = Ending::Caller;
                    continue;
                }
                next.push(id as i64);
                kept.push(place);
            }
            if kept.is_empty() || step == options.max_new_tokens {
                break;
            }
            if let Some(next_token) = &mut next_token {
                next_token.chosen(&kept, &next)?;
            }
            if kept.len() < rows.len() {
                continuation.keep(&kept)?;
                let mut place = 0;
                rows.retain(|_| {
                    let keep = kept.contains(&place);
                    place += 1;
                    keep
                });
            }
            let hidden = continuation.step(self, &next)?;
            logits = self.scores(&hidden, next.len(), &mut next_token, &mut continuation, logits)?;
        }
        Ok(results)
    }

    /// Reads the prompts with room for `more` tokens of each; the scores of their first new tokens, row-major `[batch, vocab]`.
    pub(super) fn begin(
        &self,
        prompt: &Prompt<'_>,
        more: usize,
        next_token: &mut Option<&mut dyn NextToken>,
    ) -> Result<(Continuation, Vec<f32>)> {
        self.decoder.check(prompt.inputs, prompt.mask, None)?;
        let mut continuation = Continuation::open(self, prompt, more)?;
        let last = match next_token {
            Some(next_token) => {
                let hidden = continuation.read(self, prompt)?;
                next_token.prompt(&hidden.f_to_kind(self.decoder.kind())?)?;
                Hidden::Tensor(hidden.f_narrow(1, prompt.mask.seq() - 1, 1)?)
            }
            None => continuation.read_last(self, prompt)?,
        };
        let rows = prompt.mask.batch() as usize;
        let scores = self.scores(&last, rows, next_token, &mut continuation, Vec::new())?;
        Ok((continuation, scores))
    }

    /// Row-major `[rows, vocab]`, in the memory of `logits`.
    pub(super) fn scores(
        &self,
        hidden: &Hidden,
        rows: usize,
        next_token: &mut Option<&mut dyn NextToken>,
        continuation: &mut Continuation,
        logits: Vec<f32>,
    ) -> Result<Vec<f32>> {
        let config = self.decoder.config();
        let logits = match (hidden, self.packed, continuation) {
            (Hidden::Rows(hidden), Some(packed), Continuation::Packed(cache)) => {
                packed.logits(hidden, logits, cache)
            }
            (Hidden::Tensor(hidden), Some(packed), Continuation::Packed(cache)) => {
                packed.logits(&tensor_to_vec_f32(hidden)?, logits, cache)
            }
            _ => tensor_to_vec_f32(&self.decoder.logits(&hidden.tensor(self.decoder, rows)?)?)?,
        };
        // Of its own a model rules nothing out, so an infinity of either sign is an overflow.
        check_scores(&logits, config.vocab as usize, |row| all(row, f32::is_finite))?;
        let Some(next_token) = next_token else { return Ok(logits) };
        let shape = [rows as i64, 1, config.vocab];
        let logits = tensor_from_f32(&logits, &shape)?.f_to_device(self.decoder.device())?;
        let scores = tensor_to_vec_f32(&next_token.scores(&hidden.tensor(self.decoder, rows)?, logits)?)?;
        // Others may rule tokens out, but not all of them.
        check_scores(&scores, config.vocab as usize, |row| {
            all(row, |score| score < f32::INFINITY) && row.iter().any(|score| score.is_finite())
        })?;
        Ok(scores)
    }
}

/// Refuses the first row of scores that nothing can be chosen from.
fn check_scores(scores: &[f32], vocab: usize, usable: impl Fn(&[f32]) -> bool + Sync) -> Result<()> {
    match scores.par_chunks(vocab).position_first(|row| !usable(row)) {
        Some(row) => Err(Error::NonFiniteScores { row }),
        None => Ok(()),
    }
}

/// Whether it holds for every number; without an early end, so that it is computed for several at once.
fn all(row: &[f32], holds: impl Fn(f32) -> bool) -> bool {
    row.iter().fold(true, |so_far, number| so_far & holds(*number))
}

fn stream(options: &GenerateOptions, index: usize) -> u64 {
    match &options.row_streams {
        Some(streams) => streams[index],
        None => index as u64,
    }
}

fn pick(logits: &[f32], options: &GenerateOptions, row: &mut Row, written: &[i64]) -> usize {
    if options.repetition_penalty == 1.0 && options.no_repeat_ngram == 0 {
        return choose(logits, &options.sampling, &mut row.rng);
    }
    let mut logits = logits.to_vec();
    if options.repetition_penalty != 1.0 {
        let prompt = options.prompt_ids.as_ref().map(|ids| ids[row.index].as_slice());
        let seen = prompt.unwrap_or(&[]).iter().chain(written).copied();
        penalise(&mut logits, seen, options.repetition_penalty);
    }
    forbid_repeats(&mut logits, written, options.no_repeat_ngram);
    choose(&logits, &options.sampling, &mut row.rng)
}
