//! What saves memory changes nothing that is learned, and what low-rank updates drop survives a broken run.

use std::ops::ControlFlow;
use std::path::Path;

use regen_fusion::{AdapterKind, Sources};
use regen_lm::{Decoder, LoraConfig, LoraTargets};
use regen_narrator::{
    Error, Memory, Narrator, NarratorConfig, NextItemTraining, PromptWords, Snapshots, TrainConfig,
    TrainReport,
};
use tch::{Device, nn};
use tempfile::tempdir;

use crate::world;

/// Trains a narrator that also learns the next purchase, and gives its curves.
fn trained(memory: Memory, batch: usize) -> (Narrator, TrainReport) {
    let (config, tokenizer) = world::config_with(Sources::Fusion, AdapterKind::Projection);
    let config = NarratorConfig { next_item: true, ..config };
    let mut narrator =
        Narrator::new(config, world::tables(), world::ids(), tokenizer, Device::Cpu, 1).unwrap();
    let next_item = Some(NextItemTraining { weight: 0.5, negatives: 0 });
    let training = TrainConfig { memory, next_item, batch, evaluate_every: 5, ..world::training(15) };
    let examples = world::examples();
    let report =
        narrator.train(&examples, &examples[..6], &training, &mut |_| ControlFlow::Continue(())).unwrap();
    (narrator, report)
}

fn check_same(memory: Memory, batch: usize) {
    let (_, plain) = trained(Memory::default(), batch);
    let (_, saved) = trained(memory, batch);
    let curves = |report: &TrainReport| {
        let all = [&report.training, &report.validation, &report.next_item];
        all.into_iter().flatten().map(|point| point.loss).collect::<Vec<_>>()
    };
    assert_eq!(plain.narrative_tokens, saved.narrative_tokens);
    let (plain, saved) = (curves(&plain), curves(&saved));
    assert_eq!((plain.len(), saved.len()), (9, 9));
    // Fifteen updates let roundings grow.
    for (plain, saved) in plain.iter().zip(&saved) {
        assert!((plain - saved).abs() < 1e-3 * plain, "{memory:?}: {plain} {saved}");
    }
    assert!(plain[2] < 0.8 * plain[0], "it must learn for this test to say anything: {plain:?}");
}

#[test]
fn activations_computed_again_teach_the_same() {
    check_same(Memory { recompute: true, ..Memory::default() }, 8);
}

#[test]
fn passes_by_kernels_teach_what_libtorch_teaches() {
    check_same(Memory { kernels: true, ..Memory::default() }, 8);
    check_same(Memory { kernels: true, parts: 2, ..Memory::default() }, 8);
}

#[test]
fn a_batch_in_parts_teaches_what_it_teaches_as_a_whole() {
    check_same(Memory { parts: 3, ..Memory::default() }, 8);
    // More parts than examples, and both at once.
    check_same(Memory { parts: 9, recompute: true, ..Memory::default() }, 4);
    let (config, tokenizer) = world::config_with(Sources::Fusion, AdapterKind::Projection);
    let mut narrator =
        Narrator::new(config, world::tables(), world::ids(), tokenizer, Device::Cpu, 1).unwrap();
    let none = TrainConfig { memory: Memory { parts: 0, ..Memory::default() }, ..world::training(2) };
    let refused =
        narrator.train(&world::examples(), &[], &none, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(refused, Error::InvalidConfig { field: "memory.parts", .. }), "{refused}");
}

/// A narrator around a language model of its own making, with updates that drop half of their inputs.
fn dropping(lm: &Path, dropout: f64) -> Narrator {
    let (config, tokenizer) = world::config_with(Sources::Fusion, AdapterKind::Projection);
    if !lm.exists() {
        let vs = nn::VarStore::new(Device::Cpu);
        let decoder = Decoder::new(&vs.root(), &config.decoder, &mut regen_torch::seed::rng(8, 1)).unwrap();
        decoder.save(lm).unwrap();
        tokenizer.save(lm).unwrap();
    }
    let targets = LoraTargets::Named(vec!["q_proj".into(), "down_proj".into()]);
    let lora = Some(LoraConfig { rank: 3, alpha: 6.0, rank_stabilised: false, dropout, targets });
    let words = Some(PromptWords::plain(&config.kinds));
    let decoder = regen_lm::DecoderConfig::from_hf(lm).unwrap();
    let config = NarratorConfig { lora, words, decoder, ..config };
    Narrator::on_lm(lm, config, world::tables(), world::ids(), Device::Cpu, 1).unwrap()
}

#[test]
fn what_is_dropped_goes_on_where_a_run_was_broken_off() {
    let dir = tempdir().unwrap();
    let lm = dir.path().join("lm");
    let examples = world::examples();
    let training = |recompute| TrainConfig {
        memory: Memory { parts: 2, recompute, ..Memory::default() },
        evaluate_every: 4,
        ..world::training(12)
    };
    let curve = |dropout: f64, recompute: bool, snapshots: Option<&Path>, last: u64| {
        let mut narrator = dropping(&lm, dropout);
        let mut go = |now: regen_narrator::TrainProgress| {
            if now.step == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let report = match snapshots {
            Some(dir) => {
                let snapshots = Snapshots { dir: dir.to_owned(), every: 100 };
                narrator.train_with_snapshots(
                    &examples,
                    &examples[..6],
                    &training(recompute),
                    &snapshots,
                    &mut go,
                )
            }
            None => narrator.train(&examples, &examples[..6], &training(recompute), &mut go),
        };
        report.unwrap().training.iter().map(|point| point.loss).collect::<Vec<_>>()
    };
    let calm = curve(0.5, false, None, 0);
    assert_ne!(calm, curve(0.0, false, None, 0), "dropping must change what is learned");
    let broken = dir.path().join("snapshots");
    curve(0.5, false, Some(&broken), 6);
    assert_eq!(curve(0.5, false, Some(&broken), 0), calm);
    let recomputed = curve(0.5, true, None, 0);
    for (calm, recomputed) in calm.iter().zip(&recomputed) {
        assert!((calm - recomputed).abs() < 1e-4, "{calm} {recomputed}");
    }
}
