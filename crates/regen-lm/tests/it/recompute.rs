//! Activations computed again give the gradients of activations kept; dropout draws the same both times.

use std::collections::BTreeMap;

use regen_lm::{Decoder, DropoutDraw, Error, LoraConfig, LoraTargets, PaddingMask, masked_loss};
use regen_torch::seed;
use tch::{Device, Kind, Tensor, nn};

use crate::support::{golden, ids, load, max_difference, random_model, small_config};

/// Gradients relative to the largest of their tensor; f32 sums in the same order leave less than this.
const TOLERANCE: f64 = 1e-5;

const FAMILIES: [&str; 9] =
    ["llama", "llama3", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "gpt2"];

/// One pass over a right-padded batch whose first two positions are soft tokens that come from `source`.
struct Pass<'a> {
    decoder: &'a Decoder,
    source: &'a Tensor,
    dropout: Option<DropoutDraw>,
}

impl Pass<'_> {
    fn backward(&self, recompute: bool) -> f64 {
        let decoder = self.decoder;
        let vocab = decoder.config().vocab();
        let tokens = ids(3, 9, vocab);
        let mask = PaddingMask::right(&[8, 5, 7], 8).unwrap();
        let text = decoder.embed(&tokens.narrow(1, 2, 6)).unwrap();
        // The source is not the embedding itself: a gradient must pass through what made it, too.
        let soft = self.source.tanh().to_kind(decoder.kind());
        let embeds = Tensor::cat(&[&soft, &text], 1);
        let targets = tokens.narrow(1, 1, 8);
        let chosen = mask.to_tensor(Device::Cpu).unwrap();
        let loss_of = |hidden: &Tensor| masked_loss(decoder, hidden, &targets, &chosen).unwrap();
        let loss = if recompute {
            let pass = decoder.forward_recomputed(&embeds, &mask, self.dropout).unwrap();
            let loss = loss_of(pass.hidden());
            pass.backward(&loss).unwrap();
            loss
        } else {
            let loss = loss_of(&decoder.forward_training(&embeds, &mask, self.dropout).unwrap());
            loss.backward();
            loss
        };
        loss.double_value(&[])
    }

    /// Every gradient there is, by name.
    fn gradients(&self, recompute: bool) -> (f64, BTreeMap<String, Tensor>) {
        let named = self.decoder.parameters().iter().map(|(n, t)| (n.clone(), t.shallow_clone()));
        let all: Vec<(String, Tensor)> = named
            .chain(self.decoder.lora_parameters())
            .chain([("source".to_owned(), self.source.shallow_clone())])
            .collect();
        for (_, tensor) in &all {
            tensor.shallow_clone().zero_grad();
        }
        let loss = self.backward(recompute);
        let grads = all.into_iter().map(|(name, tensor)| (name, tensor.grad()));
        (loss, grads.filter(|(_, grad)| grad.defined()).map(|(name, grad)| (name, grad.copy())).collect())
    }
}

fn source(decoder: &Decoder) -> Tensor {
    seed::normal(&mut seed::rng(3, 3), &[3, 2, decoder.config().hidden()], 0.5).set_requires_grad(true)
}

/// Compares both ways; gives the names that had a gradient.
fn check(decoder: &Decoder, source: &Tensor, dropout: Option<DropoutDraw>, tolerance: f64) -> Vec<String> {
    let pass = Pass { decoder, source, dropout };
    let (plain_loss, plain) = pass.gradients(false);
    let (loss, recomputed) = pass.gradients(true);
    let family = decoder.config().family;
    assert!((loss - plain_loss).abs() <= tolerance * plain_loss, "{family:?}: {loss} {plain_loss}");
    assert!(plain.keys().eq(recomputed.keys()), "{family:?}: other tensors have gradients");
    let mut moved = 0;
    for ((name, plain), again) in plain.iter().zip(recomputed.values()) {
        let (plain, again) = (plain.to_kind(Kind::Double), again.to_kind(Kind::Double));
        let size = plain.abs().max().double_value(&[]);
        let difference = max_difference(&plain, &again);
        assert!(difference <= tolerance * size.max(1e-6), "{family:?} {name}: {difference:e} of {size:e}");
        moved += usize::from(size > 1e-6);
    }
    assert!(moved > 0, "no gradient says anything");
    plain.into_keys().collect()
}

#[test]
fn gradients_of_every_family_are_those_of_the_plain_pass() {
    for family in FAMILIES {
        let decoder = load(&golden("families").join(family));
        let names = check(&decoder, &source(&decoder), None, TOLERANCE);
        assert_eq!(names.len(), decoder.parameters().len() + 1, "{family}");
    }
}

