//! One prompt as ids: where soft tokens, phrases and the narrative stand.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use regen_lm::TextTokenizer;

use super::request::{Detail, Request};
use super::review::ReviewVector;
use super::tokens::PromptTokens;
use crate::{Error, NarratorConfig, Result};

/// Stands in a prompt where a soft token goes.
pub(super) const SOFT: i64 = -1;

/// How many places soft tokens take in a prompt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    /// Of an item that stands for itself.
    pub(crate) per_item: usize,
    /// Of a history that is read as a whole; 0 where each of its items stands for itself.
    pub(crate) per_history: usize,
    /// Of the user, behind the history: before it, the purchases to come could be read from it.
    pub(crate) per_user: usize,
}

impl Places {
    /// Places of a history of `items`. Nothing takes none.
    pub(crate) fn of_history(self, items: usize) -> usize {
        match self.per_history {
            0 => items * self.per_item,
            _ if items == 0 => 0,
            whole => whole,
        }
    }

    /// Soft tokens that are computed for a request of `items`: those of every item, then those of the history, then the user's.
    pub(super) fn computed(self, items: usize) -> usize {
        items * self.per_item + self.per_history + self.per_user
    }

    /// Which of the computed soft tokens stands in the `n`-th place of a request: those of the history, the user's, the target's.
    pub(super) fn soft_token(self, n: usize, history: usize, items: usize) -> usize {
        let places = self.of_history(history);
        let of_items = items * self.per_item;
        match n.checked_sub(places) {
            None if self.per_history == 0 => n,
            None => of_items + n,
            Some(behind) if behind < self.per_user => of_items + self.per_history + behind,
            Some(behind) => history * self.per_item + behind - self.per_user,
        }
    }
}

/// Numbers that count for the identity of a run and of a prompt, bit by bit; NaN where one is not known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(pub(super) Vec<f32>);

impl Known {
    fn bits(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().map(|value| value.to_bits())
    }
}

impl Ord for Known {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bits().cmp(other.bits())
    }
}

impl PartialOrd for Known {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Known {}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.len().hash(state);
        self.bits().for_each(|bits| bits.hash(state));
    }
}

/// What two prompts with the same beginning have in common.
pub(crate) type BeginningKey<'a> =
    (usize, &'a [i64], &'a [i64], usize, [&'a Known; 3], &'a [Option<ReviewVector>]);

/// A prompt as ids, [`SOFT`] where soft tokens go, the rows that those are made of, and the answer's ids.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Sequence {
    pub(super) prompt: Vec<i64>,
    pub(super) rows: Vec<i64>,
    /// How many of `rows`, from the first, are the history.
    pub(super) history: usize,
    /// Of each purchase of the history.
    pub(super) ratings: Known,
    pub(super) days: Known,
    /// Of each purchase of the history, where reviews are read; empty where they are not.
    pub(super) reviews: Vec<Option<ReviewVector>>,
    /// The user's own vector; empty where there is none.
    pub(super) user: Known,
    /// Ids before the first soft token.
    begin: usize,
    /// Where in `prompt` each phrase of the passage stands, without its mark.
    pub(super) passage: Vec<Range<usize>>,
    /// Ids at the end of `prompt` that ask for the kind of narrative.
    ask: usize,
    pub(super) answer: Vec<i64>,
}

impl Sequence {
    /// Lays out a request. `index` is its position in the caller's list, for messages.
    pub(crate) fn prompt(
        index: usize,
        request: &Request,
        tokenizer: &TextTokenizer,
        tokens: &PromptTokens,
        config: &NarratorConfig,
        items: usize,
    ) -> Result<Self> {
        if request.history.is_empty() && request.target.is_none() && config.passage.is_none() {
            return Err(Error::EmptyRequest { request: index });
        }
        let kind = tokens.kind(&request.kind)?;
        let recent = request.recent(config.max_history);
        let review = config.adapter.as_ref().and_then(|adapter| adapter.details.review);
        let mut details = request.recent_details(config.max_history, review.map(|read| read.dim), index)?;
        let reviews = match review {
            Some(_) => details.iter_mut().map(|detail| detail.review.take()).collect(),
            None => Vec::new(),
        };
        let known = |what: fn(&Detail) -> Option<f32>| {
            Known(details.iter().map(|detail| what(detail).unwrap_or(f32::NAN)).collect())
        };
        let mut rows = Vec::with_capacity(recent.len() + 1);
        let places = config.places();
        let mut prompt = tokens.begin.clone();
        for &item in recent.iter().chain(&request.target) {
            if item as usize >= items {
                return Err(Error::UnknownItem { request: index, item, items });
            }
            rows.push(i64::from(item));
        }
        prompt.extend(std::iter::repeat_n(SOFT, places.of_history(recent.len()) + places.per_user));
        if request.target.is_some() {
            prompt.extend(&tokens.last);
            prompt.extend(std::iter::repeat_n(SOFT, places.per_item));
        }
        let mut passage = Vec::new();
        let before = prompt.len();
        for phrase in &request.passage {
            let (Some(reads), Some(mark)) = (&config.passage, &tokens.text) else {
                return Err(Error::UnreadPassage { request: index });
            };
            prompt.extend(mark);
            let start = prompt.len();
            // After a space, as inside a narrative: there the phrase is made of the same tokens.
            // Plain, since whoever wrote it must not end the prompt or speak for the program.
            prompt.extend(tokenizer.encode_plain(&format!(" {}", phrase.trim_start()))?);
            prompt.truncate(before + reads.max_tokens);
            passage.push(start.min(prompt.len())..prompt.len());
        }
        prompt.extend(kind);
        let begin = tokens.begin.len();
        Ok(Self {
            prompt,
            rows,
            history: recent.len(),
            ratings: known(|detail| detail.rating),
            days: known(|detail| detail.days),
            reviews,
            user: Known::default(),
            begin,
            passage,
            ask: kind.len(),
            answer: Vec::new(),
        })
    }

