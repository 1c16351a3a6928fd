//! Passes by kernels give the hidden states and gradients of plain ones.

use std::collections::BTreeMap;

use regen_lm::{Decoder, LoraConfig, LoraTargets, PaddingMask, TrainingKernels, masked_loss};
use regen_torch::seed;
use tch::{Device, Kind, Tensor, nn};

use crate::support::{
    FAMILIES, golden, ids, load, masked_difference, max_difference, random_model, small_config,
};

/// Of the largest number of a tensor: sums in f32 in another order leave less than this.
const TOLERANCE: f64 = 1e-5;

/// Embeddings that come from a leaf through something, so that a gradient must pass to what made them.
fn source(decoder: &Decoder, mask: &PaddingMask) -> Tensor {
    let shape = [mask.batch(), mask.seq(), decoder.config().hidden()];
    seed::normal(&mut seed::rng(3, 3), &shape, 0.5).set_requires_grad(true)
}

struct Outcome {
    loss: f64,
    hidden: Tensor,
    gradients: BTreeMap<String, Tensor>,
}

/// One pass, by kernels if given, whose gradients are added to those that are there.
fn run(
    decoder: &Decoder,
    source: &Tensor,
    mask: &PaddingMask,
    kernels: Option<&mut TrainingKernels>,
) -> (f64, Tensor) {
    let tokens = ids(mask.batch(), mask.seq() + 1, decoder.config().vocab());
    let text = decoder.embed(&tokens.narrow(1, 0, mask.seq())).unwrap();
    let embeds = source.tanh() + text;
    let targets = tokens.narrow(1, 1, mask.seq());
    let chosen = mask.to_tensor(Device::Cpu).unwrap();
    let loss_of = |hidden: &Tensor| masked_loss(decoder, hidden, &targets, &chosen).unwrap();
    match kernels {
        Some(kernels) => {
            let mut pass = kernels.forward(decoder, &embeds, mask).unwrap();
            let hidden = pass.hidden().detach();
            // The head by kernels in some passes, by libtorch in the others.
            let by_kernels = mask.seq() % 2 == 0;
            let loss = if by_kernels {
                pass.masked_loss(&targets, &chosen).unwrap()
            } else {
                loss_of(pass.hidden())
            };
            pass.backward(&loss).unwrap();
            (loss.double_value(&[]), hidden)
        }
        None => {
            let hidden = decoder.forward_training(&embeds, mask, None).unwrap();
            let loss = loss_of(&hidden);
            loss.backward();
            (loss.double_value(&[]), hidden.detach())
        }
    }
}

fn named(decoder: &Decoder, source: &Tensor) -> Vec<(String, Tensor)> {
    let own = decoder.parameters().iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
    own.chain(decoder.lora_parameters()).chain([("source".to_owned(), source.shallow_clone())]).collect()
}

fn outcome(
    decoder: &Decoder,
    source: &Tensor,
    mask: &PaddingMask,
    kernels: Option<&mut TrainingKernels>,
) -> Outcome {
    let all = named(decoder, source);
    for (_, tensor) in &all {
        tensor.shallow_clone().zero_grad();
    }
    let (loss, hidden) = run(decoder, source, mask, kernels);
    let gradients = all.into_iter().filter(|(_, tensor)| tensor.requires_grad() && tensor.grad().defined());
    Outcome {
        loss,
        hidden,
        gradients: gradients.map(|(name, tensor)| (name, tensor.grad().copy())).collect(),
    }
}

/// How far gradients of the plain pass move when what enters does by as much as f32 rounds it: some of these tiny random models make
/// ten times as much of it as others. A pass rounds in many places, not in one.
fn by_rounding(
    decoder: &Decoder,
    source: &Tensor,
    mask: &PaddingMask,
    plain: &Outcome,
) -> BTreeMap<String, f64> {
    let before = source.detach().copy();
    let noise = seed::normal(&mut seed::rng(4, 4), &source.size(), 6e-8);
    let set = |values: &Tensor| tch::no_grad(|| source.shallow_clone().copy_(values));
    set(&(&before + noise));
    let moved = outcome(decoder, source, mask, None);
    set(&before);
    let differences = plain.gradients.iter().map(|(name, plain)| {
        let difference = max_difference(plain, &moved.gradients[name]);
        assert!(difference <= 1e-4 * plain.abs().max().double_value(&[]).max(1e-4), "{name}: {difference:e}");
        (name.clone(), difference)
    });
    differences.collect()
}

