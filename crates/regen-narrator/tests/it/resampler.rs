//! A narrator whose adapter reads a history as a whole: what it writes, its batches, its folder; and what soft tokens lie near.

use std::ops::ControlFlow;

use regen_fusion::{AdapterKind, Sources};
use regen_narrator::{Control, Error, Narrator, Request, TrainConfig, UserExamples, Withheld};
use tch::Device;

use crate::world;

const KIND: AdapterKind = AdapterKind::CrossAttention { tokens: 3, heads: 4, layers: 2 };

fn trained(steps: u64) -> Narrator {
    let mut narrator = world::narrator_with(Sources::Fusion, KIND, 1);
    let mut all = world::summaries();
    all.extend(world::examples());
    let config = TrainConfig { adapter_learning_rate: 2e-3, ..world::training(steps) };
    narrator.train(&all, &[], &config, &mut |_| ControlFlow::Continue(())).unwrap();
    narrator
}

fn requests(examples: Vec<regen_narrator::Example>) -> Vec<Request> {
    examples.into_iter().map(|example| example.request).collect()
}

#[test]
fn it_writes_of_a_history_in_its_order_and_of_the_item_that_is_narrated() {
    let narrator = trained(350);
    for examples in [world::summaries(), world::examples()] {
        let written = world::write(&narrator, &requests(examples.clone()), 6);
        let right = written.iter().zip(&examples).filter(|(written, example)| **written == example.text);
        let share = right.count() as f64 / examples.len() as f64;
        assert!(share > 0.9, "{share} of {} as {:?}", examples.len(), examples[0].text);
    }
    let summaries = world::summaries();
    let users: Vec<u32> = (0..summaries.len() as u32).collect();
    let of_users = UserExamples::new(&summaries, &users).unwrap();
    let loss = |control| {
        let changed = of_users.under(control, 1);
        let losses = narrator.losses(&changed.examples, changed.withheld, 8).unwrap();
        losses.iter().map(|loss| loss.nats).sum::<f64>() / losses.len() as f64
    };
    for control in [Control::ShuffledItems, Control::Without(Withheld::Vectors)] {
        let cost = loss(control) - loss(Control::Without(Withheld::Nothing));
        assert!(cost > 0.5, "{control:?} costs {cost}");
    }
}

#[test]
fn batches_padding_and_its_folder_change_nothing() {
    let narrator = trained(30);
    let examples: Vec<_> = world::examples().into_iter().chain(world::summaries()).collect();
    let (together, alone) = (narrator.loss(&examples, 28).unwrap(), narrator.loss(&examples, 1).unwrap());
    assert!((together - alone).abs() < 1e-5, "{together} {alone}");
    let requests = requests(examples);
    assert_eq!(world::write(&narrator, &requests, 9), world::write(&narrator, &requests, 1));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("narrator");
    narrator.save(&path).unwrap();
    let opened = Narrator::open(&path, Device::Cpu).unwrap();
    assert_eq!(world::write(&opened, &requests, 9), world::write(&narrator, &requests, 9));
    assert_eq!(opened.config(), narrator.config());
}

#[test]
fn every_soft_token_has_its_nearest_words() {
    let request = |history: &[u32], target| Request {
        kind: world::kinds()[0].clone(),
        history: history.to_vec(),
        target,
        ..Request::default()
    };
    let requests = [request(&[0, 1, 2], Some(3)), request(&[4], None), request(&[], Some(1))];
    // Three tokens for a history and two for the item that is narrated; two for every item.
    for (kind, counts) in [(KIND, [5, 3, 2]), (AdapterKind::Projection, [8, 2, 2])] {
        let narrator = world::narrator_with(Sources::Fusion, kind, 1);
        let near = narrator.nearest_tokens(&requests, 4).unwrap();
        assert_eq!(near.iter().map(Vec::len).collect::<Vec<_>>(), counts);
        for words in near.iter().flatten() {
            assert_eq!(words.len(), 4);
            assert!(words.windows(2).all(|pair| pair[0].cosine >= pair[1].cosine));
            assert!(words.iter().all(|word| word.cosine.abs() <= 1.0 + 1e-6 && !word.token.is_empty()));
        }
    }
    let narrator = world::narrator(Sources::Fusion, 1);
    assert!(narrator.nearest_tokens(&requests, 0).unwrap()[0].iter().all(Vec::is_empty));
    let error = narrator.nearest_tokens(&[request(&[99], None)], 1).unwrap_err();
    assert!(matches!(error, Error::UnknownItem { item: 99, .. }));
}