    /// Adds the user's own vector.
    pub(crate) fn of_user(mut self, vector: Option<Vec<f32>>) -> Self {
        self.user = Known(vector.unwrap_or_default());
        self
    }

    /// Adds the narrative, cut to `max_narrative_tokens`. A cut narrative has no `<eos>`, since it does not end there.
    pub(crate) fn with_answer(
        mut self,
        text: &str,
        tokenizer: &TextTokenizer,
        tokens: &PromptTokens,
        config: &NarratorConfig,
    ) -> Result<Self> {
        self.answer = tokenizer.encode_plain(text)?;
        if self.answer.len() < config.max_narrative_tokens {
            self.answer.push(tokens.eos);
        } else {
            self.answer.truncate(config.max_narrative_tokens);
        }
        Ok(self)
    }

    /// The prompt up to what asks for the kind: what all kinds of one user and item begin with.
    pub(crate) fn beginning(&self) -> Self {
        let shared = self.prompt.len() - self.ask;
        Self { prompt: self.prompt[..shared].to_vec(), ask: 0, answer: Vec::new(), ..self.clone() }
    }

    /// What asks for the kind, alone.
    pub(crate) fn asking(&self) -> Self {
        let prompt = self.prompt[self.prompt.len() - self.ask..].to_vec();
        Self {
            prompt,
            rows: Vec::new(),
            history: 0,
            ratings: Known::default(),
            days: Known::default(),
            reviews: Vec::new(),
            user: Known::default(),
            begin: 0,
            passage: Vec::new(),
            ask: self.ask,
            answer: Vec::new(),
        }
    }

    /// What two prompts with the same beginning have in common, and others have not; shorter ones first.
    pub(crate) fn beginning_key(&self) -> BeginningKey<'_> {
        let shared = self.prompt.len() - self.ask;
        let known = [&self.ratings, &self.days, &self.user];
        (shared, &self.rows, &self.prompt[..shared], self.history, known, &self.reviews)
    }

    /// From which position which row follows, and whether that is the target: after every item of the history that stands for
    /// itself, or after the history as a whole. The target follows from the user's place, where there is one.
    pub(super) fn next_items(&self, places: Places) -> impl Iterator<Item = (usize, i64, bool)> + '_ {
        let first = if places.per_history > 0 { self.history.max(1) } else { 1 };
        let next = (first..=self.history).filter(|&before| before < self.rows.len());
        next.map(move |before| {
            let target = before == self.history;
            let user = if target { places.per_user } else { 0 };
            (self.begin - 1 + places.of_history(before) + user, self.rows[before], target)
        })
    }

    /// Whether there are no ids.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ids in all.
    pub(crate) fn len(&self) -> usize {
        self.prompt.len() + self.answer.len()
    }

    /// Ids of the narrative.
    pub(crate) fn answer(&self) -> &[i64] {
        &self.answer
    }

    /// Ids of the answer: those that the loss counts.
    pub(crate) fn answer_len(&self) -> usize {
        self.answer.len()
    }
}

/// Sequences for tests of other modules.
#[cfg(test)]
pub(crate) mod testing {
    use super::{Known, Sequence};

    /// A prompt whose last `ask` ids ask for the kind, over these rows of the tables.
    pub(crate) fn sequence(prompt: &[i64], ask: usize, rows: &[i64]) -> Sequence {
        Sequence {
            prompt: prompt.to_vec(),
            rows: rows.to_vec(),
            history: rows.len(),
            ratings: Known::default(),
            days: Known::default(),
            reviews: Vec::new(),
            user: Known::default(),
            begin: 1,
            passage: Vec::new(),
            ask,
            answer: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two items of history in a batch as wide as four, with two soft tokens each: computed are 8 of items, those of the
    /// history, the user's.
    #[test]
    fn places_name_the_soft_tokens_that_are_computed_for_them() {
        let named = |per_history, per_user| {
            let places = Places { per_item: 2, per_history, per_user };
            let count = places.of_history(2) + per_user + 2;
            let named: Vec<usize> = (0..count).map(|n| places.soft_token(n, 2, 4)).collect();
            (named, places.computed(4))
        };
        assert_eq!(named(0, 0), (vec![0, 1, 2, 3, 4, 5], 8));
        assert_eq!(named(0, 1), (vec![0, 1, 2, 3, 8, 4, 5], 9));
        assert_eq!(named(3, 0), (vec![8, 9, 10, 4, 5], 11));
        assert_eq!(named(3, 1), (vec![8, 9, 10, 11, 4, 5], 12));
        // Without a history, the target is the first item.
        let places = Places { per_item: 2, per_history: 3, per_user: 1 };
        assert_eq!([0, 1, 2].map(|n| places.soft_token(n, 0, 4)), [11, 0, 1]);
    }
}
