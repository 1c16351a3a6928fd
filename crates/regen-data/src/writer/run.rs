//! Asking, checking, asking once more, and going through all cases with several questions under way.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regen_chat::{ChatModel, ChatRequest, Message, Sampling, Stop};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cases::WritingCase;
use super::checks::{CheckConfig, Rejection, check_text};
use super::materials::ReviewTexts;
use super::prompt::{PROMPT_VERSION, request, template};
use super::report::{Outcome, WriteReport};
use super::titles::Titles;
use crate::{Dataset, Error, ItemId, Narrative, NarrativeKind, Result};

/// How texts are asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriterConfig {
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// How many candidates of a critique are asked for, of which one is drawn. At least 1.
    pub critique_candidates: usize,
    /// Draws the critique, together with the case's place.
    pub seed: u64,
    /// What is accepted.
    pub checks: CheckConfig,
    /// Questions under way at once.
    pub at_once: NonZeroUsize,
    /// How many questions in a row may go unanswered before the run ends: an endpoint that is down answers none.
    pub most_unanswered: usize,
}

impl WriterConfig {
    /// Five candidates, one question at a time, and up to ten unanswered in a row.
    pub fn new(sampling: Sampling, seed: u64) -> Self {
        Self {
            sampling,
            critique_candidates: 5,
            seed,
            checks: CheckConfig::default(),
            at_once: NonZeroUsize::MIN,
            most_unanswered: 10,
        }
    }
}

/// Writes the narratives of one data set.
pub struct NarrativeWriter<'d, M> {
    model: M,
    dataset: &'d Dataset,
    reviews: &'d ReviewTexts,
    config: WriterConfig,
    titles: Titles,
}

impl<'d, M: ChatModel> NarrativeWriter<'d, M> {
    /// A writer; nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for no candidates of a critique.
    pub fn new(
        model: M,
        dataset: &'d Dataset,
        reviews: &'d ReviewTexts,
        config: WriterConfig,
    ) -> Result<Self> {
        if config.critique_candidates == 0 {
            return Err(Error::InvalidConfig {
                field: "critique_candidates",
                expected: "at least 1",
                got: "0".into(),
            });
        }
        Ok(Self { model, dataset, reviews, config, titles: Titles::of(dataset) })
    }

    /// The model.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The question of a case: what a dry run shows.
    pub fn request(&self, case: &WritingCase) -> ChatRequest {
        request(case, self.config.critique_candidates, self.dataset, self.reviews, self.config.sampling)
    }

    /// Writes one text; `place` tells cases apart where one of several candidates is drawn. An answer that fails a check is
    /// sent back once with what is wrong, unless the model refused or obeyed instructions.
    ///
    /// # Errors
    /// [`Error::Chat`] where the endpoint, its key, or the journal is at fault, so that no case could be answered.
    pub fn write(&self, case: &WritingCase, place: usize) -> Result<Outcome> {
        let mut request = self.request(case);
        let mut repaired = false;
        loop {
            let answer = match self.model.ask(&request) {
                Ok(answer) => answer,
                Err(source) if hopeless(&source) => return Err(Error::Chat { source }),
                Err(source) => return Ok(Outcome::Unanswered { reason: source.to_string() }),
            };
            let checked = match answer.stop {
                Stop::Refused => Err(Rejection::Refused),
                Stop::Length => Err(Rejection::Truncated),
                Stop::End | Stop::Other => self.check(case, &answer.text, place),
            };
            let rejection = match checked {
                Ok(text) => {
                    let item = if case.kind.uses_immediate_context() { case.item } else { None };
                    let narrative = Narrative { user: case.user, item, kind: case.kind, text };
                    return Ok(Outcome::Written { narrative, repaired });
                }
                Err(rejection) => rejection,
            };
            match rejection.advice() {
                Some(advice) if !repaired => {
                    repaired = true;
                    request.messages.push(Message::assistant(answer.text));
                    request.messages.push(Message::user(format!(
                        "That cannot be used: {advice}. Answer again, with the corrected JSON object alone."
                    )));
                }
                _ => return Ok(Outcome::Rejected { rejection }),
            }
        }
    }

