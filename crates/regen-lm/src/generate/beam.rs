//! Beam search: several continuations of each prompt at once, the best of them kept by the sum of their log-probabilities.
//!
//! The rules are those of transformers (`_beam_search`), so that the same model writes the same ids: candidates are the best
//! `(1 + stop ids) · beams` continuations of all beams of a row, of which the first `beams` may end and the best that do not
//! end go on; an ended one is compared by its sum over its length to the power of the penalty, the stop id counted. A stop string
//! ends as a stop id does; where strings end more than the candidates have room for, more candidates are looked at.

use rayon::prelude::*;

use super::decode::{NextToken, Run};
use super::ending::Ending;
use super::options::{GenerateOptions, Sampling};
use super::prefix::Prompt;
use super::sampling::{forbid_repeats, log_softmax, penalise};
use super::stream::TextStream;
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
    /// Why it ended: by itself, or by [`Length`](Ending::Length).
    pub ending: Ending,
}

/// A text that a beam search found, in letters.
#[derive(Debug, Clone, PartialEq)]
pub struct HypothesisText {
    /// The text, up to the string that ended it.
    pub text: String,
    /// Its ids, with those of the string that ended it, and how it compares.
    pub hypothesis: Hypothesis,
}

/// A text that goes on.
#[derive(Debug, Clone)]
struct Beam<'a> {
    ids: Vec<i64>,
    log_probabilities: Vec<f32>,
    sum: f64,
    /// What is certain of it in letters, and the stream of the rest, where strings may end it.
    text: Option<(String, TextStream<'a>)>,
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
struct Search<'a> {
    /// Place of the prompt in the caller's batch.
    index: usize,
    beams: Vec<Beam<'a>>,
    ended: Vec<HypothesisText>,
}

/// What follows the beams of a search.
struct Next<'a> {
    /// Which beam each of those that go on continues.
    origins: Vec<usize>,
    going_on: Vec<Beam<'a>>,
    ended: Vec<HypothesisText>,
}

