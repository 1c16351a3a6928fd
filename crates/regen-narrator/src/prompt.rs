//! What the language model is shown: the layout of a prompt, and batches of it as tensors.
//!
//! A prompt is `<bos> item … item [<last> item] [<text> phrase …] <kind>`, then the narrative and `<eos>`. Each `item` is
//! the place of `tokens_per_item` soft tokens; an adapter that reads a history as a whole has `tokens_per_history` places for all
//! the items before `<last>` instead. `<last>` marks the immediate context (the purchase that is narrated);
//! `<text>` begins each phrase of the passage that the writer may read, where the narrator was made to. The kind's own token
//! asks for the narrative, so one model writes every kind.

use std::ops::Range;

use regen_lm::{PaddingMask, TextTokenizer};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use crate::next_item::NextPlaces;
use crate::{Error, NarratorConfig, Result};

const ITEM: &str = "<item>";
const LAST: &str = "<last>";
const TEXT: &str = "<text>";

/// The tokens that a narrator's prompts need beside text and the tokenizer's own begin, end and padding; give them
/// to the tokenizer's training.
///
/// `kinds` are names of narrative kinds such as `purchase_reason`.
pub fn special_tokens<S: AsRef<str>>(kinds: &[S]) -> Vec<String> {
    let fixed = [ITEM, LAST, TEXT].into_iter().map(str::to_owned);
    fixed.chain(kinds.iter().map(|kind| kind_token(kind.as_ref()))).collect()
}

fn kind_token(kind: &str) -> String {
    format!("<{kind}>")
}

/// What a narrative is asked to be about. Items are rows of the narrator's tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// One of the narrator's kinds.
    pub kind: String,
    /// Past purchases, oldest first. Only the last `max_history` are read.
    pub history: Vec<u32>,
    /// The purchase that the narrative is about; `None` where it speaks of the history alone.
    pub target: Option<u32>,
    /// Phrases to read before writing, such as the target's title and what its description says. Only a narrator with
    /// [`NarratorConfig::passage`] takes any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passage: Vec<String>,
}

impl Request {
    /// The items that a narrator of `max_history` makes soft tokens of, in their order: the last purchases of the history,
    /// then the target.
    pub fn items_read(&self, max_history: usize) -> impl Iterator<Item = u32> + '_ {
        self.recent(max_history).iter().copied().chain(self.target)
    }

    fn recent(&self, max_history: usize) -> &[u32] {
        &self.history[self.history.len().saturating_sub(max_history)..]
    }
}

/// A request and the narrative that answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// The request.
    pub request: Request,
    /// The reference narrative.
    pub text: String,
}

/// Ids of the special tokens, looked up once.
#[derive(Debug)]
pub(crate) struct PromptTokens {
    bos: i64,
    pub(crate) eos: i64,
    pad: i64,
    item: i64,
    last: i64,
    /// Only where passages are read.
    text: Option<i64>,
    kinds: Vec<(String, i64)>,
}

impl PromptTokens {
    pub(crate) fn new(tokenizer: &TextTokenizer, kinds: &[String], passages: bool) -> Result<Self> {
        let found =
            |id: Option<i64>, token: &str| id.ok_or_else(|| Error::MissingToken { token: token.to_owned() });
        let id = |token: &str| found(tokenizer.id(token), token);
        let kinds =
            kinds.iter().map(|kind| Ok((kind.clone(), id(&kind_token(kind))?))).collect::<Result<_>>()?;
        Ok(Self {
            bos: found(tokenizer.bos_id(), "that begins a sequence")?,
            eos: found(tokenizer.eos_id(), "that ends a sequence")?,
            pad: found(tokenizer.pad_id(), "for padding")?,
            item: id(ITEM)?,
            last: id(LAST)?,
            text: passages.then(|| id(TEXT)).transpose()?,
            kinds,
        })
    }