    /// Writes every case, [`WriterConfig::at_once`] at a time, and gives the texts in the order of the cases. `each` hears of
    /// every outcome as it comes, with the number of the case; what it returns says whether to go on.
    ///
    /// # Errors
    /// As [`NarrativeWriter::write`]; [`Error::Unanswered`] after [`WriterConfig::most_unanswered`] in a row. With a journal
    /// nothing that was answered is lost.
    pub fn write_all(
        &self,
        cases: &[WritingCase],
        each: impl Fn(usize, &Outcome) -> bool + Sync,
    ) -> Result<(Vec<Narrative>, WriteReport)>
    where
        M: Sync,
    {
        let (next, in_a_row, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let done: Mutex<Vec<(usize, Result<Outcome>)>> = Mutex::new(Vec::new());
        let work = || {
            while !stop.load(Ordering::SeqCst) {
                let at = next.fetch_add(1, Ordering::SeqCst);
                let Some(case) = cases.get(at) else { break };
                let mut outcome = self.write(case, at);
                match &outcome {
                    Ok(Outcome::Unanswered { reason }) => {
                        let count = in_a_row.fetch_add(1, Ordering::SeqCst) + 1;
                        if count >= self.config.most_unanswered.max(1) {
                            outcome = Err(Error::Unanswered { in_a_row: count, last: reason.clone() });
                        }
                    }
                    Ok(_) => in_a_row.store(0, Ordering::SeqCst),
                    Err(_) => {}
                }
                let go_on = outcome.as_ref().is_ok_and(|outcome| each(at, outcome));
                if !go_on {
                    stop.store(true, Ordering::SeqCst);
                }
                done.lock().unwrap_or_else(PoisonError::into_inner).push((at, outcome));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.config.at_once.get().min(cases.len()) {
                scope.spawn(work);
            }
            work();
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|&(at, _)| at);
        let mut report = WriteReport { prompt_version: PROMPT_VERSION, ..Default::default() };
        let mut narratives = Vec::new();
        for (_, outcome) in done {
            let outcome = outcome?;
            report.add(&outcome);
            if let Outcome::Written { narrative, .. } = outcome {
                narratives.push(narrative);
            }
        }
        Ok((narratives, report))
    }

    /// The text of an answer, or what is wrong with it. Of several candidates one that passes is drawn; if none does, the
    /// first one's fault counts.
    fn check(
        &self,
        case: &WritingCase,
        answer: &str,
        place: usize,
    ) -> std::result::Result<String, Rejection> {
        let mut first = None;
        let mut passing = Vec::new();
        for text in texts(answer, case.kind)? {
            match self.check_one(case, &text) {
                Ok(()) if !passing.contains(&text) => passing.push(text),
                Ok(()) => {}
                Err(rejection) => {
                    first.get_or_insert(rejection);
                }
            }
        }
        if passing.is_empty() {
            return Err(first.unwrap_or(Rejection::Empty));
        }
        // A stream for each case: which one is drawn does not depend on what the others came to.
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(place as u64);
        Ok(passing.swap_remove(rng.random_range(0..passing.len())))
    }

    fn check_one(&self, case: &WritingCase, text: &str) -> std::result::Result<(), Rejection> {
        let shown = case.history.iter().chain(&case.item).chain(&case.previous);
        let reviews: Vec<&str> = shown.filter_map(|&item| self.reviews.get(case.user, item)).collect();
        check_text(text, template(case.kind).words, &reviews, &self.config.checks)?;
        let mut allowed: Vec<ItemId> = case.history.clone();
        // A critique leads to its item, so it must not name it.
        match case.kind {
            NarrativeKind::Critique => allowed.extend(case.previous),
            _ => allowed.extend(case.item),
        }
        match self.titles.other(text, &allowed, self.dataset) {
            Some(item) => Err(Rejection::OtherProduct {
                title: self.dataset.item_label(item).chars().take(80).collect(),
            }),
            None => Ok(()),
        }
    }
}

/// The texts of an answer: a JSON object, perhaps with a code fence or prose around it.
fn texts(answer: &str, kind: NarrativeKind) -> std::result::Result<Vec<String>, Rejection> {
    if answer.trim().is_empty() {
        return Err(Rejection::Empty);
    }
    let malformed = |reason: &str| Rejection::Malformed { reason: reason.to_owned() };
    let Some((start, end)) = answer.find('{').zip(answer.rfind('}')).filter(|(start, end)| start < end)
    else {
        // Models that will not write forget about JSON: say what they did.
        return match check_text(answer.trim(), (0, usize::MAX), &[], &CheckConfig { copied_words: 0 }) {
            Err(Rejection::Refused) => Err(Rejection::Refused),
            _ => Err(malformed("there is no JSON object in it")),
        };
    };
    let value: Value = serde_json::from_str(&answer[start..=end])
        .map_err(|error| malformed(&format!("it is not valid JSON ({error})")))?;
    let tidy = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let texts: Vec<String> = match (&value["texts"], &value["text"]) {
        (Value::Array(texts), _) if kind == NarrativeKind::Critique => {
            texts.iter().filter_map(Value::as_str).map(tidy).collect()
        }
        (_, Value::String(text)) => vec![tidy(text)],
        _ if kind == NarrativeKind::Critique => return Err(malformed("`texts` must be a list of strings")),
        _ => return Err(malformed("`text` must be a string")),
    };
    Ok(texts)
}

/// Whether another question would fare no better.
fn hopeless(error: &regen_chat::Error) -> bool {
    use regen_chat::Error as Chat;
    match error {
        // A wrong key, address or model. Others, such as 400 for a prompt that is too long, may be this question's fault.
        Chat::Status { status, .. } => matches!(status, 401 | 403 | 404),
        Chat::Connection { .. } | Chat::Timeout { .. } | Chat::Malformed { .. } => false,
        _ => true,
    }
}
