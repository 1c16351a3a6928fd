//! The loss narrative by narrative, and what becomes of it when something is taken from the prompt.

use rand::seq::SliceRandom;
use regen_lm::Decoder;
use regen_torch::{Numbers, seed, tensor_to_vec_f32};
use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

use crate::narrator::stream;
use crate::prompt::{Batch, Padding, Sequence};
use crate::{Error, Example, Narrator, Result};

/// What is changed in the prompts before the loss is taken: whether the language model reads its soft tokens shows in what
/// the change costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Nothing.
    Nothing,
    /// Every example is given history, with its details and reviews, and target of another one of its kind. A passage stays where
    /// it is. A kind with a single example is not changed.
    ShuffledItems,
    /// One item of every example, the target or else the last purchase, is that of another example of its kind. Where all of a
    /// kind have the same, it is not changed.
    OneItemSwapped,
    /// Every item, and the user, is said to have no collaborative vector.
    WithoutCf,
    /// Every item is said to have no semantic vector.
    WithoutSemantic,
    /// Every item is said to have neither vector: only how many there are, their details and their reviews, is left.
    WithoutVectors,
    /// Nothing is said of purchases beside their items: no rating, recency or position.
    WithoutDetails,
    /// The user is said to have no vector.
    WithoutUser,
    /// The user is said to have written no reviews.
    WithoutReviews,
}

impl Control {
    /// Whether the collaborative side is taken away.
    pub(crate) fn hides_cf(self) -> bool {
        matches!(self, Self::WithoutCf | Self::WithoutVectors)
    }

    /// Whether the semantic side is taken away.
    pub(crate) fn hides_semantic(self) -> bool {
        matches!(self, Self::WithoutSemantic | Self::WithoutVectors)
    }

    /// Whether the user's vector, which is of the collaborative side too, is taken away.
    pub(crate) fn hides_user(self) -> bool {
        self.hides_cf() || self == Self::WithoutUser
    }
}

/// The loss of one narrative.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NarrativeLoss {
    /// Negative log-likelihood of all its tokens, in nats.
    pub nats: f64,
    /// Its tokens, `<eos>` included.
    pub tokens: usize,
}

impl Narrator {
    /// The loss of every example under a control, in their order. `seed` decides who changes items with whom.
    ///
    /// # Errors
    /// [`Error::NoExamples`], and those of laying out the requests.
    pub fn losses(
        &self,
        examples: &[Example],
        control: Control,
        batch: usize,
        seed: u64,
    ) -> Result<Vec<NarrativeLoss>> {
        if examples.is_empty() {
            return Err(Error::NoExamples { which: "control" });
        }
        let sequences = match control {
            Control::ShuffledItems => self.sequences(&shuffled(examples, seed))?,
            Control::OneItemSwapped => self.sequences(&swapped(examples, seed))?,
            _ => self.sequences(examples)?,
        };
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|&index| sequences[index].len());
        let mut losses = vec![NarrativeLoss { nats: 0.0, tokens: 0 }; sequences.len()];
        for chunk in order.chunks(batch.max(1)) {
            let rows: Vec<&Sequence> = chunk.iter().map(|&index| &sequences[index]).collect();
            let nats = tch::no_grad(|| self.row_losses(&rows, control))?;
            for (&index, nats) in chunk.iter().zip(nats) {
                losses[index] =
                    NarrativeLoss { nats: f64::from(nats), tokens: sequences[index].answer_len() };
            }
        }
        Ok(losses)
    }

    fn row_losses(&self, sequences: &[&Sequence], control: Control) -> Result<Vec<f32>> {
        let batch = self.batch(sequences, Padding::Right)?;
        let hidden = self.decoder.forward(&self.embeddings(&batch, control)?, &batch.mask, None)?;
        let chosen = Chosen::of(&hidden, &batch)?;
        let likely = match &self.copying {
            Some(copying) => copying.log_likelihood(&self.decoder, &hidden, &batch, &chosen)?,
            None => chosen.log_likelihood(&self.decoder)?,
        };
        Ok(tensor_to_vec_f32(&chosen.sums(&likely, sequences.len())?.neg())?)
    }
}

