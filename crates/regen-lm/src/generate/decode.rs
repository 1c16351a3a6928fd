//! The decoding loop: one forward pass over the prompt, then one token at a time from the cache.

use std::ops::ControlFlow;

use rand_chacha::ChaCha8Rng;
use regen_torch::{seed, tensor_to_vec_f32};
use tch::Tensor;

use super::options::{GenerateOptions, Generated};
use super::sampling::{choose, forbid_repeats, log_probability, penalise};
use crate::error::{Error, Result};
use crate::mask::PaddingMask;
use crate::model::Decoder;

/// Continues every row of a batch of prompts; returns the new ids without stop ids.
///
/// Prompts are padded on the left. Finished rows leave the batch, so a long row does not pay for short
/// ones. Greedy ids and seeded draws of a row do not depend on the rows beside it.
///
/// **Shapes** `prompt_embeds: [batch, seq, hidden]`, `mask: [batch, seq]`.
///
/// # Errors
/// [`Error::EmptyPrompt`], [`Error::PromptNotLeftPadded`], [`Error::TooLong`] if the longest prompt and
/// `max_new_tokens` exceed the positions, [`Error::Argument`] for options out of range, and those of
/// [`Decoder::forward`].
pub fn generate(
    decoder: &Decoder,
    prompt_embeds: &Tensor,
    mask: &PaddingMask,
    options: &GenerateOptions,
) -> Result<Vec<Vec<i64>>> {
    let rows = generate_with(decoder, prompt_embeds, mask, options, |_, _| ControlFlow::Continue(()))?;
    Ok(rows.into_iter().map(|row| row.ids).collect())
}

/// Turns final hidden states into scores of the next token: where a caller mixes another distribution into the
/// model's own, such as one over the words of the prompt.
pub trait NextToken {
    /// Sees the prompts once, before the first token is chosen.
    ///
    /// **Shapes** `hidden: [batch, seq, hidden]`; columns that the prompt's mask leaves out mean nothing.
    ///
    /// # Errors
    /// What the implementation cannot compute; it ends the generation.
    fn prompt(&mut self, hidden: &Tensor) -> Result<()>;

    /// Learns after each step which of the present rows go on, by their places, ascending, and with which ids.
    ///
    /// # Errors
    /// As [`prompt`](Self::prompt).
    fn chosen(&mut self, rows: &[usize], ids: &[i64]) -> Result<()>;

    /// Scores every token of the vocabulary for every present row, as logits.
    ///
    /// **Shapes** `hidden: [rows, 1, hidden] → [rows, 1, vocab]`.
    ///
    /// # Errors
    /// As [`prompt`](Self::prompt).
    fn scores(&mut self, decoder: &Decoder, hidden: &Tensor) -> Result<Tensor>;
}

/// The model's own scores.
struct Plain;

impl NextToken for Plain {
    fn prompt(&mut self, _hidden: &Tensor) -> Result<()> {
        Ok(())
    }

    fn chosen(&mut self, _rows: &[usize], _ids: &[i64]) -> Result<()> {
        Ok(())
    }

    fn scores(&mut self, decoder: &Decoder, hidden: &Tensor) -> Result<Tensor> {
        decoder.logits(hidden)
    }
}

/// A row that is still being written.
struct Row {
    /// Its place in the caller's batch.
    index: usize,
    rng: ChaCha8Rng,
}

/// As [`generate`], with log-probabilities; `on_token(row, id)` sees each id as it is chosen, and ends the
/// row by breaking (the id stays).
///
/// # Errors
/// As [`generate`].
pub fn generate_with(
    decoder: &Decoder,
    prompt_embeds: &Tensor,
    mask: &PaddingMask,
    options: &GenerateOptions,
    on_token: impl FnMut(usize, i64) -> ControlFlow<()>,
) -> Result<Vec<Generated>> {
    generate_scored(decoder, prompt_embeds, mask, options, &mut Plain, on_token)
}

/// As [`generate_with`], with the scores that `next` gives in place of the model's own.
///
/// # Errors
/// As [`generate`], and those of `next`.
pub fn generate_scored(
    decoder: &Decoder,
    prompt_embeds: &Tensor,
    mask: &PaddingMask,
    options: &GenerateOptions,
    next_token: &mut dyn NextToken,
    mut on_token: impl FnMut(usize, i64) -> ControlFlow<()>,
) -> Result<Vec<Generated>> {
    let batch = mask.batch() as usize;
    options.validate(batch)?;
    check_prompt(decoder, mask, options.max_new_tokens)?;
    let mut results: Vec<Generated> = (0..batch)
        .map(|_| Generated { ids: Vec::new(), log_probabilities: Vec::new(), stopped: false })
        .collect();
    if options.max_new_tokens == 0 {
        return Ok(results);
    }
    let _guard = tch::no_grad_guard();
    let capacity = mask.seq() + options.max_new_tokens as i64 - 1;
    let mut cache = decoder.new_cache(mask.batch(), capacity)?;
    let hidden = decoder.forward(prompt_embeds, mask, Some(&mut cache))?;
    next_token.prompt(&hidden)?;
    let mut last = hidden.f_narrow(1, mask.seq() - 1, 1)?;
    let mut rows: Vec<Row> =
        (0..batch).map(|index| Row { index, rng: seed::rng(options.seed, stream(options, index)) }).collect();
    for step in 1..=options.max_new_tokens {
        let logits = tensor_to_vec_f32(&next_token.scores(decoder, &last)?)?;
        let vocab = decoder.config().vocab as usize;
        let mut next = Vec::with_capacity(rows.len());
        let mut kept = Vec::with_capacity(rows.len());
        for (place, (row, logits)) in rows.iter_mut().zip(logits.chunks_exact(vocab)).enumerate() {
            let result = &mut results[row.index];
            let id = pick(logits, options, row, &result.ids);
            if options.stop.contains(&(id as i64)) {
                result.stopped = true;
                continue;
            }
            result.ids.push(id as i64);
            result.log_probabilities.push(log_probability(logits, id));
            if on_token(row.index, id as i64).is_break() {
                result.stopped = true;
                continue;
            }
            next.push(id as i64);
            kept.push(place);
        }
        if kept.is_empty() || step == options.max_new_tokens {
            break;
        }
        next_token.chosen(&kept, &next)?;
        if kept.len() < rows.len() {
            cache.select_rows(&kept)?;
            let mut place = 0;
            rows.retain(|_| {
                let keep = kept.contains(&place);
                place += 1;
                keep
            });
        }
        let count = next.len() as i64;
        let embeds = decoder.embed(&Tensor::f_from_slice(&next)?.f_view([count, 1])?)?;
        last = decoder.forward(&embeds, &PaddingMask::full(count, 1), Some(&mut cache))?;
    }
    Ok(results)
}

fn stream(options: &GenerateOptions, index: usize) -> u64 {
    match &options.row_streams {
        Some(streams) => streams[index],
        None => index as u64,
    }
}

fn check_prompt(decoder: &Decoder, mask: &PaddingMask, max_new_tokens: usize) -> Result<()> {
    for row in 0..mask.batch() as usize {
        if mask.real_tokens(row) == 0 {
            return Err(Error::EmptyPrompt { row });
        }
        if mask.row(row).last() != Some(&true) {
            return Err(Error::PromptNotLeftPadded { row });
        }
        // The last new token is never fed back, so it needs no position.
        let tokens = mask.real_tokens(row) + (max_new_tokens as i64 - 1).max(0);
        let max_positions = decoder.config().max_positions;
        if tokens > max_positions {
            return Err(Error::TooLong { tokens, max_positions });
        }
    }
    Ok(())
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