/// Compares both ways, twice by the same kernels; gives the names that had a gradient.
fn check(decoder: &Decoder, source: &Tensor, mask: &PaddingMask, what: &str) -> Vec<String> {
    let Some(mut kernels) = TrainingKernels::new(decoder).unwrap() else {
        // A processor without a kernel trains by libtorch.
        return Vec::new();
    };
    let plain = outcome(decoder, source, mask, None);
    let moved = by_rounding(decoder, source, mask, &plain);
    for _ in 0..2 {
        let computed = outcome(decoder, source, mask, Some(&mut kernels));
        assert!(
            (computed.loss - plain.loss).abs() <= TOLERANCE * plain.loss,
            "{what}: {} {}",
            computed.loss,
            plain.loss
        );
        let largest = plain.hidden.abs().max().double_value(&[]);
        let difference = masked_difference(&computed.hidden, &plain.hidden, mask);
        assert!(
            difference <= TOLERANCE * largest,
            "{what}: hidden states differ by {difference:e} of {largest}"
        );
        assert!(plain.gradients.keys().eq(computed.gradients.keys()), "{what}: other tensors have gradients");
        for ((name, plain), computed) in plain.gradients.iter().zip(computed.gradients.values()) {
            let moved = moved[name];
            let (plain, computed) = (plain.to_kind(Kind::Double), computed.to_kind(Kind::Double));
            let size = plain.abs().max().double_value(&[]);
            let difference = max_difference(&plain, &computed);
            let allowed = TOLERANCE * size.max(1e-4) + 4.0 * moved;
            assert!(
                difference <= allowed,
                "{what} {name}: {difference:e} of {size:e}, {moved:e} by rounding"
            );
        }
    }
    plain.gradients.into_keys().collect()
}

