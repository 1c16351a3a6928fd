//! Training that is broken off, and goes on from its snapshot as if nothing had happened.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use regen_fusion::{AdapterKind, Sources};
use regen_narrator::{
    Error, Narrator, NarratorConfig, NextItemTraining, Snapshots, TableRates, TrainConfig, TrainReport,
};
use tch::Device;
use tempfile::tempdir;

use crate::world;

/// Everything that a run can move, so that nothing is forgotten in a snapshot.
fn narrator() -> Narrator {
    let (config, tokenizer) = world::config_with(Sources::Fusion, AdapterKind::Projection);
    let config = NarratorConfig { next_item: true, ..config };
    Narrator::new(config, world::tables(), world::ids(), tokenizer, Device::Cpu, 1).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig {
        next_item: Some(NextItemTraining { weight: 0.5, negatives: 3 }),
        tables: TableRates { cf: Some(1e-3), semantic: Some(1e-3) },
        evaluate_every: 10,
        ..world::training(40)
    }
}

/// Trains with snapshots every seven updates; `at` says what happens after an update.
fn run(dir: &Path, config: &TrainConfig, at: &dyn Fn(u64) -> ControlFlow<()>) -> (Narrator, TrainReport) {
    let mut narrator = narrator();
    let snapshots = Snapshots { dir: dir.to_owned(), every: 7 };
    let examples = world::examples();
    let report = narrator
        .train_with_snapshots(&examples, &examples[..6], config, &snapshots, &mut |now| at(now.step))
        .unwrap();
    (narrator, report)
}

fn go_on(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn files(narrator: &Narrator) -> Vec<Vec<u8>> {
    let dir = tempdir().unwrap();
    let bundle = dir.path().join("bundle");
    narrator.save(&bundle).unwrap();
    ["adapter.safetensors", "next_item.safetensors", "items.safetensors", "lm/model.safetensors"]
        .map(|part| std::fs::read(bundle.join(part)).unwrap())
        .into()
}

#[test]
fn a_run_that_is_stopped_and_one_that_dies_end_as_one_that_was_left_alone() {
    let [calm, broken] = [tempdir().unwrap(), tempdir().unwrap()];
    let (expected, report) = run(calm.path(), &config(), &go_on);
    let plain = {
        let mut narrator = narrator();
        let examples = world::examples();
        narrator.train(&examples, &examples[..6], &config(), &mut |_| ControlFlow::Continue(())).unwrap()
    };
    assert_eq!(report, plain, "snapshots change nothing");

    // Dead after update 12: the snapshot of update 7 is there, and no chance to write another.
    let dies = catch_unwind(AssertUnwindSafe(|| {
        run(broken.path(), &config(), &|step| {
            assert_ne!(step, 12, "the process dies");
            ControlFlow::Continue(())
        })
    }));
    assert!(dies.is_err());
    let stop = |step| if step == 25 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let (_, stopped) = run(broken.path(), &config(), &|step| {
        assert!(step > 7, "it goes on from update 7");
        stop(step)
    });
    assert!(stopped.stopped);
    let (resumed, again) = run(broken.path(), &config(), &|step| {
        assert!(step > 25, "it goes on from where it was stopped");
        ControlFlow::Continue(())
    });
    assert_eq!(again, report);
    assert!(files(&resumed) == files(&expected), "the weights differ");
}

#[test]
fn a_finished_run_is_read_and_not_done_again() {
    let dir = tempdir().unwrap();
    // Rates that move nothing, so that the second look is no better than the first on any processor.
    let still = TableRates { cf: Some(1e-12), semantic: Some(1e-12) };
    let patient = TrainConfig {
        patience: Some(1),
        learning_rate: 1e-12,
        adapter_learning_rate: 1e-12,
        tables: still,
        ..config()
    };
    for config in [config(), patient] {
        let dir = dir.path().join(config.learning_rate.to_string());
        let (trained, report) = run(&dir, &config, &go_on);
        assert_eq!(report.ended_early, config.patience.is_some());
        let (read, again) = run(&dir, &config, &|step| panic!("update {step} is done again"));
        assert_eq!(again, report);
        assert!(files(&read) == files(&trained), "the weights differ");
    }
}

#[test]
fn a_snapshot_of_other_settings_or_examples_is_refused_before_anything_changes() {
    let dir = tempdir().unwrap();
    run(dir.path(), &config(), &|_| ControlFlow::Break(()));
    let mut narrator = narrator();
    let before = files(&narrator);
    let snapshots = Snapshots { dir: dir.path().to_owned(), every: 7 };
    let examples = world::examples();
    let mut refuse = |training: &[regen_narrator::Example], config: &TrainConfig| {
        let go = &mut |_: regen_narrator::TrainProgress| ControlFlow::Continue(());
        narrator.train_with_snapshots(training, &examples[..6], config, &snapshots, go).unwrap_err()
    };
    let slower = TrainConfig { learning_rate: 1e-4, ..config() };
    assert!(matches!(refuse(&examples, &slower), Error::OtherRun { .. }));
    assert!(matches!(refuse(&examples[1..], &config()), Error::OtherRun { .. }));
    assert!(files(&narrator) == before, "the weights differ");

    // Tables that stay as they are belong to the run too.
    let still = TrainConfig { tables: TableRates::default(), ..config() };
    let other = tempdir().unwrap();
    run(other.path(), &still, &|_| ControlFlow::Break(()));
    let (config_with, tokenizer) = world::config_with(Sources::Fusion, AdapterKind::Projection);
    let with_next = NarratorConfig { next_item: true, ..config_with };
    let mut swapped =
        Narrator::new(with_next, world::other_tables(), world::ids(), tokenizer, Device::Cpu, 1).unwrap();
    let snapshots_of = Snapshots { dir: other.path().to_owned(), every: 7 };
    let go = &mut |_: regen_narrator::TrainProgress| ControlFlow::Continue(());
    let refused =
        swapped.train_with_snapshots(&examples, &examples[..6], &still, &snapshots_of, go).unwrap_err();
    assert!(matches!(refused, Error::OtherRun { .. }), "{refused}");

    let never = Snapshots { every: 0, ..snapshots };
    let go = &mut |_: regen_narrator::TrainProgress| ControlFlow::Continue(());
    let refused = narrator.train_with_snapshots(&examples, &[], &config(), &never, go).unwrap_err();
    assert!(matches!(refused, Error::InvalidConfig { field: "snapshots.every", .. }));
}
