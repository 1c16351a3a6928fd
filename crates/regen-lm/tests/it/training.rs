//! Gradients reach everything, the optimiser is AdamW, and a model can learn.

use regen_lm::train::{AdamW, AdamWConfig, ParameterGroup, Schedule, clip_gradients, largest_gradients};
use regen_lm::{Decoder, Error, GenerateOptions, PaddingMask, generate, masked_loss};
use regen_torch::{Checkpoint, seed};
use tch::{Device, Kind, Tensor, nn};

use crate::support::{golden, ids, load, max_difference, random_model, small_config, stored};

fn loss_of(decoder: &Decoder, tokens: &Tensor, mask: &PaddingMask) -> Tensor {
    let seq = tokens.size()[1] - 1;
    let embeds = decoder.embed(&tokens.narrow(1, 0, seq)).unwrap();
    let hidden = decoder.forward(&embeds, mask, None).unwrap();
    let targets = tokens.narrow(1, 1, seq);
    masked_loss(decoder, &hidden, &targets, &mask.to_tensor(Device::Cpu).unwrap()).unwrap()
}

fn all_parameters(decoder: &Decoder, learning_rate: f64, weight_decay: f64) -> ParameterGroup {
    ParameterGroup {
        name: "all".into(),
        tensors: decoder.parameters().iter().map(|(n, t)| (n.clone(), t.shallow_clone())).collect(),
        learning_rate,
        weight_decay,
    }
}

#[test]
fn every_parameter_of_every_family_gets_a_finite_gradient() {
    for family in ["llama", "llama3", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "gpt2"] {
        let decoder = load(&golden("families").join(family));
        let mask = PaddingMask::right(&[8, 5, 7], 8).unwrap();
        loss_of(&decoder, &ids(3, 9, 61), &mask).backward();
        for (name, tensor) in decoder.parameters() {
            let gradient = tensor.grad();
            assert!(gradient.defined(), "{family} {name} has none");
            let size = gradient.abs().max().double_value(&[]);
            // A key's bias too: without rotary positions it would move every score of a softmax alike.
            assert!(size.is_finite() && size >= 1e-7, "{family} {name}: {size:e}");
        }
    }
}

#[test]
fn the_masked_loss_is_the_mean_over_chosen_positions() {
    let (_vs, decoder) = random_model(&small_config(), 1);
    let embeds = decoder.embed(&ids(2, 5, 53)).unwrap();
    let hidden = decoder.forward(&embeds, &PaddingMask::full(2, 5), None).unwrap();
    let targets = ids(2, 5, 53).flip([1]);
    let chosen = [(0i64, 1i64), (0, 4), (1, 2)];
    let mask = Tensor::zeros([2, 5], (Kind::Int64, Device::Cpu));
    let logs = decoder.logits(&hidden).unwrap().log_softmax(-1, Kind::Float);
    let mut expected = 0.0;
    for (row, column) in chosen {
        let _ = mask.get(row).get(column).fill_(1);
        expected -= logs.double_value(&[row, column, targets.int64_value(&[row, column])]) / 3.0;
    }
    let loss = masked_loss(&decoder, &hidden, &targets, &mask).unwrap().double_value(&[]);
    assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
}

#[test]
fn a_model_from_scratch_learns_one_example_by_heart() {
    let config = small_config();
    let vs = nn::VarStore::new(Device::Cpu);
    let decoder = Decoder::new(&vs.root(), &config, &mut seed::rng(11, 0)).unwrap();
    let tokens = ids(1, 17, 53);
    let mut optimiser =
        AdamW::new(vec![all_parameters(&decoder, 1e-2, 0.01)], AdamWConfig::default()).unwrap();
    let schedule = Schedule::WarmupCosine { warmup_steps: 5, total_steps: 80, floor: 0.1 };
    let first = loss_of(&decoder, &tokens, &PaddingMask::full(1, 16)).double_value(&[]);
    assert!((first - 53f64.ln()).abs() < 0.3, "an untrained model guesses evenly: {first}");
    for step in 0..80 {
        loss_of(&decoder, &tokens, &PaddingMask::full(1, 16)).backward();
        clip_gradients(optimiser.tensors(), 1.0, step + 1).unwrap();
        optimiser.step(schedule.factor(step)).unwrap();
        optimiser.zero_gradients();
    }
    let last = loss_of(&decoder, &tokens, &PaddingMask::full(1, 16)).double_value(&[]);
    assert!(last < 0.05, "{first} → {last}");
    let prompt = decoder.embed(&tokens.narrow(1, 0, 1)).unwrap();
    let options = GenerateOptions { max_new_tokens: 16, ..GenerateOptions::default() };
    let written = generate(&decoder, &prompt, &PaddingMask::full(1, 1), &options).unwrap();
    let expected: Vec<i64> = Vec::try_from(tokens.narrow(1, 1, 16).view([-1])).unwrap();
    assert_eq!(written[0], expected);
}

