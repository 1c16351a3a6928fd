//! Which item is bought next: scores of every item from the language model's state, and how well they rank.

use rand::RngExt;
use regen_lm::masked_loss;
use regen_torch::seed::{self, ChaCha8Rng};
use regen_torch::{Numbers, try_range};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Reduction, Tensor, nn};

use crate::prompt::{Batch, Padding, Sequence};
use crate::{Error, Narrator, Request, Result, Withheld};

/// How the next purchase is learned beside the narrative.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextItemTraining {
    /// What its loss counts beside that of the narrative, in nats for nats.
    pub weight: f64,
    /// Items that each purchase is told from, drawn evenly and shared by a batch; 0 for all items.
    pub negatives: usize,
}

/// Scores items by the angle between a state of the language model, turned by a matrix, and the item's soft token, so that
/// the adapter is what both tasks share.
///
/// `score = e^τ · cos(W h, t)`, with `t` the mean of the item's soft tokens.
#[derive(Debug)]
pub(crate) struct NextItemHead {
    query: Tensor,
    temperature: Tensor,
}

/// `e^τ` at the start.
const START: f64 = 10.0;

impl NextItemHead {
    pub(crate) fn new(vs: &nn::Path<'_>, hidden: i64, rng: &mut ChaCha8Rng) -> Self {
        let query = seed::normal(rng, &[hidden, hidden], (hidden as f64).sqrt().recip());
        Self {
            query: vs.var_copy("query", &query),
            temperature: vs.var_copy("temperature", &Tensor::from(START.ln() as f32)),
        }
    }

    /// `states: [n, hidden]` → directions of the same shape, scaled by `e^τ`.
    fn directions(&self, states: &Tensor) -> regen_lm::Result<Tensor> {
        let turned = states.f_to_kind(Kind::Float)?.f_linear(&self.query, None::<&Tensor>)?;
        Ok(unit(&turned)?.f_mul(&self.temperature.f_exp()?)?)
    }

    /// Scores of items in these directions, `[n, hidden]` and `[items, hidden]` → `[n, items]`.
    fn scores(&self, states: &Tensor, items: &Tensor) -> regen_lm::Result<Tensor> {
        Ok(self.directions(states)?.f_matmul(&items.f_tr()?)?)
    }
}

impl Narrator {
    /// The place of each request's target among all items that its history does not hold, 1 for the best, from what is read
    /// before the target. `None` for a request without history or target, and where the history holds the target.
    /// Equal scores count as ranked before it.
    ///
    /// # Errors
    /// [`Error::NoNextItem`] for a narrator that was not made for it; those of laying out the requests.
    pub fn next_item_ranks(&self, requests: &[Request], batch: usize) -> Result<Vec<Option<usize>>> {
        let head = self.next_item.as_ref().ok_or(Error::NoNextItem)?;
        let sequences = self.prompts(requests)?;
        let mut ranks = vec![None; requests.len()];
        let mut asked: Vec<usize> = (0..requests.len())
            .filter(|&index| {
                let request = &requests[index];
                let target = request.target.filter(|target| !request.history.contains(target));
                target.is_some() && !request.history.is_empty()
            })
            .collect();
        asked.sort_by_key(|&index| sequences[index].len());
        tch::no_grad(|| {
            let items = self.catalogue_directions()?;
            for chunk in asked.chunks(batch.max(1)) {
                let rows: Vec<&Sequence> = chunk.iter().map(|&index| &sequences[index]).collect();
                let batch = self.batch(&rows, Padding::Right)?;
                let hidden =
                    self.decoder.forward(&self.embeddings(&batch, Withheld::Nothing)?, &batch.mask, None)?;
                let next = batch.next.last(self.device)?;
                let scores = head.scores(&next.states(&hidden)?, &items)?;
                let bought = chunk.iter().map(|&index| requests[index].history.as_slice());
                let places = places_of(&scores, &next.items, bought)?;
                for (place, &index) in places.into_iter().zip(chunk) {
                    ranks[index] = usize::try_from(place).ok();
                }
            }
            Ok(ranks)
        })
    }