/// Full, padded on either side, and a row of a single token.
fn masks() -> [(&'static str, PaddingMask); 5] {
    [
        ("full", PaddingMask::full(2, 9)),
        ("right", PaddingMask::right(&[9, 4, 7], 9).unwrap()),
        ("left", PaddingMask::left(&[9, 4, 7], 9).unwrap()),
        ("one token", PaddingMask::right(&[6, 1], 6).unwrap()),
        ("one row", PaddingMask::full(1, 12)),
    ]
}

#[test]
fn hidden_states_and_gradients_of_every_family_are_those_of_the_plain_pass() {
    for family in FAMILIES {
        let decoder = load(&golden("families").join(family));
        for (which, mask) in masks() {
            let names = check(&decoder, &source(&decoder, &mask), &mask, &format!("{family}, {which}"));
            assert!(names.is_empty() || names.len() == decoder.parameters().len() + 1, "{family}");
        }
    }
}

#[test]
fn rows_longer_than_a_window_and_than_what_a_core_takes_at_a_time_are_right() {
    for family in ["llama", "mistral", "gemma2", "gemma3", "gpt2"] {
        let mut decoder = load(&golden("families").join(family));
        let lengths: Vec<i64> = (0..9).map(|row| 31 - row % 3).collect();
        let mask = PaddingMask::right(&lengths, 31).unwrap();
        check(&decoder, &source(&decoder, &mask), &mask, family);
        decoder.set_trainable(false);
        let names = check(&decoder, &source(&decoder, &mask), &mask, family);
        assert!(names.is_empty() || names == ["source"], "{family}");
    }
    let mut config = small_config();
    config.max_positions = 200;
    let (_vs, decoder) = random_model(&config, 61);
    let mask = PaddingMask::right(&[150, 107], 150).unwrap();
    check(&decoder, &source(&decoder, &mask), &mask, "long rows");
}

fn lora(targets: LoraTargets, dropout: f64) -> LoraConfig {
    LoraConfig { rank: 3, alpha: 6.0, rank_stabilised: false, dropout, targets }
}

/// A model with updates that do something.
fn adapted(mut decoder: Decoder, vs: &nn::VarStore, config: &LoraConfig) -> Decoder {
    decoder.add_lora(&vs.root(), config, &mut seed::rng(52, 1)).unwrap();
    for (index, (name, tensor)) in decoder.lora_parameters().into_iter().enumerate() {
        if name.contains("lora_B") {
            let noise = seed::normal(&mut seed::rng(52, 2 + index as u64), &tensor.size(), 0.3);
            tch::no_grad(|| tensor.shallow_clone().copy_(&noise));
        }
    }
    decoder
}

#[test]
fn low_rank_updates_get_their_gradients_and_the_frozen_get_none() {
    let mask = PaddingMask::right(&[8, 5, 7], 8).unwrap();
    let some = LoraTargets::Named(vec!["q_proj".into(), "v_proj".into(), "down_proj".into()]);
    for targets in [LoraTargets::All, some] {
        let (vs, decoder) = random_model(&small_config(), 52);
        let decoder = adapted(decoder, &vs, &lora(targets, 0.0));
        let with_source = source(&decoder, &mask);
        let names = check(&decoder, &with_source, &mask, "updates");
        assert!(names.is_empty() || names.len() == decoder.lora_parameters().len() + 1);
        // Text alone: nothing below the first block wants a gradient.
        let names = check(&decoder, &with_source.detach(), &mask, "updates, fixed text");
        assert!(names.is_empty() || names.len() == decoder.lora_parameters().len());
    }
    for family in ["gpt2", "phi3", "qwen2"] {
        let vs = nn::VarStore::new(Device::Cpu);
        let decoder = Decoder::load_under(&vs.root(), &golden("families").join(family), Kind::Float).unwrap();
        let decoder = adapted(decoder, &vs, &lora(LoraTargets::All, 0.0));
        check(&decoder, &source(&decoder, &mask), &mask, family);
    }
}

#[test]
fn any_part_may_be_frozen() {
    let mask = PaddingMask::left(&[8, 5], 8).unwrap();
    for family in ["llama", "qwen2", "gemma3", "gpt2"] {
        let decoder = load(&golden("families").join(family));
        for part in 0..5 {
            for (index, (_, tensor)) in decoder.parameters().iter().enumerate() {
                let _ = tensor.set_requires_grad(index % 5 == part);
            }
            let source = source(&decoder, &mask);
            check(&decoder, &source, &mask, &format!("{family} part {part}"));
            check(&decoder, &source.detach(), &mask, &format!("{family} part {part}, fixed text"));
        }
    }
}

#[test]
fn weights_that_move_are_seen_and_so_are_those_that_freeze_after() {
    let (_vs, mut decoder) = random_model(&small_config(), 54);
    let Some(mut kernels) = TrainingKernels::new(&decoder).unwrap() else { return };
    let mask = PaddingMask::full(2, 6);
    let source = source(&decoder, &mask);
    for frozen in [false, false, true, true, false] {
        decoder.set_trainable(!frozen);
        let (_, plain) = run(&decoder, &source, &mask, None);
        let (_, computed) = run(&decoder, &source, &mask, Some(&mut kernels));
        assert!(max_difference(&plain, &computed) < 1e-4);
        if !frozen {
            for (index, (_, tensor)) in decoder.parameters().iter().enumerate() {
                let step = seed::normal(&mut seed::rng(55, index as u64), &tensor.size(), 0.1);
                let _ = tch::no_grad(|| tensor.shallow_clone().g_add_(&step));
            }
        }
    }
    assert!(kernels.bytes() > 0);
}

#[test]
fn gradients_add_to_those_that_are_there() {
    let (_vs, decoder) = random_model(&small_config(), 51);
    let Some(mut kernels) = TrainingKernels::new(&decoder).unwrap() else { return };
    let mask = PaddingMask::right(&[8, 5, 7], 8).unwrap();
    let source = source(&decoder, &mask);
    let once = outcome(&decoder, &source, &mask, Some(&mut kernels)).gradients;
    let _ = run(&decoder, &source, &mask, Some(&mut kernels));
    for (name, tensor) in named(&decoder, &source) {
        let size = once[&name].abs().max().double_value(&[]);
        assert!(max_difference(&tensor.grad(), &(&once[&name] * 2.0)) <= 1e-6 * size, "{name}");
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let mut config = small_config();
    config.max_positions = 200;
    let (_vs, decoder) = random_model(&config, 56);
    let Some(mut kernels) = TrainingKernels::new(&decoder).unwrap() else { return };
    let mask = PaddingMask::right(&[150, 107], 150).unwrap();
    let source = source(&decoder, &mask);
    // Tensors may go from thread to thread, but not be shared: the pass is begun inside of the pool.
    let mut parts = (decoder, source);
    let mut outcomes = Vec::new();
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let ((decoder, source), kernels, mask) = (parts, &mut kernels, &mask);
        let (result, back) = pool.install(move || {
            let result = outcome(&decoder, &source, mask, Some(kernels));
            (result, (decoder, source))
        });
        outcomes.push(result);
        parts = back;
    }
    let (first, others) = outcomes.split_first().unwrap();
    for other in others {
        assert_eq!(first.hidden, other.hidden);
        for (name, gradient) in &first.gradients {
            assert_eq!(gradient, &other.gradients[name], "{name}");
        }
    }
}

#[test]
fn losses_by_kernels_may_be_scaled_and_added_to_others() {
    let mask = PaddingMask::right(&[8, 5, 7], 8).unwrap();
    for family in ["llama", "gemma2"] {
        let decoder = load(&golden("families").join(family));
        let Some(mut kernels) = TrainingKernels::new(&decoder).unwrap() else { return };
        let source = source(&decoder, &mask);
        let targets = ids(3, 8, decoder.config().vocab());
        let chosen = Tensor::from_slice(&[0i64, 1, 0, 1, 1, 0, 0, 1].repeat(3)).view([3, 8]);
        let other = |hidden: &Tensor| hidden.narrow(1, 0, 4).square().mean(Kind::Float);
        let mut both = [true, false].map(|by_kernels| {
            named(&decoder, &source).iter().for_each(|(_, tensor)| tensor.shallow_clone().zero_grad());
            let mut pass = kernels.forward(&decoder, &source.tanh(), &mask).unwrap();
            let loss = if by_kernels {
                pass.masked_loss(&targets, &chosen).unwrap()
            } else {
                masked_loss(&decoder, pass.hidden(), &targets, &chosen).unwrap()
            };
            let whole = &loss * 0.3 + other(pass.hidden()) * 2.0;
            if by_kernels {
                assert!(matches!(
                    pass.masked_loss(&targets, &chosen),
                    Err(regen_lm::Error::StateMismatch { .. })
                ));
            }
            pass.backward(&whole).unwrap();
            let gradients =
                named(&decoder, &source).into_iter().map(|(name, tensor)| (name, tensor.grad().copy()));
            (whole.double_value(&[]), gradients.collect::<Vec<_>>())
        });
        let ((loss, gradients), (plain_loss, plain)) = {
            let [a, b] = &mut both;
            (a, b)
        };
        assert!((*loss - *plain_loss).abs() < 1e-5 * plain_loss.abs(), "{family}: {loss} {plain_loss}");
        for ((name, gradient), (_, plain)) in gradients.iter().zip(plain.iter()) {
            let size = plain.abs().max().double_value(&[]);
            assert!(max_difference(gradient, plain) <= TOLERANCE * size.max(1e-4), "{family} {name}");
        }
    }
}

#[test]
fn what_has_no_kernel_keeps_the_plain_pass() {
    let vs = nn::VarStore::new(Device::Cpu);
    let half = Decoder::load_under(&vs.root(), &golden("families/llama3"), Kind::BFloat16).unwrap();
    assert!(TrainingKernels::new(&half).unwrap().is_none());
    let (vs, decoder) = random_model(&small_config(), 57);
    let decoder = adapted(decoder, &vs, &lora(LoraTargets::All, 0.1));
    assert!(TrainingKernels::new(&decoder).unwrap().is_none());
}

#[test]
fn a_loss_of_something_else_is_refused() {
    let (_vs, decoder) = random_model(&small_config(), 58);
    let Some(mut kernels) = TrainingKernels::new(&decoder).unwrap() else { return };
    let embeds = decoder.embed(&ids(1, 4, 53)).unwrap();
    let pass = kernels.forward(&decoder, &embeds, &PaddingMask::full(1, 4)).unwrap();
    let other = Tensor::from(1.0f32).set_requires_grad(true) * 2.0;
    assert!(matches!(pass.backward(&other), Err(regen_lm::Error::MissingGradient { .. })));
}
