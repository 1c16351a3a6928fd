//! The next purchase told beside the narrative, and item tables that are trained with the rest.

use std::ops::ControlFlow;
use std::path::Path;

use regen_fusion::{AdapterKind, Sources};
use regen_narrator::{
    Error, Example, ItemIds, ItemTables, Narrator, NarratorConfig, NextItemTraining, Request, TableRates,
    TrainConfig,
};
use regen_torch::Checkpoint;
use tch::{Device, Kind, Tensor};

use crate::world;

const ATTENTION: AdapterKind = AdapterKind::CrossAttention { tokens: 2, heads: 4, layers: 1 };

fn narrator(sources: Sources, kind: AdapterKind) -> Narrator {
    let (config, tokenizer) = world::config_with(sources, kind);
    let config = NarratorConfig { next_item: true, ..config };
    Narrator::new(config, world::tables(), world::ids(), tokenizer, Device::Cpu, 1).unwrap()
}

/// Everybody buys the items in a circle.
fn circle() -> Vec<Example> {
    let count = world::ITEMS as u32;
    let mut all = Vec::new();
    for start in 0..count {
        for length in 1..4 {
            let history: Vec<u32> = (0..length).map(|step| (start + step) % count).collect();
            all.push(world::example(&history, (start + length) % count));
        }
    }
    all
}

fn requests(examples: &[Example]) -> Vec<Request> {
    examples.iter().map(|example| example.request.clone()).collect()
}