/// The positions of a batch whose next token is of the narrative.
pub(crate) struct Chosen {
    /// `[chosen]`: places in the flattened batch.
    pub(crate) places: Tensor,
    /// `[chosen]`: rows of the batch.
    pub(crate) rows: Tensor,
    /// `[chosen]`: the ids to be predicted.
    pub(crate) targets: Tensor,
    /// `[chosen, hidden]`
    pub(crate) states: Tensor,
}

impl Chosen {
    pub(crate) fn of(hidden: &Tensor, batch: &Batch) -> regen_lm::Result<Self> {
        let places = batch.loss_mask.f_view([-1])?.f_nonzero()?.f_view([-1])?;
        if places.numel() == 0 {
            return Err(regen_lm::Error::EmptyLoss);
        }
        let (seq, width) = (batch.ids.size()[1], hidden.size()[2]);
        Ok(Self {
            rows: places.try_floor_div(seq)?,
            targets: batch.targets.f_view([-1])?.f_index_select(0, &places)?,
            states: hidden.f_reshape([-1, width])?.f_index_select(0, &places)?,
            places,
        })
    }

    /// The language model's log-probability of each target, `[chosen]`.
    pub(crate) fn log_likelihood(&self, decoder: &Decoder) -> regen_lm::Result<Tensor> {
        let logits = decoder.logits(&self.states)?.f_to_kind(Kind::Float)?;
        let loss = logits.f_cross_entropy_loss(&self.targets, None::<&Tensor>, Reduction::None, -100, 0.0)?;
        Ok(loss.f_neg()?)
    }

    /// Sums of `values: [chosen]` for each row of the batch, `[batch]`.
    fn sums(&self, values: &Tensor, batch: usize) -> regen_lm::Result<Tensor> {
        let sums = Tensor::f_zeros([batch as i64], (Kind::Float, values.device()))?;
        Ok(sums.f_index_add(0, &self.rows, values)?)
    }
}

/// Examples with the items of others of their kind: each takes from the next of its ring.
fn shuffled(examples: &[Example], seed: u64) -> Vec<Example> {
    let mut shuffled = examples.to_vec();
    for ring in rings(examples, seed) {
        for (place, &index) in ring.iter().enumerate() {
            let giver = &examples[ring[(place + 1) % ring.len()]].request;
            shuffled[index].request.history.clone_from(&giver.history);
            shuffled[index].request.details.clone_from(&giver.details);
            shuffled[index].request.target = giver.target;
        }
    }
    shuffled
}

/// Examples with one item of another: the next of its ring whose item is another one.
fn swapped(examples: &[Example], seed: u64) -> Vec<Example> {
    let item = |index: usize| {
        let request = &examples[index].request;
        request.target.or(request.history.last().copied())
    };
    let mut swapped = examples.to_vec();
    for ring in rings(examples, seed) {
        for (place, &index) in ring.iter().enumerate() {
            let others = (1..ring.len()).filter_map(|step| item(ring[(place + step) % ring.len()]));
            let Some(other) = others.into_iter().find(|other| Some(*other) != item(index)) else { continue };
            let request = &mut swapped[index].request;
            match (&mut request.target, request.history.last_mut()) {
                (Some(target), _) => *target = other,
                (None, Some(last)) => *last = other,
                (None, None) => {}
            }
        }
    }
    swapped
}

