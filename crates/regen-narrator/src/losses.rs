//! The loss narrative by narrative, and what becomes of it when something is withheld from the prompt.

use regen_lm::Decoder;
use regen_torch::{Numbers, tensor_to_vec_f32};
use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

use crate::prompt::{Batch, Padding, Sequence};
use crate::{Error, Example, Narrator, Result, Withheld};

/// The loss of one narrative.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NarrativeLoss {
    /// Negative log-likelihood of all its tokens, in nats.
    pub nats: f64,
    /// Its tokens, `<eos>` included.
    pub tokens: usize,
}

impl Narrator {
    /// The loss of every example, in their order, with something withheld from their prompts. Of the examples of several users
    /// [`UserExamples::under`](crate::UserExamples::under) makes those of a control that exchanges their items.
    ///
    /// # Errors
    /// [`Error::NoExamples`], and those of laying out the requests.
    pub fn losses(
        &self,
        examples: &[Example],
        withheld: Withheld,
        batch: usize,
    ) -> Result<Vec<NarrativeLoss>> {
        if examples.is_empty() {
            return Err(Error::NoExamples { which: "measured" });
        }
        let sequences = self.sequences(examples)?;
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|&index| sequences[index].len());
        let mut losses = vec![NarrativeLoss { nats: 0.0, tokens: 0 }; sequences.len()];
        for chunk in order.chunks(batch.max(1)) {
            let rows: Vec<&Sequence> = chunk.iter().map(|&index| &sequences[index]).collect();
            let nats = tch::no_grad(|| self.row_losses(&rows, withheld))?;
            for (&index, nats) in chunk.iter().zip(nats) {
                losses[index] =
                    NarrativeLoss { nats: f64::from(nats), tokens: sequences[index].answer_len() };
            }
        }
        Ok(losses)
    }

    fn row_losses(&self, sequences: &[&Sequence], withheld: Withheld) -> Result<Vec<f32>> {
        let batch = self.batch(sequences, Padding::Right)?;
        let hidden = self.decoder.forward(&self.embeddings(&batch, withheld)?, &batch.mask, None)?;
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

#[cfg(test)]
mod tests {
    use regen_fusion::{AdapterConfig, AdapterKind, DetailInputs, Normalisation, Sources};
    use regen_lm::{DecoderConfig, train_bpe};
    use tch::Device;

    use super::*;
    use crate::{
        Control, ItemIds, ItemTable, ItemTables, NarratorConfig, Request, UserExamples, special_tokens,
    };

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
            let losses = |withheld| narrator.losses(&examples, withheld, 2).unwrap();
            let (whole, none) = (losses(Withheld::Nothing), losses(Withheld::Vectors));
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
        let plain = narrator.losses(&examples, Withheld::Nothing, 2).unwrap();
        let of_users = UserExamples::new(&examples, &[0, 1]).unwrap();
        for control in [
            Control::ShuffledItems,
            Control::OneItemSwapped,
            Control::Without(Withheld::Cf),
            Control::Without(Withheld::Semantic),
            Control::Without(Withheld::Vectors),
        ] {
            let changed = of_users.under(control, 1);
            let losses = narrator.losses(&changed.examples, changed.withheld, 2).unwrap();
            assert_eq!(losses, plain, "{control:?}");
        }
        let mean = plain.iter().map(|loss| loss.nats).sum::<f64>()
            / plain.iter().map(|loss| loss.tokens).sum::<usize>() as f64;
        assert!((narrator.loss(&examples, 2).unwrap() - mean).abs() < 1e-6);
    }
}