fn train(narrator: &mut Narrator, config: &TrainConfig) -> regen_narrator::TrainReport {
    narrator.train(&circle(), &[], config, &mut |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn a_circle_of_purchases_is_learned_beside_the_narratives() {
    for (kind, negatives) in [(AdapterKind::Projection, 0), (AdapterKind::Projection, 4), (ATTENTION, 4)] {
        let mut narrator = narrator(Sources::Fusion, kind);
        let next_item = Some(NextItemTraining { weight: 0.5, negatives });
        let report = train(&mut narrator, &TrainConfig { next_item, ..world::training(260) });
        let (first, last) = (report.next_item[0].loss, report.next_item.last().unwrap().loss);
        assert!(last < 0.2 * first, "{kind:?}, {negatives} negatives: {first} to {last}");
        let ranks = narrator.next_item_ranks(&requests(&circle()), 5).unwrap();
        let found = ranks.iter().filter(|rank| **rank == Some(1)).count();
        assert_eq!(found, ranks.len(), "{kind:?}, {negatives} negatives: {ranks:?}");
        let written = world::write(&narrator, &requests(&circle()), 7);
        let right = written.iter().zip(circle()).filter(|(written, example)| **written == example.text);
        assert!(right.count() >= 20, "{kind:?}: the narratives are learned as well, of {}", written.len());
    }
}

#[test]
fn a_rank_is_among_the_items_that_were_not_bought_and_needs_a_history_and_a_new_target() {
    let narrator = narrator(Sources::Fusion, AdapterKind::Projection);
    let request = |history: &[u32], target| Request {
        kind: world::kinds()[0].clone(),
        history: history.to_vec(),
        target,
        ..Request::default()
    };
    let all: Vec<Request> = (0..world::ITEMS as u32)
        .filter(|target| ![2, 5].contains(target))
        .map(|target| request(&[2, 5, 2], Some(target)))
        .collect();
    let ranks = narrator.next_item_ranks(&all, 3).unwrap();
    let mut sorted: Vec<usize> = ranks.iter().copied().map(Option::unwrap).collect();
    sorted.sort_unstable();
    assert_eq!(sorted, [1, 2, 3, 4, 5], "each of the five that were not bought has its own place");
    assert_eq!(narrator.next_item_ranks(&all, 1).unwrap(), ranks);
    let unasked = [request(&[], Some(1)), request(&[1, 2], None), request(&[1, 2], Some(1))];
    assert_eq!(narrator.next_item_ranks(&unasked, 2).unwrap(), [None, None, None]);
}

#[test]
fn a_batch_without_a_next_purchase_is_trained_on_its_narratives() {
    let mut narrator = narrator(Sources::Fusion, AdapterKind::Projection);
    let alone: Vec<Example> = (0..4).map(|target| world::example(&[], target)).collect();
    let next_item = Some(NextItemTraining { weight: 1.0, negatives: 3 });
    let config = TrainConfig { next_item, ..world::training(3) };
    let report = narrator.train(&alone, &[], &config, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(report.next_item.is_empty() && report.training[0].loss > 0.0);
}

fn saved(narrator: &Narrator, dir: &Path, file: &str, names: &[&str]) -> Vec<Tensor> {
    let path = dir.join(format!("{}", dir.read_dir().unwrap().count()));
    narrator.save(&path).unwrap();
    let file = Checkpoint::open(&path.join(file)).unwrap();
    names.iter().map(|name| file.tensor(name, file.shape(name).unwrap()).unwrap()).collect()
}

#[test]
fn tables_with_a_rate_move_and_are_saved_and_the_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut narrator = narrator(Sources::Fusion, AdapterKind::Projection);
    let both = ["cf", "semantic"];
    let before = saved(&narrator, dir.path(), "items.safetensors", &both);
    let config = TrainConfig { tables: TableRates { cf: Some(1e-2), semantic: None }, ..world::training(20) };
    train(&mut narrator, &config);
    let after = saved(&narrator, dir.path(), "items.safetensors", &both);
    let moved = |at: usize| (&after[at] - &before[at]).abs().amax([1i64].as_slice(), false);
    assert!(moved(0).min().double_value(&[]) > 1e-4, "every item was met, so every row moves");
    assert_eq!(moved(1).max().double_value(&[]), 0.0);

    // The next run, without rates, leaves them where they are.
    train(&mut narrator, &world::training(5));
    let later = saved(&narrator, dir.path(), "items.safetensors", &both);
    assert!(later[0].equal(&after[0]));
    let opened = Narrator::open(&dir.path().join("1"), Device::Cpu).unwrap();
    let again = saved(&opened, dir.path(), "items.safetensors", &both);
    assert!(again[0].equal(&after[0]));
}

#[test]
fn what_tells_the_next_item_is_saved_with_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let mut narrator = narrator(Sources::Cf, AdapterKind::Projection);
    let names = ["query", "temperature"];
    let before = saved(&narrator, dir.path(), "next_item.safetensors", &names);
    let next_item = Some(NextItemTraining { weight: 1.0, negatives: 3 });
    train(&mut narrator, &TrainConfig { next_item, ..world::training(20) });
    let after = saved(&narrator, dir.path(), "next_item.safetensors", &names);
    for (before, after) in before.iter().zip(&after) {
        let moved = (before - after).abs().max().to_kind(Kind::Double).double_value(&[]);
        assert!(moved.is_finite() && moved > 0.0);
    }
    let opened = Narrator::open(&dir.path().join("1"), Device::Cpu).unwrap();
    let ranks = |narrator: &Narrator| narrator.next_item_ranks(&requests(&circle()), 4).unwrap();
    assert_eq!(ranks(&opened), ranks(&narrator));
    std::fs::remove_file(dir.path().join("1/next_item.safetensors")).unwrap();
    let error = Narrator::open(&dir.path().join("1"), Device::Cpu).unwrap_err();
    assert!(format!("{error} {error:?}").contains("next_item.safetensors"), "{error}");
}

#[test]
fn what_cannot_be_trained_is_refused_by_name() {
    let mut plain = world::narrator(Sources::Cf, 1);
    let mut refuse = |config: TrainConfig| {
        plain.train(&circle(), &[], &config, &mut |_| ControlFlow::Continue(())).unwrap_err()
    };
    let next = |weight| Some(NextItemTraining { weight, negatives: 2 });
    assert!(matches!(refuse(TrainConfig { next_item: next(1.0), ..world::training(5) }), Error::NoNextItem));
    let error = refuse(TrainConfig { next_item: next(f64::NAN), ..world::training(5) });
    assert!(matches!(error, Error::InvalidConfig { field: "next_item.weight", .. }));
    let rates = |cf, semantic| TrainConfig { tables: TableRates { cf, semantic }, ..world::training(5) };
    let error = refuse(rates(Some(-1.0), None));
    assert!(matches!(error, Error::InvalidConfig { field: "tables.cf", .. }));
    // The adapter reads collaborative vectors alone.
    let error = refuse(rates(None, Some(1e-3)));
    assert!(matches!(error, Error::InvalidConfig { field: "tables.semantic", .. }));
    assert!(matches!(plain.next_item_ranks(&requests(&circle()), 1), Err(Error::NoNextItem)));

    let (config, tokenizer) = world::config_with(Sources::Cf, AdapterKind::Projection);
    let config = NarratorConfig { adapter: None, next_item: true, ..config };
    let made = Narrator::new(config, ItemTables::none(), ItemIds::default(), tokenizer, Device::Cpu, 1);
    assert!(matches!(made, Err(Error::NoAdapter)));
}
