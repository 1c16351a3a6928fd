//! Beam search: several continuations of each prompt at once, the best of them kept by the sum of their log-probabilities.
//!
//! The rules are those of transformers (`_beam_search`), so that the same model writes the same ids: candidates are the best
//! `(1 + stop ids) · beams` continuations of all beams of a row, of which the first `beams` may end and the best that do not
//! end go on; an ended one is compared by its sum over its length to the power of the penalty, the stop id counted.

use rayon::prelude::*;

use super::decode::{NextToken, Run};
use super::options::{GenerateOptions, Sampling};
use super::prefix::Prompt;
use super::sampling::{forbid_repeats, log_softmax, penalise};
use crate::error::{Error, Result};

/// When a row's search ends before `max_new_tokens`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BeamEnd {
    /// As soon as there are as many ended texts as beams (`early_stopping = true` of transformers).
    Full,
    /// When, besides, no beam is better at its present length than the worst ended text (`false`, the default there).
    #[default]
    NoBetterNow,
    /// When, besides, no beam could become better, whatever follows (`"never"`).
    NeverBetter,
}

/// How a beam search compares and ends.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BeamOptions {
    /// Texts that are continued at once, for each prompt.
    pub beams: usize,
    /// Texts that are returned for each prompt, best first; at most `beams`.
    pub keep: usize,
    /// Scores are sums over length to the power of this: above 0 favours long texts, below short ones.
    pub length_penalty: f64,
    /// When it ends.
    pub end: BeamEnd,
}

impl BeamOptions {
    /// The best of `beams`, with the defaults of transformers.
    pub fn best_of(beams: usize) -> Self {
        Self { beams, keep: 1, length_penalty: 1.0, end: BeamEnd::default() }
    }
}

/// A text that a beam search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// The new ids, without the stop id.
    pub ids: Vec<i64>,
    /// The log-probability of each under the model's own distribution (before penalties).
    pub log_probabilities: Vec<f32>,
    /// What it was compared by: the sum of log-probabilities, penalties and the stop id included, over the length to the power of
    /// `length_penalty`.
    pub score: f64,
    /// Whether a stop id ended it, rather than `max_new_tokens`.
    pub stopped: bool,
}

/// A text that goes on.
#[derive(Debug, Clone)]
struct Beam {
    ids: Vec<i64>,
    log_probabilities: Vec<f32>,
    sum: f64,
}

/// One way to go on.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// Sum of log-probabilities with this token.
    sum: f64,
    /// Which beam of the row.
    beam: usize,
    id: usize,
    log_probability: f32,
}

/// The search for one prompt.
struct Search {
    /// Place of the prompt in the caller's batch.
    index: usize,
    beams: Vec<Beam>,
    ended: Vec<Hypothesis>,
}

impl Run<'_> {
    /// Writes the best texts of each prompt.
    pub(super) fn beams(
        &self,
        prompt: &Prompt<'_>,
        beam: &BeamOptions,
        mut next_token: Option<&mut dyn NextToken>,
    ) -> Result<Vec<Vec<Hypothesis>>> {
        let (decoder, options) = (self.decoder, self.options);
        let batch = prompt.mask.batch() as usize;
        options.validate(batch)?;
        let vocab = decoder.config().vocab as usize;
        check(beam, options, vocab)?;
        prompt.check(decoder, options.max_new_tokens)?;
        if options.max_new_tokens == 0 {
            let empty = || Hypothesis { ids: vec![], log_probabilities: vec![], score: 0.0, stopped: false };
            return Ok((0..batch).map(|_| vec![empty(); beam.keep]).collect());
        }
        let _guard = tch::no_grad_guard();
        let more = options.max_new_tokens - 1;
        let (mut continuation, mut scores) = self.begin(prompt, more, &mut next_token)?;
        let empty = Beam { ids: Vec::new(), log_probabilities: Vec::new(), sum: 0.0 };
        let mut searches: Vec<Search> =
            (0..batch).map(|index| Search { index, beams: vec![empty.clone()], ended: Vec::new() }).collect();
        let mut results = vec![Vec::new(); batch];
        for step in 1..=options.max_new_tokens {
            // Where the rows of each search begin, in the order of the scores.
            let mut place = 0;
            let starts: Vec<usize> = searches
                .iter()
                .map(|search| {
                    let start = place;
                    place += search.beams.len();
                    start
                })
                .collect();
            let scores_of = |place: usize| &scores[place * vocab..][..vocab];
            let origins: Vec<Vec<usize>> = searches
                .par_iter_mut()
                .zip(&starts)
                .map(|(search, start)| {
                    let rows: Vec<&[f32]> =
                        (0..search.beams.len()).map(|beam| scores_of(start + beam)).collect();
                    search.advance(&rows, options, beam, step)
                })
                .collect();
            let (mut places, mut next, mut going_on) = (Vec::new(), Vec::new(), Vec::new());
            for ((search, origins), start) in searches.into_iter().zip(origins).zip(starts) {
                if step == options.max_new_tokens || search.is_over(options, beam, step) {
                    let ended = search.ended.into_iter().take(beam.keep);
                    results[search.index] = ended.collect();
                    continue;
                }
                places.extend(origins.iter().map(|beam| start + beam));
                next.extend(search.beams.iter().filter_map(|beam| beam.ids.last().copied()));
                going_on.push(search);
            }
            searches = going_on;
            if searches.is_empty() {
                break;
            }
            if let Some(next_token) = &mut next_token {
                next_token.chosen(&places, &next)?;
            }
            if step == 1 {
                continuation.spread(&places, more)?;
            } else {
                continuation.fork(&places, beam.beams, step - 1)?;
            }
            let hidden = continuation.step(self, &next)?;
            scores = self.scores(&hidden, next.len(), &mut next_token)?;
        }
        Ok(results)
    }
}

