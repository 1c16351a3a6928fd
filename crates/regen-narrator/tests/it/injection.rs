//! Soft tokens that are added to the states of some layers too: nothing at the start, something that is learned, kept by a bundle, and
//! read in writing as it was in training.

use std::ops::ControlFlow;

use regen_fusion::{AdapterKind, Sources};
use regen_narrator::{
    Error, Example, InjectionConfig, InjectionMap, Memory, Narrator, NarratorConfig, Request, TrainConfig,
    TrainPrecision, Trains, Withheld,
};
use regen_torch::Checkpoint;
use tch::Device;
use tempfile::tempdir;

use crate::world;

const MAPS: [InjectionMap; 2] = [InjectionMap::Projection, InjectionMap::Gate];

fn build(injection: Option<InjectionConfig>, kind: AdapterKind) -> Result<Narrator, Error> {
    let (config, tokenizer) = world::config_with(Sources::Fusion, kind);
    let config = NarratorConfig { injection, ..config };
    Narrator::new(config, world::tables(), world::ids(), tokenizer, Device::Cpu, 1)
}

fn into(layers: &[usize], through: InjectionMap) -> Option<InjectionConfig> {
    Some(InjectionConfig { layers: layers.to_vec(), through })
}

fn narrator(through: InjectionMap) -> Narrator {
    build(into(&[1, 0], through), AdapterKind::Projection).unwrap()
}

/// Narratives about items, and of histories alone.
fn examples() -> Vec<Example> {
    [world::examples(), world::summaries()].concat()
}

fn nats(narrator: &Narrator) -> Vec<f64> {
    let losses = narrator.losses(&examples(), Withheld::Nothing, 8).unwrap();
    losses.iter().map(|loss| loss.nats).collect()
}

fn requests() -> Vec<Request> {
    // Of each, both kinds: they share what they begin with.
    let both = |example: Example| {
        world::kinds().into_iter().map(move |kind| Request { kind, ..example.request.clone() })
    };
    world::examples().into_iter().take(9).flat_map(both).collect()
}

fn train(narrator: &mut Narrator, config: &TrainConfig) -> Vec<f64> {
    let report = narrator.train(&examples(), &[], config, &mut |_| ControlFlow::Continue(())).unwrap();
    report.training.iter().map(|point| point.loss).collect()
}

/// The tensors of the injection as a bundle of the narrator keeps them.
fn maps(narrator: &Narrator, through: InjectionMap) -> Vec<f64> {
    let dir = tempdir().unwrap();
    let path = dir.path().join("narrator");
    narrator.save(&path).unwrap();
    let shape = if through == InjectionMap::Gate { vec![48] } else { vec![48, 48] };
    let kept = Checkpoint::open(&path.join("adapter.safetensors")).unwrap();
    let largest = |layer: usize| {
        let tensor = kept.tensor(&format!("injection.{layer}.weight"), &shape).unwrap();
        tensor.abs().max().double_value(&[])
    };
    vec![largest(0), largest(1)]
}

#[test]
fn a_narrator_that_injects_begins_as_one_that_does_not() {
    for kind in [AdapterKind::Projection, AdapterKind::CrossAttention { tokens: 3, heads: 2, layers: 1 }] {
        let plain = build(None, kind).unwrap();
        for (through, numbers) in MAPS.into_iter().zip([48 * 48, 48]) {
            let injects = build(into(&[1, 0], through), kind).unwrap();
            assert_eq!(injects.parameters(), plain.parameters() + 2 * numbers, "{through:?}");
            assert_eq!(nats(&injects), nats(&plain), "{through:?}");
            let written = |narrator: &Narrator| world::write(narrator, &requests(), 4);
            assert_eq!(written(&injects), written(&plain), "{through:?}");
        }
    }
}