    /// Mean cross entropy, in nats, of the next item at every place of a batch that has one. Where no place has, it is zero,
    /// and so are its gradients.
    pub(crate) fn next_item_loss(
        &self,
        hidden: &Tensor,
        batch: &Batch,
        negatives: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<NextLoss> {
        let head = self.next_item.as_ref().ok_or(Error::NoNextItem)?;
        let next = batch.next.all(self.device)?;
        if next.items.numel() == 0 {
            let loss = (head.query.sum(Kind::Float) + &head.temperature) * 0.0;
            return Ok(NextLoss { loss, places: 0 });
        }
        let places = next.items.numel();
        let states = next.states(hidden)?;
        let all = self.tables.items();
        if negatives == 0 || negatives >= all {
            let scores = head.scores(&states, &self.catalogue_directions()?)?;
            let loss = mean_loss(&scores, &next.items)?;
            return Ok(NextLoss { loss, places });
        }
        // Drawn evenly, every candidate is as likely as another, and the correction of a sampled softmax is the same for all.
        // Source: Jean et al. 2015, "On Using Very Large Target Vocabulary", section 3.
        let drawn: Vec<i64> = (0..negatives).map(|_| rng.random_range(0..all) as i64).collect();
        let drawn = numbers(&drawn, self.device)?;
        let candidates = self.item_directions(&Tensor::f_cat(&[&next.items, &drawn], 0)?)?;
        let loss = sampled_loss(&head.directions(&states)?, &candidates, &next.items, &drawn)?;
        Ok(NextLoss { loss, places })
    }

    /// The direction of every item, `[items, hidden]`.
    fn catalogue_directions(&self) -> Result<Tensor> {
        /// Items whose soft tokens are made at once.
        const CHUNK: i64 = 8192;
        let items = self.tables.items() as i64;
        let directions =
            |first| self.item_directions(&try_range(first, items.min(first + CHUNK), self.device)?);
        let parts = (0..items).step_by(CHUNK as usize).map(directions).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&parts, 0)?)
    }

    /// `rows: [n]` → the directions of those items, `[n, hidden]`.
    fn item_directions(&self, rows: &Tensor) -> Result<Tensor> {
        let adapter = self.adapter.as_ref().ok_or(Error::NoAdapter)?;
        let rows = rows.f_unsqueeze(0)?;
        let there = Tensor::f_ones(rows.size(), (Kind::Bool, self.device))?;
        let soft = adapter.forward(&self.tables.gather(&rows, &there)?)?.embeddings;
        let per_item = adapter.config().tokens_per_item;
        let each = soft.f_squeeze_dim(0)?.f_unflatten(0, [-1, per_item])?;
        Ok(unit(&each.f_mean_dim([1i64].as_slice(), false, Kind::Float)?)?)
    }

    /// The losses of a batch that training adds up: the narrative's, and the next item's where it is asked for.
    pub(crate) fn batch_losses(
        &self,
        batch: &Batch,
        next: Option<NextItemTraining>,
        rng: &mut ChaCha8Rng,
    ) -> Result<(Tensor, Option<NextLoss>)> {
        let hidden = self.decoder.forward(&self.embeddings(batch, Withheld::Nothing)?, &batch.mask, None)?;
        self.losses_of(&hidden, batch, None, next, rng)
    }

    /// As [`Narrator::batch_losses`], from the final hidden states of the batch, and from the narrative's loss if that is known already.
    pub(crate) fn losses_of(
        &self,
        hidden: &Tensor,
        batch: &Batch,
        narrative: Option<Tensor>,
        next: Option<NextItemTraining>,
        rng: &mut ChaCha8Rng,
    ) -> Result<(Tensor, Option<NextLoss>)> {
        let narrative = match (&self.copying, narrative) {
            (_, Some(narrative)) => narrative,
            (Some(copying), None) => {
                let chosen = crate::losses::Chosen::of(hidden, batch)?;
                let likely = copying.log_likelihood(&self.decoder, hidden, batch, &chosen)?;
                likely.mean(Kind::Float).neg()
            }
            (None, None) => masked_loss(&self.decoder, hidden, &batch.targets, &batch.loss_mask)?,
        };
        let next = match next {
            Some(next) => Some(self.next_item_loss(hidden, batch, next.negatives, rng)?),
            None => None,
        };
        Ok((narrative, next))
    }
}

/// The loss of the next item in a batch.
pub(crate) struct NextLoss {
    /// Scalar, in nats a place.
    pub(crate) loss: Tensor,
    /// How many purchases it counts.
    pub(crate) places: usize,
}