fn check(beam: &BeamOptions, options: &GenerateOptions, vocab: usize) -> Result<()> {
    let refuse = |what, expected, got: String| Err(Error::Argument { what, expected, got });
    if beam.beams == 0 {
        return refuse("beams", "at least 1", "0".to_owned());
    }
    if beam.keep == 0 || beam.keep > beam.beams {
        return refuse("texts to keep", "at least 1 and at most the number of beams", beam.keep.to_string());
    }
    if !beam.length_penalty.is_finite() {
        return refuse("length penalty", "a finite number", beam.length_penalty.to_string());
    }
    if options.sampling != Sampling::Greedy {
        return refuse(
            "sampling",
            "greedy, since a beam search draws nothing",
            format!("{:?}", options.sampling),
        );
    }
    if candidates(beam, options) > vocab {
        return refuse(
            "beams",
            "so few that the candidates, (1 + stop ids) times as many, are in the vocabulary",
            beam.beams.to_string(),
        );
    }
    Ok(())
}

/// Enough for as many that go on as there are beams, even if each of the best is followed by every stop id.
fn candidates(beam: &BeamOptions, options: &GenerateOptions) -> usize {
    (1 + options.stop.len()).max(2) * beam.beams
}

impl Search {
    /// Takes the scores of the next token of every beam: ends what ends, and leaves the beams that go on, whose origins are
    /// returned.
    fn advance(
        &mut self,
        rows: &[&[f32]],
        options: &GenerateOptions,
        beam: &BeamOptions,
        step: usize,
    ) -> Vec<usize> {
        let wanted = candidates(beam, options);
        let mut found: Vec<Candidate> = Vec::with_capacity(rows.len() * wanted);
        for (index, (row, logits)) in self.beams.iter().zip(rows).enumerate() {
            let own = log_softmax(logits);
            let mut scores = own.clone();
            if options.repetition_penalty != 1.0 {
                let prompt = options.prompt_ids.as_ref().map(|ids| ids[self.index].as_slice());
                let seen = prompt.unwrap_or(&[]).iter().chain(&row.ids).copied();
                penalise(&mut scores, seen, options.repetition_penalty);
            }
            forbid_repeats(&mut scores, &row.ids, options.no_repeat_ngram);
            let mut ids: Vec<usize> = (0..scores.len()).collect();
            let order = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
            if wanted < ids.len() {
                ids.select_nth_unstable_by(wanted, order);
                ids.truncate(wanted);
            }
            found.extend(ids.into_iter().map(|id| Candidate {
                sum: row.sum + f64::from(scores[id]),
                beam: index,
                id,
                log_probability: own[id],
            }));
        }
        // By sum, then by beam and id: equal sums must not depend on the sort.
        found.sort_unstable_by(|a, b| b.sum.total_cmp(&a.sum).then((a.beam, a.id).cmp(&(b.beam, b.id))));
        found.truncate(wanted);
        let (mut origins, mut going_on) = (Vec::new(), Vec::new());
        let full = self.ended.len() == beam.beams;
        for (rank, candidate) in found.iter().enumerate() {
            let stops = options.stop.contains(&(candidate.id as i64));
            let ends = stops || step == options.max_new_tokens;
            let mut next = self.beams[candidate.beam].clone();
            if !stops {
                next.ids.push(candidate.id as i64);
                next.log_probabilities.push(candidate.log_probability);
            }
            if !ends && going_on.len() < beam.beams {
                origins.push(candidate.beam);
                going_on.push(Beam { sum: candidate.sum, ..next });
            } else if ends && rank < beam.beams && !(full && beam.end == BeamEnd::Full) {
                self.ended.push(Hypothesis {
                    ids: next.ids,
                    log_probabilities: next.log_probabilities,
                    score: candidate.sum / (step as f64).powf(beam.length_penalty),
                    stopped: stops,
                });
            }
        }
        // Stable: among equals the one that ended first stays before.
        self.ended.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.ended.truncate(beam.beams);
        self.beams = going_on;
        origins
    }

    /// Whether nothing that goes on is still looked for.
    fn is_over(&self, options: &GenerateOptions, beam: &BeamOptions, step: usize) -> bool {
        let (Some(best), Some(worst)) = (self.beams.first(), self.ended.last()) else {
            return self.beams.is_empty();
        };
        if self.ended.len() < beam.beams {
            return false;
        }
        let length = match beam.end {
            BeamEnd::Full => return true,
            BeamEnd::NeverBetter if beam.length_penalty > 0.0 => options.max_new_tokens,
            BeamEnd::NoBetterNow | BeamEnd::NeverBetter => step,
        };
        best.sum / (length as f64).powf(beam.length_penalty) <= worst.score
    }
}