#[test]
fn what_is_injected_is_learned_with_the_adapter_alone_too_and_a_bundle_keeps_it() {
    for through in MAPS {
        for trains in [Trains::All, Trains::Adapter] {
            let mut narrator = narrator(through);
            assert_eq!(maps(&narrator, through), [0.0, 0.0]);
            let losses = train(&mut narrator, &TrainConfig { trains, ..world::training(40) });
            assert!(losses.last() < losses.first(), "{losses:?}");
            assert!(maps(&narrator, through).iter().all(|&largest| largest > 1e-3), "{through:?} {trains:?}");
        }
    }
    let mut narrator = narrator(InjectionMap::Projection);
    train(&mut narrator, &world::training(60));
    let dir = tempdir().unwrap();
    let path = dir.path().join("narrator");
    narrator.save(&path).unwrap();
    let opened = Narrator::open(&path, Device::Cpu).unwrap();
    assert_eq!(opened.config(), narrator.config());
    assert_eq!(nats(&opened), nats(&narrator));
    assert_eq!(world::write(&opened, &requests(), 4), world::write(&narrator, &requests(), 4));
    let card = std::fs::read_to_string(path.join("README.md")).unwrap();
    assert!(card.contains("| soft tokens are also added before blocks | 1, 0 |"), "{card}");

    // A manifest that forgets it leaves tensors over.
    let manifest = path.join("narrator.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["config"].as_object_mut().unwrap().remove("injection").unwrap();
    std::fs::write(&manifest, value.to_string()).unwrap();
    let error = format!("{:?}", Narrator::open(&path, Device::Cpu).unwrap_err());
    assert!(error.contains("injection."), "{error}");
}

/// The writer reads prompts with packed weights where it can, whole or their beginnings apart; the loss reads whole texts by libtorch.
#[test]
fn narratives_are_written_with_the_probabilities_that_were_trained() {
    let mut narrator = narrator(InjectionMap::Projection);
    train(&mut narrator, &world::training(60));
    let writer = narrator.writer().unwrap();
    let options = narrator.generate_options();
    let go_on = &mut |_| ControlFlow::Continue(());
    let together = writer.narrate(&requests(), &options, 6, go_on).unwrap();
    let alone = writer.narrate(&requests(), &options, 1, go_on).unwrap();
    let blind = world::write(&build(None, AdapterKind::Projection).unwrap(), &requests(), 6);
    let mut ended = 0;
    for ((request, together), (alone, blind)) in
        requests().into_iter().zip(together).zip(alone.into_iter().zip(blind))
    {
        let (together, alone) = (together.unwrap(), alone.unwrap());
        assert_eq!(together.text, alone.text);
        assert_ne!(together.text, blind);
        assert!((together.mean_log_probability - alone.mean_log_probability).abs() < 1e-4);
        let example = Example { request, text: together.text.clone() };
        let read = narrator.losses(&[example], Withheld::Nothing, 1).unwrap()[0];
        // The loss counts the end as well, which the writer does not.
        if read.tokens == together.tokens + 1 {
            let written = -together.mean_log_probability * together.tokens as f64;
            assert!(written <= read.nats + 1e-3 && read.nats - written < 1.0, "{written} {read:?}");
            ended += 1;
        }
    }
    assert!(ended > 3, "{ended}");
}

#[test]
fn activations_computed_again_teach_the_same_and_kernels_are_refused() {
    let config = |memory| TrainConfig { memory, evaluate_every: 5, ..world::training(15) };
    let plain = train(&mut narrator(InjectionMap::Projection), &config(Memory::default()));
    let again = Memory { recompute: true, parts: 2, ..Memory::default() };
    let again = train(&mut narrator(InjectionMap::Projection), &config(again));
    assert_eq!(plain.len(), 3);
    for (plain, again) in plain.iter().zip(&again) {
        assert!((plain - again).abs() < 1e-3 * plain, "{plain} {again}");
    }
    let lower = TrainConfig { precision: TrainPrecision::Bf16, ..config(Memory::default()) };
    for (plain, lower) in plain.iter().zip(&train(&mut narrator(InjectionMap::Projection), &lower)) {
        assert!((plain - lower).abs() < 0.05 * plain, "{plain} {lower}");
    }
    let kernels = config(Memory { kernels: true, ..Memory::default() });
    let refused = narrator(InjectionMap::Gate)
        .train(&examples(), &[], &kernels, &mut |_| ControlFlow::Continue(()))
        .unwrap_err();
    assert!(matches!(refused, Error::InvalidConfig { field: "memory.kernels", .. }), "{refused}");
}

#[test]
fn layers_that_are_not_there_and_narrators_without_soft_tokens_are_refused() {
    for layers in [&[2usize][..], &[], &[1, 1], &[usize::MAX]] {
        let refused = build(into(layers, InjectionMap::Gate), AdapterKind::Projection).unwrap_err();
        assert!(matches!(refused, Error::InvalidConfig { field: "injection.layers", .. }), "{refused}");
    }
    let (config, tokenizer) = world::config_with(Sources::Cf, AdapterKind::Projection);
    let config = NarratorConfig { adapter: None, injection: into(&[0], InjectionMap::Gate), ..config };
    let none = regen_narrator::ItemTables::none();
    let ids = regen_narrator::ItemIds::default();
    let refused = Narrator::new(config, none, ids, tokenizer, Device::Cpu, 1).unwrap_err();
    assert!(matches!(refused, Error::NoAdapter), "{refused}");
}
