//! Sequences side by side as tensors.

use regen_fusion::{AdapterConfig, Details, Numbers, ReviewInput, Side};
use regen_lm::PaddingMask;
use regen_torch::Numbers as _;
use tch::kind::Element;
use tch::{Device, Tensor};

use super::sequence::{SOFT, Sequence};
use super::tokens::PromptTokens;
use crate::next_item::NextPlaces;
use crate::{NarratorConfig, Result};

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
    /// `[batch, seq]` i64, padding in the places of soft tokens.
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
    /// What is known of the purchases, as far as the adapter reads it.
    pub(crate) details: Details,
    /// The users' own vectors, where the adapter reads them.
    pub(crate) user: Option<Side>,
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
        config: &NarratorConfig,
        device: Device,
    ) -> Result<Self> {
        let places = config.places();
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
                if id != SOFT {
                    ids[cell] = id;
                } else {
                    let soft = places.soft_token(place, sequence.history, items);
                    slots[cell] = (row * places.computed(items) + soft) as i64;
                    place += 1;
                }
                if position >= sequence.prompt.len() {
                    targets[cell - 1] = id;
                    loss_mask[cell - 1] = true;
                }
            }
            for phrase in &sequence.passage {
                passage[start + phrase.start..start + phrase.end].fill(true);
            }
            let told = sequence.next_items(places);
            next.places.extend(told.map(|(place, item, target)| ((start + place) as i64, item, target)));
            rows[row * items..][..sequence.rows.len()].copy_from_slice(&sequence.rows);
            row_mask[row * items..][..sequence.rows.len()].fill(true);
            history[row * items..][..sequence.history].fill(true);
        }
        let wide = [sequences.len() as i64, seq as i64];
        let short = [sequences.len() as i64, items as i64];
        let ids_tensor = |values: &[i64], shape: &[i64; 2]| placed(values, shape, device);
        let flags = |values: &[bool], shape: &[i64; 2]| placed(values, shape, device);
        let lengths: Vec<i64> = sequences.iter().map(|s| s.len() as i64).collect();
        let mask = match padding {
            Padding::Right => PaddingMask::right(&lengths, seq as i64)?,
            Padding::Left => PaddingMask::left(&lengths, seq as i64)?,
        };
        Ok(Self {
            ids: ids_tensor(&ids, &wide)?,
            mask,
            slots: ids_tensor(&slots, &wide)?,
            rows: ids_tensor(&rows, &short)?,
            row_mask: flags(&row_mask, &short)?,
            history: flags(&history, &short)?,
            details: details(sequences, items, config.adapter.as_ref(), device)?,
            user: users(sequences, config.adapter.as_ref(), device)?,
            next,
            passage: flags(&passage, &wide)?,
            targets: ids_tensor(&targets, &wide)?,
            loss_mask: flags(&loss_mask, &wide)?,
        })
    }
}

/// What `adapter` reads of the purchases of each row, `[batch, items]`. Targets and padding have none.
fn details(
    sequences: &[&Sequence],
    items: usize,
    adapter: Option<&AdapterConfig>,
    device: Device,
) -> Result<Details> {
    let read = adapter.map(|adapter| adapter.details).unwrap_or_default();
    let numbers = |wanted: bool, of: &dyn Fn(&Sequence, usize) -> f32| -> Result<Option<Numbers>> {
        let read = wanted.then(|| {
            let rows = sequences.iter().flat_map(|sequence| {
                let known = (0..sequence.history).map(|at| of(sequence, at));
                known.chain(std::iter::repeat(f32::NAN)).take(items).collect::<Vec<_>>()
            });
            let values: Vec<f32> = rows.collect();
            let shape = [sequences.len() as i64, items as i64];
            let values = placed(&values, &shape, device)?;
            Ok(Numbers { present: values.f_isnan()?.f_logical_not()?, values })
        });
        read.transpose()
    };
    Ok(Details {
        rating: numbers(read.rating, &|sequence, at| sequence.ratings.0[at])?,
        recency: numbers(read.recency, &|sequence, at| sequence.days.0[at])?,
        position: numbers(read.position, &|sequence, at| (sequence.history - 1 - at) as f32)?,
        review: reviews(sequences, items, read.review, device)?,
    })
}

/// The vectors of reviews, `[batch, items, dim]`: of purchases of the history alone, whatever stands behind them.
fn reviews(
    sequences: &[&Sequence],
    items: usize,
    read: Option<ReviewInput>,
    device: Device,
) -> Result<Option<Side>> {
    let Some(read) = read else { return Ok(None) };
    let width = read.dim as usize;
    let mut vectors = vec![0f32; sequences.len() * items * width];
    let mut present = vec![false; sequences.len() * items];
    for (row, sequence) in sequences.iter().enumerate() {
        for (at, review) in sequence.reviews.iter().take(sequence.history).enumerate() {
            if let Some(review) = review {
                let place = row * items + at;
                vectors[place * width..][..width].copy_from_slice(review.values());
                present[place] = true;
            }
        }
    }
    let shape = [sequences.len() as i64, items as i64, read.dim];
    Ok(Some(Side {
        vectors: placed(&vectors, &shape, device)?,
        present: placed(&present, &shape[..2], device)?,
    }))
}

fn users(sequences: &[&Sequence], adapter: Option<&AdapterConfig>, device: Device) -> Result<Option<Side>> {
    let Some(adapter) = adapter.filter(|adapter| adapter.user) else { return Ok(None) };
    let width = adapter.cf_dim as usize;
    let present: Vec<bool> = sequences.iter().map(|sequence| sequence.user.0.len() == width).collect();
    let rows = sequences.iter().flat_map(|sequence| {
        sequence.user.0.iter().copied().chain(std::iter::repeat(0.0)).take(width).collect::<Vec<_>>()
    });
    let vectors: Vec<f32> = rows.collect();
    let shape = [sequences.len() as i64, adapter.cf_dim];
    Ok(Some(Side {
        vectors: placed(&vectors, &shape, device)?,
        present: placed(&present, &shape[..1], device)?,
    }))
}

/// `values` in a tensor of `shape` on `device`.
fn placed<T: Element>(values: &[T], shape: &[i64], device: Device) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(values)?.f_reshape(shape)?.f_to_device(device)?)
}

/// Puts `soft [batch, soft tokens, hidden]` into the places that `slots [batch, seq]` names, leaving every
/// other position of `text [batch, seq, hidden]` as it is. Differentiable in both.
pub(crate) fn splice(text: &Tensor, soft: &Tensor, slots: &Tensor) -> regen_lm::Result<Tensor> {
    let hidden = text.size().last().copied().unwrap_or(0);
    let flat = soft.f_reshape([-1, hidden])?.f_to_kind(text.kind())?;
    if flat.size()[0] == 0 {
        return Ok(text.shallow_clone());
    }
    let there = slots.try_ge(0)?;
    let index = slots.f_mul(&there)?.f_reshape([-1])?;
    let placed = flat.f_index_select(0, &index)?.f_reshape_as(text)?;
    Ok(placed.f_where_self(&there.f_unsqueeze(-1)?, text)?)
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
        let spliced = splice(&text, &soft, &slots).unwrap();
        assert!(spliced.get(0).get(1).equal(&soft.get(0).get(0)));
        assert!(spliced.get(0).get(2).equal(&soft.get(0).get(1)));
        assert!(spliced.get(1).get(0).equal(&soft.get(1).get(0)));
        for (row, column) in [(0, 0), (0, 3), (1, 1), (1, 2), (1, 3)] {
            assert!(spliced.get(row).get(column).equal(&text.get(row).get(column)), "{row} {column}");
        }
    }
}
