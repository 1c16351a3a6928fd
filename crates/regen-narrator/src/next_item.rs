//! Which item is bought next: scores of every item from the language model's state, and how well they rank.

use rand::RngExt;
use regen_lm::masked_loss;
use regen_torch::seed::{self, ChaCha8Rng};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Reduction, Tensor, nn};

use crate::losses::Control;
use crate::prompt::{Batch, Padding, Sequence};
use crate::{Error, Narrator, Request, Result};

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
    fn directions(&self, states: &Tensor) -> Tensor {
        unit(&states.to_kind(Kind::Float).linear(&self.query, None::<&Tensor>)) * self.temperature.exp()
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
                    self.decoder.forward(&self.embeddings(&batch, Control::Nothing)?, &batch.mask, None)?;
                let next = batch.next.last(self.device);
                let scores = head.directions(&next.states(&hidden)).matmul(&items.tr());
                let own = scores.gather(1, &next.items.unsqueeze(-1), false);
                let above = scores.ge_tensor(&own);
                for (row, &index) in chunk.iter().enumerate() {
                    let bought: Vec<i64> =
                        requests[index].history.iter().map(|&item| i64::from(item)).collect();
                    let bought = Tensor::from_slice(&bought).to_device(self.device);
                    let _ = above.get(row as i64).index_fill_(0, &bought, 0);
                }
                // The target itself is among them.
                let counts = above.sum_dim_intlist([1i64].as_slice(), false, Kind::Int64);
                for (row, &index) in chunk.iter().enumerate() {
                    ranks[index] = usize::try_from(counts.int64_value(&[row as i64])).ok();
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
        let next = batch.next.all(self.device);
        if next.items.numel() == 0 {
            let loss = (head.query.sum(Kind::Float) + &head.temperature) * 0.0;
            return Ok(NextLoss { loss, places: 0 });
        }
        let places = next.items.numel();
        let directions = head.directions(&next.states(hidden));
        let all = self.tables.items();
        if negatives == 0 || negatives >= all {
            let scores = directions.matmul(&self.catalogue_directions()?.tr());
            let loss = mean_loss(&scores, &next.items);
            return Ok(NextLoss { loss, places });
        }
        // Drawn evenly, every candidate is as likely as another, and the correction of a sampled softmax is the same for all.
        // Source: Jean et al. 2015, "On Using Very Large Target Vocabulary", section 3.
        let drawn: Vec<i64> = (0..negatives).map(|_| rng.random_range(0..all) as i64).collect();
        let drawn = Tensor::from_slice(&drawn).to_device(self.device);
        let candidates = self.item_directions(&Tensor::cat(&[&next.items, &drawn], 0))?;
        let count = next.items.numel() as i64;
        let own = (&directions * candidates.narrow(0, 0, count)).sum_dim_intlist(
            [1i64].as_slice(),
            true,
            Kind::Float,
        );
        let others = directions.matmul(&candidates.narrow(0, count, negatives as i64).tr());
        let others = others.masked_fill(&next.items.unsqueeze(-1).eq_tensor(&drawn), f64::NEG_INFINITY);
        let first = next.items.zeros_like();
        let scores = Tensor::cat(&[own, others], 1);
        let loss = mean_loss(&scores, &first);
        Ok(NextLoss { loss, places })
    }

    /// The direction of every item, `[items, hidden]`.
    fn catalogue_directions(&self) -> Result<Tensor> {
        /// Items whose soft tokens are made at once.
        const CHUNK: i64 = 8192;
        let rows = Tensor::arange(self.tables.items() as i64, (Kind::Int64, self.device));
        let parts =
            rows.split(CHUNK, 0).iter().map(|rows| self.item_directions(rows)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&parts, 0))
    }

    /// `rows: [n]` → the directions of those items, `[n, hidden]`.
    fn item_directions(&self, rows: &Tensor) -> Result<Tensor> {
        let adapter = self.adapter.as_ref().ok_or(Error::NoAdapter)?;
        let rows = rows.unsqueeze(0);
        let there = rows.ones_like().to_kind(Kind::Bool);
        let soft = adapter.forward(&self.tables.gather(&rows, &there)?)?.embeddings;
        let per_item = adapter.config().tokens_per_item;
        let means =
            soft.squeeze_dim(0).unflatten(0, [-1, per_item]).mean_dim([1i64].as_slice(), false, Kind::Float);
        Ok(unit(&means))
    }

    /// The losses of a batch that training adds up: the narrative's, and the next item's where it is asked for.
    pub(crate) fn batch_losses(
        &self,
        batch: &Batch,
        next: Option<NextItemTraining>,
        rng: &mut ChaCha8Rng,
    ) -> Result<(Tensor, Option<NextLoss>)> {
        let hidden = self.decoder.forward(&self.embeddings(batch, Control::Nothing)?, &batch.mask, None)?;
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
    fn all(&self, device: Device) -> NextItems {
        self.chosen(device, |_| true)
    }

    fn last(&self, device: Device) -> NextItems {
        self.chosen(device, |target| target)
    }

    fn chosen(&self, device: Device, wanted: impl Fn(bool) -> bool) -> NextItems {
        let chosen = self.places.iter().filter(|(_, _, target)| wanted(*target));
        let (places, items): (Vec<i64>, Vec<i64>) = chosen.map(|&(place, item, _)| (place, item)).unzip();
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        NextItems { places: tensor(&places), items: tensor(&items) }
    }
}

impl NextItems {
    /// `hidden: [batch, seq, hidden]` → the states at the places, `[n, hidden]`.
    fn states(&self, hidden: &Tensor) -> Tensor {
        hidden.flatten(0, 1).index_select(0, &self.places)
    }
}

fn mean_loss(scores: &Tensor, right: &Tensor) -> Tensor {
    scores.cross_entropy_loss(right, None::<&Tensor>, Reduction::Mean, -100, 0.0)
}

/// Rows of norm 1; a zero row stays zero.
pub(crate) fn unit(rows: &Tensor) -> Tensor {
    let rows = rows.to_kind(Kind::Float);
    &rows / rows.norm_scalaropt_dim(2, [-1i64], true).clamp_min(f64::from(f32::MIN_POSITIVE))
}