#[test]
fn gradients_add_to_those_that_are_there() {
    let (_vs, decoder) = random_model(&small_config(), 51);
    let source = source(&decoder);
    let pass = Pass { decoder: &decoder, source: &source, dropout: None };
    let (_, once) = pass.gradients(true);
    pass.backward(true);
    for (name, tensor) in decoder.parameters() {
        let difference = max_difference(&tensor.grad(), &(&once[name] * 2.0));
        assert!(difference < 1e-5, "{name}: {difference:e}");
    }
}

fn lora(dropout: f64) -> LoraConfig {
    LoraConfig { rank: 3, alpha: 6.0, rank_stabilised: false, dropout, targets: LoraTargets::All }
}

/// A model with updates that do something.
fn adapted(dropout: f64) -> (nn::VarStore, Decoder) {
    let (vs, mut decoder) = random_model(&small_config(), 52);
    decoder.add_lora(&vs.root(), &lora(dropout), &mut seed::rng(52, 1)).unwrap();
    for (index, (name, tensor)) in decoder.lora_parameters().into_iter().enumerate() {
        if name.contains("lora_B") {
            let noise = seed::normal(&mut seed::rng(52, 2 + index as u64), &tensor.size(), 0.3);
            tch::no_grad(|| tensor.shallow_clone().copy_(&noise));
        }
    }
    (vs, decoder)
}

#[test]
fn low_rank_updates_and_soft_tokens_get_their_gradients_and_the_frozen_get_none() {
    let draw = Some(DropoutDraw { seed: 9, draw: 4 });
    for dropout in [0.0, 0.25] {
        let (_vs, decoder) = adapted(dropout);
        let with_soft = source(&decoder);
        let names = check(&decoder, &with_soft, draw, TOLERANCE);
        assert_eq!(names.len(), decoder.lora_parameters().len() + 1);
        // Text alone: nothing below the first block wants a gradient.
        let fixed = with_soft.detach();
        let names = check(&decoder, &fixed, draw, TOLERANCE);
        assert_eq!(names.len(), decoder.lora_parameters().len());
    }
    // The adapter of soft tokens alone, the language model as it is.
    let (_vs, mut decoder) = random_model(&small_config(), 53);
    decoder.set_trainable(false);
    assert_eq!(check(&decoder, &source(&decoder), None, TOLERANCE), ["source"]);
}

#[test]
fn lower_precision_gives_the_same_gradients_too() {
    let vs = nn::VarStore::new(Device::Cpu);
    let decoder = Decoder::load_under(&vs.root(), &golden("families/llama3"), Kind::BFloat16).unwrap();
    assert_eq!(decoder.kind(), Kind::BFloat16);
    check(&decoder, &source(&decoder), None, TOLERANCE);
}

#[test]
fn a_loss_of_something_else_is_refused() {
    let (_vs, decoder) = random_model(&small_config(), 55);
    let embeds = decoder.embed(&ids(1, 4, 53)).unwrap();
    let pass = decoder.forward_recomputed(&embeds, &PaddingMask::full(1, 4), None).unwrap();
    let other = Tensor::from(1.0f32).set_requires_grad(true) * 2.0;
    assert!(matches!(pass.backward(&other), Err(Error::MissingGradient { .. })));
}

fn hidden(decoder: &Decoder, dropout: Option<DropoutDraw>) -> Tensor {
    let embeds = decoder.embed(&ids(2, 6, 53)).unwrap();
    decoder.forward_training(&embeds, &PaddingMask::full(2, 6), dropout).unwrap()
}

#[test]
fn dropout_follows_from_seed_and_draw_and_only_training_drops() {
    let (_vs, decoder) = adapted(0.5);
    let draw = |seed, draw| Some(DropoutDraw { seed, draw });
    let embeds = decoder.embed(&ids(2, 6, 53)).unwrap();
    let plain = decoder.forward(&embeds, &PaddingMask::full(2, 6), None).unwrap();
    assert_eq!(hidden(&decoder, None), plain);
    let one = hidden(&decoder, draw(1, 1));
    assert_eq!(hidden(&decoder, draw(1, 1)), one);
    for other in [draw(1, 2), draw(2, 1), None] {
        assert!(max_difference(&hidden(&decoder, other), &one) > 1e-3, "{other:?}");
    }
    let (_vs, without) = adapted(0.0);
    assert_eq!(hidden(&without, draw(1, 1)), hidden(&without, None));
}