#[test]
fn the_same_seed_gives_the_same_model() {
    let build = |seed_value| {
        let vs = nn::VarStore::new(Device::Cpu);
        let decoder = Decoder::new(&vs.root(), &small_config(), &mut seed::rng(seed_value, 0)).unwrap();
        decoder.parameters()[0].1.copy()
    };
    assert_eq!(build(1), build(1));
    assert_ne!(build(1), build(2));
}

#[test]
fn adamw_equals_torch() {
    let dir = golden("adamw");
    let file = Checkpoint::open(&dir.join("golden.safetensors")).unwrap();
    let leaf =
        |name: &str| (name.to_owned(), stored(&file, &format!("{name}.before")).set_requires_grad(true));
    let tensors = [leaf("matrix"), leaf("bias")];
    let handles = tensors.each_ref().map(|(_, tensor)| tensor.shallow_clone());
    let group = ParameterGroup {
        name: "all".into(),
        tensors: tensors.into(),
        learning_rate: 0.05,
        weight_decay: 0.1,
    };
    let config = AdamWConfig { beta1: 0.9, beta2: 0.97, epsilon: 1e-6 };
    let mut optimiser = AdamW::new(vec![group], config).unwrap();
    for step in 0..4 {
        let inputs = stored(&file, &format!("inputs.{step}"));
        let outputs = inputs.matmul(&handles[0]) + &handles[1];
        outputs.square().mean(Kind::Float).backward();
        optimiser.step([1.0, 0.5, 1.0, 0.25][step]).unwrap();
        optimiser.zero_gradients();
    }
    for (name, tensor) in ["matrix", "bias"].iter().zip(&handles) {
        let difference = max_difference(tensor, &stored(&file, &format!("{name}.after")));
        assert!(difference < 1e-6, "{name}: {difference:e}");
    }
}

