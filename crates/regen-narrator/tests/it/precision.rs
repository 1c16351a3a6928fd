//! Training with the language model in bf16 follows training in f32, survives a broken run, and says what it does not go with.

use std::ops::ControlFlow;
use std::path::Path;

use regen_fusion::{AdapterKind, Sources};
use regen_lm::Storage;
use regen_narrator::{
    Error, Memory, Narrator, NarratorConfig, NextItemTraining, Snapshots, TableRates, TrainConfig,
    TrainPrecision, TrainProgress, TrainReport,
};
use regen_torch::Checkpoint;
use tch::{Device, Kind};
use tempfile::tempdir;

use crate::world;

fn narrator() -> Narrator {
    let (config, tokenizer) = world::config_with(Sources::Fusion, AdapterKind::Projection);
    let config = NarratorConfig { next_item: true, ..config };
    Narrator::new(config, world::tables(), world::ids(), tokenizer, Device::Cpu, 1).unwrap()
}

fn config(precision: TrainPrecision, steps: u64) -> TrainConfig {
    TrainConfig {
        precision,
        next_item: Some(NextItemTraining { weight: 0.5, negatives: 3 }),
        tables: TableRates { cf: Some(1e-3), semantic: Some(1e-3) },
        evaluate_every: 10,
        ..world::training(steps)
    }
}

fn go_on(_: TrainProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn the_loss_in_bf16_follows_that_in_f32() {
    let examples = world::examples();
    let curves = |precision| {
        let mut narrator = narrator();
        let report = narrator.train(&examples, &examples[..6], &config(precision, 60), &mut go_on).unwrap();
        let all = [&report.training, &report.validation, &report.next_item];
        (narrator, all.map(|curve| curve.iter().map(|point| point.loss).collect::<Vec<_>>()))
    };
    let (_, plain) = curves(TrainPrecision::F32);
    let (narrator, half) = curves(TrainPrecision::Bf16);
    assert_ne!(plain, half, "something must be rounded");
    for (plain, half) in plain.iter().flatten().zip(half.iter().flatten()) {
        // A rounding of 2⁻⁹ in each weight and activation, through two blocks, added up over 60 updates.
        assert!((plain - half).abs() < 0.05 * plain + 0.02, "{plain} {half}");
    }
    let last = plain[0].len() - 1;
    assert!(plain[0][last] < 0.5 * plain[0][0], "it must learn for this test to say anything: {plain:?}");

    // What it leaves is a narrator in f32, which writes as others do.
    let dir = tempdir().unwrap();
    let bundle = dir.path().join("bundle");
    narrator.save(&bundle).unwrap();
    let stored = Checkpoint::open(&bundle.join("lm")).unwrap();
    let table = [narrator.config().decoder.vocab(), narrator.config().decoder.hidden()];
    assert_eq!(stored.tensor("model.embed_tokens.weight", &table).unwrap().kind(), Kind::Float);
    let requests: Vec<_> = examples[..4].iter().map(|example| example.request.clone()).collect();
    let opened = Narrator::open(&bundle, Device::Cpu).unwrap();
    assert_eq!(world::write(&opened, &requests, 4), world::write(&narrator, &requests, 4));
    // Weights that were trained in bf16 lose nothing when they are packed in it.
    let options = narrator.generate_options();
    let packed = narrator.writer_with(Storage::Bf16).unwrap();
    assert_eq!(packed.narrate(&requests, &options, 4, &mut |_| ControlFlow::Continue(())).unwrap().len(), 4);
}

#[test]
fn a_run_in_bf16_that_is_broken_off_ends_as_one_that_was_left_alone() {
    let examples = world::examples();
    let run = |dir: &Path, precision, last: u64| {
        let mut narrator = narrator();
        let snapshots = Snapshots { dir: dir.to_owned(), every: 7 };
        let mut go = |now: TrainProgress| {
            if now.step == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let trained = narrator.train_with_snapshots(
            &examples,
            &examples[..6],
            &config(precision, 24),
            &snapshots,
            &mut go,
        );
        (narrator, trained)
    };
    let files = |narrator: &Narrator| -> Vec<Vec<u8>> {
        let dir = tempdir().unwrap();
        let bundle = dir.path().join("bundle");
        narrator.save(&bundle).unwrap();
        ["adapter.safetensors", "next_item.safetensors", "items.safetensors", "lm/model.safetensors"]
            .map(|part| std::fs::read(bundle.join(part)).unwrap())
            .into()
    };
    let [calm, broken] = [tempdir().unwrap(), tempdir().unwrap()];
    let (expected, report) = run(calm.path(), TrainPrecision::Bf16, 0);
    let report: TrainReport = report.unwrap();
    assert!(run(broken.path(), TrainPrecision::Bf16, 12).1.unwrap().stopped);
    // The other precision is another run.
    let (_, refused) = run(broken.path(), TrainPrecision::F32, 0);
    assert!(matches!(refused, Err(Error::OtherRun { .. })));
    let (resumed, again) = run(broken.path(), TrainPrecision::Bf16, 0);
    assert_eq!(again.unwrap(), report);
    assert!(files(&resumed) == files(&expected), "the weights differ");
}

#[test]
fn kernels_which_train_in_f32_are_refused_with_bf16() {
    let memory = Memory { kernels: true, ..Memory::default() };
    let both = TrainConfig { memory, ..config(TrainPrecision::Bf16, 5) };
    let mut narrator = narrator();
    let examples = world::examples();
    let refused = narrator.train(&examples, &[], &both, &mut go_on).unwrap_err();
    assert!(matches!(refused, Error::InvalidConfig { field: "memory.kernels", .. }), "{refused}");
    assert!(refused.to_string().contains("bf16"), "{refused}");
    // Each of them alone trains.
    for config in [
        TrainConfig { precision: TrainPrecision::F32, ..both.clone() },
        TrainConfig { memory: Memory::default(), ..both.clone() },
    ] {
        narrator.train(&examples, &[], &config, &mut go_on).unwrap();
    }
    // Plans and snapshots that say nothing of it are in f32, and say nothing of it.
    let json = serde_json::to_value(config(TrainPrecision::F32, 5)).unwrap();
    assert!(json.get("precision").is_none());
    assert_eq!(serde_json::from_value::<TrainConfig>(json).unwrap().precision, TrainPrecision::F32);
    let json = serde_json::to_value(config(TrainPrecision::Bf16, 5)).unwrap();
    assert_eq!(json["precision"], "bf16");
}