impl Run<'_> {
    /// Writes the best texts of each prompt; in letters, and up to a stop string, where `stream` says how.
    pub(super) fn beams(
        &self,
        prompt: &Prompt<'_>,
        beam: &BeamOptions,
        stream: Option<&TextStream<'_>>,
        mut next_token: Option<&mut dyn NextToken>,
    ) -> Result<Vec<Vec<HypothesisText>>> {
        let (decoder, options) = (self.decoder, self.options);
        let batch = prompt.mask.batch() as usize;
        options.validate(batch)?;
        let vocab = decoder.config().vocab as usize;
        check(beam, options, vocab)?;
        prompt.check(decoder, options.max_new_tokens)?;
        let text = stream.map(|stream| (String::new(), stream.clone()));
        let empty = Beam { ids: Vec::new(), log_probabilities: Vec::new(), sum: 0.0, text };
        if options.max_new_tokens == 0 {
            let nothing = empty.end(0.0, Ending::Length);
            return Ok(vec![vec![nothing; beam.keep]; batch]);
        }
        let _guard = tch::no_grad_guard();
        let more = options.max_new_tokens - 1;
        let (mut continuation, mut scores) = self.begin(prompt, more, &mut next_token)?;
        let mut searches: Vec<Search<'_>> =
            (0..batch).map(|index| Search { index, beams: vec![empty.clone()], ended: Vec::new() }).collect();
        let mut results = vec![Vec::new(); batch];
        for step in 1..=options.max_new_tokens {
            let counts: Vec<usize> = searches.iter().map(|search| search.beams.len()).collect();
            // Where the rows of each search begin, in the order of the scores.
            let starts = starts(&counts);
            let scores_of = |place: usize| &scores[place * vocab..][..vocab];
            let origins: Vec<Vec<usize>> = searches
                .par_iter_mut()
                .zip(&starts)
                .map(|(search, start)| {
                    let rows: Vec<&[f32]> =
                        (0..search.beams.len()).map(|beam| scores_of(start + beam)).collect();
                    search.advance(&rows, options, beam, step)
                })
                .collect::<Result<_>>()?;
            let (mut places, mut next, mut going_on) = (Vec::new(), Vec::new(), Vec::new());
            for ((search, origins), start) in searches.into_iter().zip(origins).zip(starts) {
                if step == options.max_new_tokens || search.is_over(options, beam, step) {
                    results[search.index] = search.ended.into_iter().take(beam.keep).collect();
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
            let sizes: Vec<usize> = searches.iter().map(|search| search.beams.len()).collect();
            if step == 1 {
                continuation.spread(&places, &sizes, beam.beams, more)?;
            } else {
                continuation.fork(&places, beam.beams, step - 1, sizes == counts)?;
            }
            let hidden = continuation.step(self, &next)?;
            scores = self.scores(&hidden, next.len(), &mut next_token, &mut continuation, scores)?;
        }
        Ok(results)
    }
}

/// Where each of several groups of so many rows begins.
fn starts(counts: &[usize]) -> Vec<usize> {
    let places = counts.iter().scan(0, |next, count| {
        *next += count;
        Some(*next - count)
    });
    places.collect()
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
    // A number of beams that overflows is refused as all are that ask for more than the vocabulary.
    options.stop.len().saturating_add(1).max(2).saturating_mul(beam.beams)
}

impl<'a> Beam<'a> {
    /// Adds a token, also to the text.
    fn push(&mut self, candidate: &Candidate) -> Result<()> {
        let id = candidate.id as i64;
        self.ids.push(id);
        self.log_probabilities.push(candidate.log_probability);
        if let Some((text, stream)) = &mut self.text {
            text.push_str(&stream.push(id)?);
        }
        Ok(())
    }

    /// Which stop string it wrote.
    fn met_string(&self) -> Option<usize> {
        self.text.as_ref().and_then(|(_, stream)| stream.met())
    }

    fn end(&self, score: f64, ending: Ending) -> HypothesisText {
        let text = match &self.text {
            Some((text, stream)) => text.clone() + &stream.clone().finish(),
            None => String::new(),
        };
        let (ids, log_probabilities) = (self.ids.clone(), self.log_probabilities.clone());
        HypothesisText { text, hypothesis: Hypothesis { ids, log_probabilities, score, ending } }
    }
}

impl<'a> Search<'a> {
    /// Takes the scores of the next token of every beam: ends what ends, and leaves the beams that go on, whose origins are
    /// returned.
    fn advance(
        &mut self,
        rows: &[&[f32]],
        options: &GenerateOptions,
        beam: &BeamOptions,
        step: usize,
    ) -> Result<Vec<usize>> {
        let scored: Vec<(Vec<f32>, Vec<f32>)> =
            self.beams.iter().zip(rows).map(|(row, logits)| self.scored(row, logits, options)).collect();
        let vocab = rows.first().map_or(0, |row| row.len());
        let mut wanted = candidates(beam, options);
        let next = loop {
            let next = self.follow(&self.best(&scored, wanted), options, beam, step)?;
            let short = step < options.max_new_tokens && next.going_on.len() < beam.beams;
            if !short || wanted >= vocab * self.beams.len() {
                break next;
            }
            wanted *= 2;
        };
        self.ended.extend(next.ended);
        // Stable: among equals the one that ended first stays before.
        self.ended.sort_by(|a, b| b.hypothesis.score.total_cmp(&a.hypothesis.score));
        self.ended.truncate(beam.beams);
        self.beams = next.going_on;
        Ok(next.origins)
    }

    /// The model's log-probabilities of every next token, and what tokens are compared by.
    fn scored(&self, row: &Beam<'_>, logits: &[f32], options: &GenerateOptions) -> (Vec<f32>, Vec<f32>) {
        let own = log_softmax(logits);
        let mut scores = own.clone();
        if options.repetition_penalty != 1.0 {
            let prompt = options.prompt_ids.as_ref().map(|ids| ids[self.index].as_slice());
            let seen = prompt.unwrap_or(&[]).iter().chain(&row.ids).copied();
            penalise(&mut scores, seen, options.repetition_penalty);
        }
        forbid_repeats(&mut scores, &row.ids, options.no_repeat_ngram);
        (own, scores)
    }

    /// The best `wanted` ways to go on, best first.
    fn best(&self, scored: &[(Vec<f32>, Vec<f32>)], wanted: usize) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::with_capacity(scored.len() * wanted.min(1 << 12));
        for (index, (row, (own, scores))) in self.beams.iter().zip(scored).enumerate() {
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
        found
    }

    /// What becomes of the candidates, best first.
    fn follow(
        &self,
        found: &[Candidate],
        options: &GenerateOptions,
        beam: &BeamOptions,
        step: usize,
    ) -> Result<Next<'a>> {
        let mut after = Next { origins: Vec::new(), going_on: Vec::new(), ended: Vec::new() };
        let last = step == options.max_new_tokens;
        let full = self.ended.len() == beam.beams;
        for (rank, candidate) in found.iter().enumerate() {
            let may_end = rank < beam.beams;
            if !may_end && (last || after.going_on.len() == beam.beams) {
                break;
            }
            let mut next = self.beams[candidate.beam].clone();
            let id = candidate.id as i64;
            let ending = if options.stop.contains(&id) {
                Some(Ending::StopId(id))
            } else {
                next.push(candidate)?;
                next.met_string().map(Ending::StopString)
            };
            let ends = ending.is_some() || last;
            if !ends && after.going_on.len() < beam.beams {
                after.origins.push(candidate.beam);
                after.going_on.push(Beam { sum: candidate.sum, ..next });
            } else if ends && may_end && !(full && beam.end == BeamEnd::Full) {
                let score = candidate.sum / (step as f64).powf(beam.length_penalty);
                after.ended.push(next.end(score, ending.unwrap_or(Ending::Length)));
            }
        }
        Ok(after)
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
        best.sum / (length as f64).powf(beam.length_penalty) <= worst.hypothesis.score
    }
}
