//! What moves is told how and what does not comes back, with the language model in bf16.

use std::ops::ControlFlow;

use regen_fusion::{AdapterConfig, AdapterKind, DetailInputs, Normalisation, Sources};
use regen_lm::{DecoderConfig, LoraConfig, LoraTargets, train_bpe};
use regen_torch::seed;
use tch::{Device, Kind};

use super::*;
use crate::narrator::stream;
use crate::prompt::Sequence;
use crate::train::{Memory, TableRates, TrainConfig, Trains};
use crate::{
    Detail, Example, ItemIds, ItemTable, ItemTables, NarratorConfig, NextItemTraining, PassageConfig,
    Request, special_tokens,
};

/// Everything that a run can move: an adapter that reads details, a copying head, a head for the next item.
fn narrator(kind: AdapterKind, lora: Option<LoraConfig>) -> Narrator {
    let kinds = vec!["reason".to_owned()];
    let special = special_tokens(&kinds);
    let special: Vec<&str> = special.iter().map(String::as_str).collect();
    let tokenizer = train_bpe(["You chose the red red lamp."].into_iter(), 280, &special).unwrap();
    let decoder = DecoderConfig::preset("1m", tokenizer.vocab_size()).unwrap();
    let adapter = AdapterConfig {
        sources: Sources::Fusion,
        kind,
        normalisation: Normalisation::L2,
        cf_dim: 3,
        semantic_dim: 2,
        hidden: decoder.hidden(),
        tokens_per_item: 1,
        initial_rms: 0.02,
        details: DetailInputs { rating: true, ..DetailInputs::default() },
        user: false,
    };
    // Each side is missing once, so that its learned vector is read.
    let cf = [0.1, 0.9, 0.4, 0.7, 0.2, 0.3, 0.0, 0.0, 0.0, 0.5, 0.6, 0.1];
    let cf = ItemTable::new(&cf, 3, &[true, true, false, true]).unwrap();
    let semantic = [0.3, 0.1, 0.8, 0.2, 0.5, 0.6, 0.0, 0.0];
    let semantic = ItemTable::new(&semantic, 2, &[true, true, true, false]).unwrap();
    let config = NarratorConfig {
        adapter: Some(adapter),
        decoder,
        next_item: true,
        kinds,
        max_history: 4,
        max_narrative_tokens: 24,
        passage: Some(PassageConfig { max_tokens: 24, copy_width: 8 }),
        words: None,
        lora,
        injection: None,
    };
    let tables = ItemTables::new(Some(cf), Some(semantic)).unwrap();
    let ids = ItemIds::new(["a", "b", "c", "d"]).unwrap();
    Narrator::new(config, tables, ids, tokenizer, Device::Cpu, 5).unwrap()
}

fn examples() -> Vec<Example> {
    let example = |history: Vec<u32>, target: u32| Example {
        request: Request {
            kind: "reason".into(),
            details: history
                .iter()
                .map(|&item| Detail { rating: Some(item as f32 + 1.0), ..Detail::default() })
                .collect(),
            history,
            target: Some(target),
            passage: vec!["red red lamp".into()],
        },
        text: "You chose the red red lamp.".into(),
    };
    let mut all = vec![example(vec![0, 2], 1), example(vec![1, 0, 3], 2), example(vec![3, 1], 0)];
    // Of one purchase, nothing is known.
    all[0].request.details[1] = Detail::default();
    all
}

fn config(precision: TrainPrecision) -> TrainConfig {
    TrainConfig {
        steps: 8,
        batch: 3,
        learning_rate: 1e-3,
        adapter_learning_rate: 1e-3,
        warmup_steps: 0,
        final_rate: 1.0,
        weight_decay: 0.01,
        clip_norm: 1.0,
        evaluate_every: 4,
        seed: 2,
        next_item: Some(NextItemTraining { weight: 0.5, negatives: 0 }),
        trains: Trains::All,
        patience: None,
        tables: TableRates { cf: Some(1e-3), semantic: Some(1e-3) },
        memory: Memory::default(),
        precision,
    }
}

fn low_rank() -> LoraConfig {
    let (rank, alpha, dropout) = (2, 4.0, 0.1);
    LoraConfig { rank, alpha, rank_stabilised: false, dropout, targets: LoraTargets::All }
}