#[test]
fn a_restored_optimiser_continues_as_if_never_stopped() {
    let run = |interrupt: bool| {
        let (_vs, decoder) = random_model(&small_config(), 21);
        let mut optimiser =
            AdamW::new(vec![all_parameters(&decoder, 1e-3, 0.1)], AdamWConfig::default()).unwrap();
        for step in 0..6 {
            loss_of(&decoder, &ids(2, 7 + step, 53), &PaddingMask::full(2, 6 + step)).backward();
            optimiser.step(1.0).unwrap();
            optimiser.zero_gradients();
            if interrupt && step == 2 {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("optimiser.safetensors");
                optimiser.save(&path).unwrap();
                optimiser =
                    AdamW::new(vec![all_parameters(&decoder, 1e-3, 0.1)], AdamWConfig::default()).unwrap();
                optimiser.load(&path).unwrap();
                assert_eq!(optimiser.steps(), 3);
            }
        }
        decoder.parameters().iter().map(|(_, t)| t.copy()).collect::<Vec<_>>()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn lower_precision_parameters_follow_an_f32_master() {
    let mut weight = Tensor::from_slice(&[1.0f32, -1.0]).to_kind(Kind::BFloat16).set_requires_grad(true);
    let group = ParameterGroup {
        name: "all".into(),
        tensors: vec![("weight".into(), weight.shallow_clone())],
        learning_rate: 1e-4,
        weight_decay: 0.0,
    };
    let mut optimiser = AdamW::new(vec![group], AdamWConfig::default()).unwrap();
    for _ in 0..100 {
        weight.sum(Kind::BFloat16).backward();
        optimiser.step(1.0).unwrap();
        weight.zero_grad();
    }
    // One step of 1e-4 vanishes in bf16 beside 1; a hundred do not.
    let moved = weight.double_value(&[0]);
    assert!((moved - 0.99).abs() < 0.003, "{moved}");
}

#[test]
fn clipping_scales_to_the_norm_and_reports_it() {
    let a = Tensor::from_slice(&[3.0f32]).set_requires_grad(true);
    let b = Tensor::from_slice(&[1.0f32, 1.0]).set_requires_grad(true);
    ((&a * 3.0).sum(Kind::Float) + (&b * Tensor::from_slice(&[0.0f32, 4.0])).sum(Kind::Float)).backward();
    let norm = clip_gradients([("a", &a), ("b", &b)], 1.0, 1).unwrap();
    assert!((norm - 5.0).abs() < 1e-5);
    assert!((a.grad().double_value(&[0]) - 0.6).abs() < 1e-5);
    assert!((b.grad().double_value(&[1]) - 0.8).abs() < 1e-5);
    let untouched = clip_gradients([("a", &a), ("b", &b)], 2.0, 2).unwrap();
    assert!((untouched - 1.0).abs() < 1e-5);
    assert!((a.grad().double_value(&[0]) - 0.6).abs() < 1e-5);
}

#[test]
fn groups_have_their_own_rates_and_frozen_ones_stay() {
    let leaf = || Tensor::from_slice(&[1.0f32, -2.0]).set_requires_grad(true);
    let tensors = [leaf(), leaf(), leaf()];
    let group = |name: &str, tensor: &Tensor, learning_rate| ParameterGroup {
        name: name.into(),
        tensors: vec![(name.to_owned(), tensor.shallow_clone())],
        learning_rate,
        weight_decay: 0.0,
    };
    let groups = vec![
        group("slow", &tensors[0], 0.01),
        group("fast", &tensors[1], 0.03),
        group("frozen", &tensors[2], 0.5),
    ];
    let mut optimiser = AdamW::new(groups, AdamWConfig::default()).unwrap();
    let moved = |tensor: &Tensor| (tensor - leaf()).abs().max().double_value(&[]);
    let mut update = |tensors: &[Tensor; 3], factor| {
        tensors.iter().map(|t| t.square().sum(Kind::Float)).reduce(|a, b| a + b).unwrap().backward();
        optimiser.step(factor).unwrap();
        optimiser.zero_gradients();
    };
    // A first stage without the last group, then one with it: the first update of Adam is as long as the rate.
    let _ = tensors[2].set_requires_grad(false);
    update(&tensors, 0.5);
    for (tensor, expected) in tensors.iter().zip([0.005, 0.015, 0.0]) {
        assert!((moved(tensor) - expected).abs() < 1e-5, "{} {expected}", moved(tensor));
    }
    let _ = tensors[2].set_requires_grad(true);
    update(&tensors, 1.0);
    assert!(moved(&tensors[2]) > 0.1);
}

#[test]
fn the_largest_gradients_are_named_in_their_order() {
    let [small, large, none] =
        [1.0f32, 30.0, 5.0].map(|value| Tensor::from_slice(&[value]).set_requires_grad(true));
    (small.square() + large.square()).sum(Kind::Float).backward();
    let named = largest_gradients([("small", &small), ("large", &large), ("none", &none)]).unwrap();
    assert_eq!(named, "large 6.000e1, small 2.000e0");
    assert_eq!(largest_gradients([("none", &none)]).unwrap(), "");
}

#[test]
fn a_broken_gradient_stops_with_the_tensor_named() {
    let good = Tensor::from_slice(&[1.0f32]).set_requires_grad(true);
    let bad = Tensor::from_slice(&[0.0f32]).set_requires_grad(true);
    (&good * 2.0 + bad.sqrt() * 0.0).sum(Kind::Float).backward();
    match clip_gradients([("good", &good), ("bad", &bad)], 1.0, 17) {
        Err(Error::NonFiniteGradient { step: 17, largest }) => {
            assert!(largest.starts_with("bad"), "{largest}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tensor_outside_the_loss_is_reported_and_a_frozen_one_passed_over() {
    let used = Tensor::from_slice(&[1.0f32]).set_requires_grad(true);
    let unused = Tensor::from_slice(&[1.0f32]).set_requires_grad(true);
    let group = |tensors: [(&str, &Tensor); 2]| ParameterGroup {
        name: "all".into(),
        tensors: tensors.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).into(),
        learning_rate: 0.1,
        weight_decay: 0.0,
    };
    let mut optimiser =
        AdamW::new(vec![group([("used", &used), ("unused", &unused)])], AdamWConfig::default()).unwrap();
    used.square().sum(Kind::Float).backward();
    let result = optimiser.step(1.0);
    assert!(matches!(result, Err(Error::MissingGradient { ref tensor }) if tensor == "unused"), "{result:?}");
    let frozen = unused.set_requires_grad(false);
    optimiser.step(1.0).unwrap();
    assert_eq!(frozen.double_value(&[0]), 1.0);
}