/// The examples of each kind in a random ring.
fn rings(examples: &[Example], seed: u64) -> Vec<Vec<usize>> {
    let mut rng = seed::rng(seed, stream::CONTROLS);
    let mut kinds: Vec<&str> = examples.iter().map(|example| example.request.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let ring = |kind: &str| {
        let mut ring: Vec<usize> =
            (0..examples.len()).filter(|&index| examples[index].request.kind == kind).collect();
        ring.shuffle(&mut rng);
        ring
    };
    kinds.into_iter().map(ring).collect()
}

#[cfg(test)]
mod tests {
    use regen_fusion::{AdapterConfig, AdapterKind, DetailInputs, Normalisation, Sources};
    use regen_lm::{DecoderConfig, train_bpe};
    use tch::Device;

    use super::*;
    use crate::{ItemIds, ItemTable, ItemTables, NarratorConfig, Request, special_tokens};

    /// A narrator whose adapter gives the same soft token for everything.
    fn deaf() -> Narrator {
        narrator(|_| true)
    }

    /// A narrator whose adapter has those of its parameters at zero that are named.
    fn narrator(zeroed: impl Fn(&str) -> bool) -> Narrator {
        let kinds = vec!["purchase_reason".to_owned()];
        let special = special_tokens(&kinds);
        let special: Vec<&str> = special.iter().map(String::as_str).collect();
        let tokenizer = train_bpe(["You chose the lamp."].into_iter(), 280, &special).unwrap();
        let decoder = DecoderConfig::preset("1m", tokenizer.vocab_size()).unwrap();
        let adapter = AdapterConfig {
            sources: Sources::Fusion,
            kind: AdapterKind::Projection,
            normalisation: Normalisation::L2,
            cf_dim: 2,
            semantic_dim: 2,
            hidden: decoder.hidden(),
            tokens_per_item: 1,
            initial_rms: 0.02,
            details: DetailInputs::default(),
            user: false,
        };
        let table = || Some(ItemTable::new(&[0.1, 0.9, 0.7, 0.2], 2, &[true, true]).unwrap());
        let config = NarratorConfig {
            adapter: Some(adapter),
            decoder,
            next_item: false,
            kinds,
            max_history: 4,
            max_narrative_tokens: 20,
            passage: None,
            words: None,
            lora: None,
            injection: None,
        };
        let tables = ItemTables::new(table(), table()).unwrap();
        let ids = ItemIds::new(["a", "b"]).unwrap();
        let narrator = Narrator::new(config, tables, ids, tokenizer, Device::Cpu, 5).unwrap();
        tch::no_grad(|| {
            for (name, mut variable) in narrator.adapter_vs.variables() {
                // Large enough that soft tokens move the loss.
                let _ = if zeroed(&name) { variable.zero_() } else { variable.g_mul_scalar_(20.0) };
            }
        });
        narrator
    }

    #[test]
    fn a_side_that_the_model_is_deaf_to_is_worth_nothing_and_worths_add_up() {
        let example = |history: Vec<u32>, target: u32| Example {
            request: Request {
                kind: "purchase_reason".into(),
                history,
                target: Some(target),
                ..Request::default()
            },
            text: "the lamp".into(),
        };
        let examples = [example(vec![0], 1), example(vec![1, 0], 0), example(vec![0, 1, 1], 0)];
        let of_cf = |name: &str| name.ends_with(".cf");
        for (zeroed, deaf_to_cf, deaf_to_semantic) in [
            (Box::new(of_cf) as Box<dyn Fn(&str) -> bool>, true, false),
            (Box::new(|name: &str| name.ends_with(".semantic")), false, true),
            (Box::new(|_: &str| false), false, false),
        ] {
            let narrator = narrator(zeroed);
            let worths = narrator.side_worth(&examples, 2).unwrap();
            let losses = |control| narrator.losses(&examples, control, 2, 0).unwrap();
            let (whole, none) = (losses(Control::Nothing), losses(Control::WithoutVectors));
            for ((worth, whole), none) in worths.iter().zip(&whole).zip(&none) {
                assert_eq!(worth.tokens, whole.tokens);
                let saved = none.nats - whole.nats;
                assert!(
                    (worth.cf + worth.semantic - saved).abs() <= 1e-5 * saved.abs().max(1e-3),
                    "{worth:?}"
                );
                assert_eq!(worth.cf.abs() < 1e-5, deaf_to_cf, "{worth:?}");
                assert_eq!(worth.semantic.abs() < 1e-5, deaf_to_semantic, "{worth:?}");
            }
        }
    }

    #[test]
    fn a_model_that_ignores_its_soft_tokens_is_known_by_its_controls() {
        let narrator = deaf();
        let example = |history: Vec<u32>, target: u32| Example {
            request: Request {
                kind: "purchase_reason".into(),
                history,
                target: Some(target),
                ..Request::default()
            },
            text: "the lamp".into(),
        };
        let examples = [example(vec![0], 1), example(vec![1], 0)];
        let plain = narrator.losses(&examples, Control::Nothing, 2, 1).unwrap();
        for control in [
            Control::ShuffledItems,
            Control::OneItemSwapped,
            Control::WithoutCf,
            Control::WithoutSemantic,
            Control::WithoutVectors,
        ] {
            assert_eq!(narrator.losses(&examples, control, 2, 1).unwrap(), plain, "{control:?}");
        }
        let mean = plain.iter().map(|loss| loss.nats).sum::<f64>()
            / plain.iter().map(|loss| loss.tokens).sum::<usize>() as f64;
        assert!((narrator.loss(&examples, 2).unwrap() - mean).abs() < 1e-6);
    }

    #[test]
    fn items_change_places_within_a_kind_and_everyone_gets_anothers() {
        let example = |kind: &str, item: u32| Example {
            request: Request {
                kind: kind.to_owned(),
                history: vec![item],
                target: Some(item),
                passage: vec![item.to_string()],
                ..Request::default()
            },
            text: item.to_string(),
        };
        let mut examples: Vec<Example> = (0..9).map(|item| example("reason", item)).collect();
        examples.extend((10..13).map(|item| example("summary", item)));
        examples.push(example("alone", 20));
        let changed = shuffled(&examples, 3);
        let mut given: Vec<u32> = Vec::new();
        for (before, after) in examples.iter().zip(&changed) {
            assert_eq!((&before.text, &before.request.passage), (&after.text, &after.request.passage));
            assert_eq!(after.request.target, Some(after.request.history[0]));
            assert_eq!(before.request.target == after.request.target, before.request.kind == "alone");
            given.extend(after.request.target);
        }
        let kinds: Vec<bool> = given.iter().map(|&item| item < 10).collect();
        assert!(kinds[..9].iter().all(|&reason| reason) && !kinds[9..].iter().any(|&reason| reason));
        given.sort_unstable();
        given.dedup();
        assert_eq!(given.len(), examples.len());
        assert_eq!(shuffled(&examples, 3), changed);
    }

    #[test]
    fn one_item_is_swapped_for_another_that_differs_and_all_else_stays() {
        let example = |kind: &str, history: &[u32], target| Example {
            request: Request { kind: kind.into(), history: history.to_vec(), target, ..Request::default() },
            text: "the lamp".into(),
        };
        let examples = [
            example("reason", &[1, 2], Some(3)),
            example("reason", &[2], Some(3)),
            example("reason", &[5], Some(4)),
            example("summary", &[1, 2], None),
            example("summary", &[7, 8], None),
            example("alone", &[1], Some(9)),
            example("passage", &[], None),
            example("passage", &[], None),
        ];
        let changed = swapped(&examples, 3);
        for (before, after) in examples.iter().zip(&changed) {
            let (mut after, before) = (after.clone(), before.clone());
            match before.request.kind.as_str() {
                "reason" => {
                    assert_ne!(after.request.target, before.request.target);
                    assert!([Some(3), Some(4)].contains(&after.request.target));
                    after.request.target = before.request.target;
                }
                "summary" => {
                    assert_ne!(after.request.history.pop(), before.request.history.last().copied());
                    after.request.history.extend(before.request.history.last());
                }
                _ => {}
            }
            assert_eq!(after, before);
        }
    }
}