/// The language model's tensors in bf16 and all others in f32, each with a gradient that is finite and not zero.
fn check_gradients(kind: AdapterKind, lora: Option<LoraConfig>, memory: Memory) {
    let mut narrator = narrator(kind, lora);
    let config = TrainConfig { memory, ..config(TrainPrecision::Bf16) };
    narrator.move_tables(&config).unwrap();
    narrator.thaw(Trains::All);
    let lowered = narrator.lower().unwrap();
    let sequences = narrator.sequences(&examples()).unwrap();
    let rows: Vec<&Sequence> = sequences.iter().collect();
    let mut optimizer = narrator.optimizer(&config).unwrap();
    let mut negatives = seed::rng(1, stream::NEGATIVES);
    // Low-rank updates begin as nothing, so that half of them are told nothing by the first batch.
    for step in 1..3 {
        optimizer.zero_gradients();
        let loss = narrator.accumulate(&rows, &config, step, &mut negatives, &mut None).unwrap();
        assert!(loss.narrative.is_finite() && loss.next_item.is_some_and(f64::is_finite));
        if step == 1 {
            optimizer.step(1.0).unwrap();
        }
    }
    let trainable = narrator.trainable();
    let parts = ["adapter.", "copy.", "next.", "tables.cf", "tables.semantic"];
    for part in parts {
        assert!(trainable.iter().any(|(name, _)| name.starts_with(part)), "{part}");
    }
    for (name, tensor) in &trainable {
        let of_lm = name.starts_with("lm.") || name.starts_with("lora.");
        let expected = if of_lm { Kind::BFloat16 } else { Kind::Float };
        assert_eq!(tensor.kind(), expected, "{name}");
        let gradient = tensor.grad();
        assert!(gradient.defined(), "{name} takes no part");
        assert_eq!(gradient.kind(), expected, "{name}");
        let largest = gradient.abs().max().double_value(&[]);
        assert!(largest.is_finite() && largest > 0.0, "{name}: {largest}");
    }
    lowered.raise().unwrap();
    assert!(narrator.trainable().iter().all(|(_, tensor)| tensor.kind() == Kind::Float));
}

#[test]
fn every_tensor_that_moves_is_told_how_when_the_language_model_is_in_bf16() {
    for kind in [
        AdapterKind::Projection,
        AdapterKind::Gated,
        AdapterKind::MixtureOfExperts { experts: 2 },
        AdapterKind::CrossAttention { tokens: 2, heads: 1, layers: 1 },
    ] {
        check_gradients(kind, None, Memory::default());
    }
    check_gradients(AdapterKind::Projection, Some(low_rank()), Memory::default());
    let saving = Memory { parts: 2, recompute: true, ..Memory::default() };
    check_gradients(AdapterKind::Projection, None, saving);
    check_gradients(AdapterKind::Projection, Some(low_rank()), saving);
}

#[test]
fn what_does_not_move_comes_back_bit_for_bit_and_what_moves_as_it_was_judged() {
    let bytes = |narrator: &Narrator| -> Vec<(String, Vec<f32>)> {
        let mut all: Vec<_> = narrator.lm_vs.variables().into_iter().collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.iter()
            .map(|(name, tensor)| {
                assert_eq!(tensor.kind(), Kind::Float, "{name}");
                (name.clone(), regen_torch::tensor_to_vec_f32(tensor).unwrap())
            })
            .collect()
    };
    let go = &mut |_| ControlFlow::Continue(());
    // The language model beside a stage of the adapter, and beneath low-rank updates.
    let stage = TrainConfig { trains: Trains::Adapter, ..config(TrainPrecision::Bf16) };
    for (lora, config) in [(None, stage), (Some(low_rank()), config(TrainPrecision::Bf16))] {
        let mut narrator = narrator(AdapterKind::Projection, lora);
        let before = bytes(&narrator);
        narrator.train(&examples(), &examples(), &config, go).unwrap();
        assert!(bytes(&narrator) == before);
    }
    let mut narrator = narrator(AdapterKind::Projection, None);
    let before = bytes(&narrator);
    let report = narrator.train(&examples(), &examples(), &config(TrainPrecision::Bf16), go).unwrap();
    let after = bytes(&narrator);
    assert!(after != before);
    // Whoever is in bf16 has the lowest 16 bits of f32 at zero.
    assert!(after.iter().flat_map(|(_, values)| values).all(|value| value.to_bits() & 0xffff == 0));
    let best = report.validation.iter().map(|point| point.loss).reduce(f64::min).unwrap();
    let loss = narrator.loss(&examples(), 3).unwrap();
    assert!((loss - best).abs() < 0.02 * best, "{loss} {best}");
    // A stage in f32 goes on from there.
    let f32 = narrator.train(&examples(), &examples(), &config(TrainPrecision::F32), go).unwrap();
    assert!(f32.training.last().unwrap().loss < report.training[0].loss);
}

#[test]
fn a_run_that_fails_leaves_the_language_model_in_f32() {
    let mut narrator = narrator(AdapterKind::Projection, None);
    let wild = TrainConfig { learning_rate: 1e30, clip_norm: 1e30, ..config(TrainPrecision::Bf16) };
    narrator.train(&examples(), &[], &wild, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(narrator.lm_vs.variables().values().all(|tensor| tensor.kind() == Kind::Float));
}