    fn kind(&self, kind: &str) -> Result<i64> {
        let found = self.kinds.iter().find(|(name, _)| name == kind);
        found.map(|&(_, id)| id).ok_or_else(|| Error::UnknownKind {
            kind: kind.to_owned(),
            known: self.kinds.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }
}

/// How many places soft tokens take in a prompt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    /// Of an item that stands for itself.
    pub(crate) per_item: usize,
    /// Of a history that is read as a whole; 0 where each of its items stands for itself.
    pub(crate) per_history: usize,
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

    /// Soft tokens that are computed for a request of `items`: those of every item, then those of the history.
    fn computed(self, items: usize) -> usize {
        items * self.per_item + self.per_history
    }

    /// Which of the computed soft tokens stands in the `n`-th place of a request.
    fn soft_token(self, n: usize, history: usize, items: usize) -> usize {
        match self.of_history(history) {
            _ if self.per_history == 0 => n,
            places if n < places => items * self.per_item + n,
            places => history * self.per_item + n - places,
        }
    }
}

/// A prompt as ids, the rows whose soft tokens go into the places of `<item>`, and the answer's ids.
#[derive(Debug, Clone)]
pub(crate) struct Sequence {
    prompt: Vec<i64>,
    rows: Vec<i64>,
    /// How many of `rows`, from the first, are the history.
    history: usize,
    /// Where in `prompt` the phrases of the passage stand, from the first to the end of the last.
    passage: Range<usize>,
    answer: Vec<i64>,
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
        let mut rows = Vec::with_capacity(recent.len() + 1);
        let places = config.places();
        let mut prompt = vec![tokens.bos];
        for &item in recent.iter().chain(&request.target) {
            if item as usize >= items {
                return Err(Error::UnknownItem { request: index, item, items });
            }
            rows.push(i64::from(item));
        }
        prompt.extend(std::iter::repeat_n(tokens.item, places.of_history(recent.len())));
        if request.target.is_some() {
            prompt.push(tokens.last);
            prompt.extend(std::iter::repeat_n(tokens.item, places.per_item));
        }
        let mut passage = prompt.len()..prompt.len();
        for phrase in &request.passage {
            let (Some(reads), Some(marker)) = (&config.passage, tokens.text) else {
                return Err(Error::UnreadPassage { request: index });
            };
            prompt.push(marker);
            // After a space, as inside a narrative: there the phrase is made of the same tokens.
            prompt.extend(tokenizer.encode(&format!(" {}", phrase.trim_start()))?);
            prompt.truncate(passage.start + reads.max_tokens);
            passage.end = prompt.len();
        }
        prompt.push(kind);
        Ok(Self { prompt, rows, history: recent.len(), passage, answer: Vec::new() })
    }

    /// Adds the narrative, cut to `max_narrative_tokens`. A cut narrative has no `<eos>`, since it does not end there.
    pub(crate) fn with_answer(
        mut self,
        text: &str,
        tokenizer: &TextTokenizer,
        tokens: &PromptTokens,
        config: &NarratorConfig,
    ) -> Result<Self> {
        self.answer = tokenizer.encode(text)?;
        if self.answer.len() < config.max_narrative_tokens {
            self.answer.push(tokens.eos);
        } else {
            self.answer.truncate(config.max_narrative_tokens);
        }
        Ok(self)
    }

    /// From which position which row follows, and whether that is the target: after every item of the history that stands for
    /// itself, or after the history as a whole. The first item of the prompt stands behind `<bos>`.
    fn next_items(&self, places: Places) -> impl Iterator<Item = (usize, i64, bool)> + '_ {
        let first = if places.per_history > 0 { self.history.max(1) } else { 1 };
        let next = (first..=self.history).filter(|&before| before < self.rows.len());
        next.map(move |before| (places.of_history(before), self.rows[before], before == self.history))
    }

    /// Ids in all.
    pub(crate) fn len(&self) -> usize {
        self.prompt.len() + self.answer.len()
    }

    /// Ids of the answer: those that the loss counts.
    pub(crate) fn answer_len(&self) -> usize {
        self.answer.len()
    }
}

/// On which side shorter rows of a batch are filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// For training.
    Right,
    /// For generation, so that all rows continue in the same column.
    Left,
}

/// Sequences as tensors.
#[derive(Debug)]
pub(crate) struct Batch {
    /// `[batch, seq]` i64, `<item>` in the places of soft tokens.
    pub(crate) ids: Tensor,
    /// Which positions are real.
    pub(crate) mask: PaddingMask,
    /// `[batch, seq]` i64: which soft token of the batch stands here, counted over
    /// `[batch, items · per_item + per_history]`; −1 for a text token.
    pub(crate) slots: Tensor,
    /// `[batch, items]` i64 rows of the item tables, 0 where `row_mask` is false.
    pub(crate) rows: Tensor,
    /// `[batch, items]` bool.
    pub(crate) row_mask: Tensor,
    /// `[batch, items]` bool: those of `rows` that are the history.
    pub(crate) history: Tensor,
    /// Where a next item may be told from.
    pub(crate) next: NextPlaces,
    /// `[batch, seq]` bool: the tokens of the passage.
    pub(crate) passage: Tensor,
    /// `[batch, seq]` i64: the id that position should predict.
    pub(crate) targets: Tensor,
    /// `[batch, seq]` bool: true where the prediction counts.
    pub(crate) loss_mask: Tensor,
}