/// Places of a batch from which a next item is told.
#[derive(Debug, Default)]
pub(crate) struct NextPlaces {
    /// Positions in the flattened batch, the item that comes next, and whether it is the request's target.
    pub(crate) places: Vec<(i64, i64, bool)>,
}

/// Some of them as tensors.
pub(crate) struct NextItems {
    places: Tensor,
    /// `[n]` i64 rows of the item tables.
    pub(crate) items: Tensor,
}

impl NextPlaces {
    fn all(&self, device: Device) -> regen_lm::Result<NextItems> {
        self.chosen(device, |_| true)
    }

    fn last(&self, device: Device) -> regen_lm::Result<NextItems> {
        self.chosen(device, |target| target)
    }

    fn chosen(&self, device: Device, wanted: impl Fn(bool) -> bool) -> regen_lm::Result<NextItems> {
        let chosen = self.places.iter().filter(|(_, _, target)| wanted(*target));
        let (places, items): (Vec<i64>, Vec<i64>) = chosen.map(|&(place, item, _)| (place, item)).unzip();
        Ok(NextItems { places: numbers(&places, device)?, items: numbers(&items, device)? })
    }
}

impl NextItems {
    /// `hidden: [batch, seq, hidden]` → the states at the places, `[n, hidden]`.
    fn states(&self, hidden: &Tensor) -> regen_lm::Result<Tensor> {
        Ok(hidden.f_flatten(0, 1)?.f_index_select(0, &self.places)?)
    }
}

fn numbers(values: &[i64], device: Device) -> regen_lm::Result<Tensor> {
    Ok(Tensor::f_from_slice(values)?.f_to_device(device)?)
}

/// The place of `items: [n]` among all by `scores: [n, items]`, those that were bought left out; equal scores stand before.
fn places_of<'a>(
    scores: &Tensor,
    items: &Tensor,
    bought: impl Iterator<Item = &'a [u32]>,
) -> regen_lm::Result<Vec<i64>> {
    let own = scores.f_gather(1, &items.f_unsqueeze(-1)?, false)?;
    let above = scores.f_ge_tensor(&own)?;
    let no = Tensor::f_zeros([0i64; 0], (Kind::Bool, scores.device()))?;
    for (row, bought) in bought.enumerate() {
        let bought: Vec<i64> = bought.iter().map(|&item| i64::from(item)).collect();
        let bought = numbers(&bought, scores.device())?;
        let _ = above.f_get(row as i64)?.f_index_fill_int_tensor_(0, &bought, &no)?;
    }
    // The item itself is among them.
    let counts = above.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Int64)?;
    Ok(Vec::<i64>::try_from(&counts.f_to_device(Device::Cpu)?)?)
}

/// Mean cross entropy of each item against those drawn, which are the last of `candidates`.
fn sampled_loss(
    directions: &Tensor,
    candidates: &Tensor,
    items: &Tensor,
    drawn: &Tensor,
) -> regen_lm::Result<Tensor> {
    let (count, negatives) = (items.numel() as i64, drawn.numel() as i64);
    let own = directions.f_mul(&candidates.f_narrow(0, 0, count)?)?;
    let own = own.f_sum_dim_intlist([1i64].as_slice(), true, Kind::Float)?;
    let others = directions.f_matmul(&candidates.f_narrow(0, count, negatives)?.f_tr()?)?;
    // An item that was drawn against itself is no negative.
    let same = items.f_unsqueeze(-1)?.f_eq_tensor(drawn)?;
    let others = others.try_masked_fill(&same, f64::NEG_INFINITY)?;
    mean_loss(&Tensor::f_cat(&[own, others], 1)?, &items.f_zeros_like()?)
}

fn mean_loss(scores: &Tensor, right: &Tensor) -> regen_lm::Result<Tensor> {
    Ok(scores.f_cross_entropy_loss(right, None::<&Tensor>, Reduction::Mean, -100, 0.0)?)
}

/// Rows of norm 1; a zero row stays zero.
pub(crate) fn unit(rows: &Tensor) -> regen_lm::Result<Tensor> {
    // The square of the least length is a number yet.
    Ok(rows.f_to_kind(Kind::Float)?.try_unit(1e-18)?)
}