impl Batch {
    pub(crate) fn new(
        sequences: &[&Sequence],
        padding: Padding,
        tokens: &PromptTokens,
        places: Places,
        device: Device,
    ) -> Result<Self> {
        let seq = sequences.iter().map(|s| s.len()).max().unwrap_or(0);
        let items = sequences.iter().map(|s| s.rows.len()).max().unwrap_or(0);
        let cells = sequences.len() * seq;
        let (mut ids, mut slots, mut targets) =
            (vec![tokens.pad; cells], vec![-1i64; cells], vec![tokens.pad; cells]);
        let (mut loss_mask, mut passage) = (vec![false; cells], vec![false; cells]);
        let mut rows = vec![0i64; sequences.len() * items];
        let mut next = NextPlaces::default();
        let mut row_mask = vec![false; sequences.len() * items];
        let mut history = vec![false; sequences.len() * items];
        for (row, sequence) in sequences.iter().enumerate() {
            let offset = match padding {
                Padding::Right => 0,
                Padding::Left => seq - sequence.len(),
            };
            let start = row * seq + offset;
            let mut place = 0;
            for (position, &id) in sequence.prompt.iter().chain(&sequence.answer).enumerate() {
                let cell = start + position;
                ids[cell] = id;
                passage[cell] = sequence.passage.contains(&position) && Some(id) != tokens.text;
                if position < sequence.prompt.len() && id == tokens.item {
                    let soft = places.soft_token(place, sequence.history, items);
                    slots[cell] = (row * places.computed(items) + soft) as i64;
                    place += 1;
                }
                if position >= sequence.prompt.len() {
                    targets[cell - 1] = id;
                    loss_mask[cell - 1] = true;
                }
            }
            let told = sequence.next_items(places);
            next.places.extend(told.map(|(place, item, target)| ((start + place) as i64, item, target)));
            rows[row * items..][..sequence.rows.len()].copy_from_slice(&sequence.rows);
            row_mask[row * items..][..sequence.rows.len()].fill(true);
            history[row * items..][..sequence.history].fill(true);
        }
        let wide = [sequences.len() as i64, seq as i64];
        let short = [sequences.len() as i64, items as i64];
        let ids_tensor =
            |values: &[i64], shape: &[i64; 2]| Tensor::from_slice(values).reshape(shape).to_device(device);
        let flags =
            |values: &[bool], shape: &[i64; 2]| Tensor::from_slice(values).reshape(shape).to_device(device);
        let lengths: Vec<i64> = sequences.iter().map(|s| s.len() as i64).collect();
        let mask = match padding {
            Padding::Right => PaddingMask::right(&lengths, seq as i64)?,
            Padding::Left => PaddingMask::left(&lengths, seq as i64)?,
        };
        Ok(Self {
            ids: ids_tensor(&ids, &wide),
            mask,
            slots: ids_tensor(&slots, &wide),
            rows: ids_tensor(&rows, &short),
            row_mask: flags(&row_mask, &short),
            history: flags(&history, &short),
            next,
            passage: flags(&passage, &wide),
            targets: ids_tensor(&targets, &wide),
            loss_mask: flags(&loss_mask, &wide),
        })
    }
}

/// Puts `soft [batch, soft tokens, hidden]` into the places that `slots [batch, seq]` names, leaving every
/// other position of `text [batch, seq, hidden]` as it is. Differentiable in both.
pub(crate) fn splice(text: &Tensor, soft: &Tensor, slots: &Tensor) -> Tensor {
    let hidden = text.size().last().copied().unwrap_or(0);
    let flat = soft.reshape([-1, hidden]).to_kind(text.kind());
    if flat.size()[0] == 0 {
        return text.shallow_clone();
    }
    let index = slots.clamp_min(0).reshape([-1]);
    let placed = flat.index_select(0, &index).reshape_as(text);
    placed.where_self(&slots.ge(0).unsqueeze(-1), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn splicing_moves_only_the_named_positions() {
        let text = Tensor::arange(2 * 4 * 3, (Kind::Float, Device::Cpu)).reshape([2, 4, 3]);
        let soft = -Tensor::arange(2 * 2 * 3, (Kind::Float, Device::Cpu)).reshape([2, 2, 3]) - 1.0;
        let slots = Tensor::from_slice(&[-1i64, 0, 1, -1, 2, -1, -1, -1]).reshape([2, 4]);
        let spliced = splice(&text, &soft, &slots);
        assert!(spliced.get(0).get(1).equal(&soft.get(0).get(0)));
        assert!(spliced.get(0).get(2).equal(&soft.get(0).get(1)));
        assert!(spliced.get(1).get(0).equal(&soft.get(1).get(0)));
        for (row, column) in [(0, 0), (0, 3), (1, 1), (1, 2), (1, 3)] {
            assert!(spliced.get(row).get(column).equal(&text.get(row).get(column)), "{row} {column}");
        }
    }

    #[test]
    fn kind_names_become_tokens() {
        assert_eq!(special_tokens(&["user_summary"]).last().map(String::as_str), Some("<user_summary>"));
    }
}
