//! Training and writing: what is learned, that it is reproducible, and that batches do not matter.

use std::ops::ControlFlow;

use regen_fusion::Sources;
use regen_lm::GenerateOptions;
use regen_narrator::{Control, Error, Request, TrainConfig, Trains, UserExamples, Withheld};

use crate::world;

fn requests() -> Vec<Request> {
    world::examples().into_iter().map(|example| example.request).collect()
}

/// How many of the test world's sentences an arm writes correctly: colour, room, both.
fn right(sources: Sources) -> [usize; 3] {
    let mut narrator = world::narrator(sources, 1);
    world::train(&mut narrator, 400);
    let mut counts = [0; 3];
    for (written, example) in world::write(&narrator, &requests(), 5).iter().zip(world::examples()) {
        let words = |text: &str| {
            let words: Vec<&str> = text.split(' ').collect();
            (words.get(3).map(|w| (*w).to_owned()), words.last().map(|w| (*w).to_owned()))
        };
        let (got, wanted) = (words(written), words(&example.text));
        counts[0] += usize::from(got.0 == wanted.0);
        counts[1] += usize::from(got.1 == wanted.1);
        counts[2] += usize::from(*written == example.text);
    }
    counts
}

#[test]
fn taking_away_what_a_trained_narrator_reads_costs_it_what_that_side_tells() {
    let mut narrator = world::narrator(Sources::Fusion, 1);
    world::train(&mut narrator, 240);
    let examples = world::examples();
    // Each target is a user of its own, so that nobody is given an example of the same text.
    let users: Vec<u32> = examples.iter().filter_map(|example| example.request.target).collect();
    let of_users = UserExamples::new(&examples, &users).unwrap();
    let loss = |control| {
        let changed = of_users.under(control, 1);
        let losses = narrator.losses(&changed.examples, changed.withheld, 8).unwrap();
        losses.iter().map(|loss| loss.nats).sum::<f64>() / losses.len() as f64
    };
    let plain = loss(Control::Without(Withheld::Nothing));
    let taken = [Withheld::Cf, Withheld::Semantic].map(Control::Without);
    for control in [Control::ShuffledItems].into_iter().chain(taken) {
        let cost = loss(control) - plain;
        assert!(cost > 0.5, "{control:?} costs {cost} nats a narrative");
    }
}

#[test]
fn fusion_writes_what_either_side_tells_and_a_single_side_only_what_it_knows() {
    let all = world::examples().len();
    assert_eq!(right(Sources::Fusion), [all, all, all]);
    let [colours, rooms, _] = right(Sources::Cf);
    assert!(
        rooms == all && colours < all,
        "cf knows the room only: {colours} colours, {rooms} rooms of {all}"
    );
}

#[test]
fn the_same_seed_gives_the_same_losses_and_another_seed_others() {
    let run = |seed| {
        let mut narrator = world::narrator(Sources::Fusion, seed);
        world::train(&mut narrator, 30)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).training, run(2).training);
}

#[test]
fn the_loss_of_a_padded_batch_is_that_of_its_examples_alone() {
    let narrator = world::narrator(Sources::Fusion, 1);
    let examples = world::examples();
    let together = narrator.loss(&examples, 28).unwrap();
    let alone = narrator.loss(&examples, 1).unwrap();
    assert!((together - alone).abs() < 1e-5, "{together} {alone}");
}

#[test]
fn a_batch_writes_what_each_request_gets_alone_in_the_order_asked() {
    let mut narrator = world::narrator(Sources::Fusion, 1);
    world::train(&mut narrator, 40);
    let requests = requests();
    let alone: Vec<String> =
        requests.iter().flat_map(|r| world::write(&narrator, std::slice::from_ref(r), 1)).collect();
    assert_eq!(world::write(&narrator, &requests, 6), alone);
}

#[test]
fn kinds_that_share_a_beginning_are_written_as_each_alone() {
    let mut narrator = world::narrator(Sources::Fusion, 1);
    let mut examples = world::examples();
    examples.extend(world::summaries());
    narrator.train(&examples, &[], &world::training(60), &mut |_| ControlFlow::Continue(())).unwrap();
    // Both kinds of every request, not beside each other.
    let mut requests = requests();
    let other: Vec<Request> = requests
        .iter()
        .map(|request| {
            let kind = world::kinds().into_iter().find(|kind| *kind != request.kind).unwrap();
            Request { kind, ..request.clone() }
        })
        .collect();
    requests.extend(other);
    let alone: Vec<String> =
        requests.iter().flat_map(|r| world::write(&narrator, std::slice::from_ref(r), 1)).collect();
    let half = requests.len() / 2;
    assert_ne!(alone[..half], alone[half..], "kinds must differ for this test to say anything");
    assert_eq!(world::write(&narrator, &requests, 6), alone);
}

#[test]
fn only_the_most_recent_purchases_are_read() {
    let narrator = world::narrator(Sources::Fusion, 1);
    let mut long = world::example(&[6, 5, 0, 1, 2], 4);
    let short = world::example(&[0, 1, 2], 4);
    assert_eq!(narrator.loss(&[long.clone()], 1).unwrap(), narrator.loss(&[short], 1).unwrap());
    long.request.history = vec![6, 5, 0, 1, 3];
    assert_ne!(
        narrator.loss(&[long], 1).unwrap(),
        narrator.loss(&[world::example(&[0, 1, 2], 4)], 1).unwrap()
    );
}

#[test]
fn stopping_ends_training_cleanly_and_says_so() {
    let mut narrator = world::narrator(Sources::Fusion, 1);
    let report = narrator
        .train(&world::examples(), &[], &world::training(50), &mut |progress| {
            if progress.step == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert!(report.stopped);
    assert_eq!(report.kept_step, 7);
}

#[test]
fn the_weights_of_the_lowest_validation_loss_are_kept() {
    let mut narrator = world::narrator(Sources::Fusion, 1);
    // A rate this high ruins the model after it has learned something.
    let config =
        TrainConfig { learning_rate: 0.2, warmup_steps: 60, evaluate_every: 5, ..world::training(60) };
    let examples = world::examples();
    let report =
        narrator.train(&examples, &examples[..6], &config, &mut |_| ControlFlow::Continue(())).unwrap();
    let best = report.validation.iter().min_by(|a, b| a.loss.total_cmp(&b.loss)).unwrap();
    assert_eq!(report.kept_step, best.step);
    assert!(best.step < 60, "the test needs a run whose last weights are not its best");
    assert!((narrator.loss(&examples[..6], 8).unwrap() - best.loss).abs() < 1e-9);
}

#[test]
fn stopping_while_writing_leaves_the_rest_unwritten() {
    let narrator = world::narrator(Sources::Fusion, 1);
    let options = GenerateOptions { max_new_tokens: 2, ..GenerateOptions::default() };
    let written = narrator.narrate(&requests(), &options, 4, &mut |_| ControlFlow::Break(())).unwrap();
    assert_eq!(written.iter().flatten().count(), 4);
    assert_eq!(written.len(), requests().len());
}

#[test]
fn requests_that_make_no_sense_are_named() {
    let narrator = world::narrator(Sources::Fusion, 1);
    let options = GenerateOptions::default();
    let refuse = |request: Request| {
        let requests = [requests()[0].clone(), request];
        narrator.narrate(&requests, &options, 2, &mut |_| ControlFlow::Continue(())).unwrap_err()
    };
    let good = requests()[3].clone();
    let error = refuse(Request { kind: "poem".into(), ..good.clone() });
    assert!(
        matches!(error, Error::UnknownKind { kind, known } if kind == "poem" && known.contains("purchase_reason"))
    );
    let error = refuse(Request { target: Some(world::ITEMS as u32), ..good.clone() });
    assert!(matches!(error, Error::UnknownItem { request: 1, item: 7, items: 7 }));
    let error = refuse(Request { history: vec![], target: None, ..good });
    assert!(matches!(error, Error::EmptyRequest { request: 1 }));
    assert!(world::write(&narrator, &[], 4).is_empty());
}

#[test]
fn training_without_examples_or_with_impossible_numbers_is_refused() {
    let mut narrator = world::narrator(Sources::Fusion, 1);
    let mut refuse = |config: TrainConfig, examples: &[regen_narrator::Example]| {
        narrator.train(examples, &[], &config, &mut |_| ControlFlow::Continue(())).unwrap_err()
    };
    let examples = world::examples();
    assert!(matches!(refuse(world::training(5), &[]), Error::NoExamples { .. }));
    for (wanted, config) in [
        ("steps", world::training(0)),
        ("batch", TrainConfig { batch: 0, ..world::training(5) }),
        ("learning_rate", TrainConfig { learning_rate: f64::NAN, ..world::training(5) }),
        ("clip_norm", TrainConfig { clip_norm: -1.0, ..world::training(5) }),
    ] {
        assert!(matches!(refuse(config, &examples), Error::InvalidConfig { field, .. } if field == wanted));
    }
}

#[test]
fn training_that_blows_up_stops_with_step_batch_and_gradients_named() {
    let wild = |rate| {
        let mut narrator = world::narrator(Sources::Fusion, 1);
        let config = TrainConfig {
            learning_rate: rate,
            adapter_learning_rate: rate,
            warmup_steps: 1,
            ..world::training(9)
        };
        narrator.train(&world::examples(), &[], &config, &mut |_| ControlFlow::Continue(())).unwrap_err()
    };
    let named = |text: String, gradients: String| {
        assert!(text.starts_with("You chose the"), "{text}");
        assert!(gradients.contains("lm.") && gradients.contains("NaN"), "{gradients}");
    };
    // A rate at which weights overflow.
    match wild(3e38) {
        Error::NonFiniteLoss { step: 2, loss, text, gradients } => {
            assert!(!loss.is_finite());
            named(text, gradients);
        }
        other => panic!("{other:?}"),
    }
    // A rate at which the loss is still a number.
    match wild(1e30) {
        Error::NonFiniteGradient { step: 2, text, gradients } => named(text, gradients),
        other => panic!("{other:?}"),
    }
}

#[test]
fn attribution_covers_history_and_target() {
    let narrator = world::narrator(Sources::Fusion, 1);
    let requests = [world::example(&[1, 2, 3], 0).request, world::example(&[], 5).request];
    let attribution = narrator.attribution(&requests).unwrap();
    assert_eq!(attribution.cf_share.size(), [2, 4, 2]);
    let both: Vec<bool> = attribution.both_present.reshape([-1]).try_into().unwrap();
    assert_eq!(both, [true, true, true, true, true, false, false, false]);
}

/// Sums of the parameters of each part of a narrator, from its folder.
fn sums(narrator: &regen_narrator::Narrator) -> [f64; 2] {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("narrator");
    narrator.save(&path).unwrap();
    ["adapter.safetensors", "lm"].map(|part| {
        let file = regen_torch::Checkpoint::open(&path.join(part)).unwrap();
        let names: Vec<String> = file.names().map(str::to_owned).collect();
        let sum = |name: &String| {
            let tensor = file.tensor(name, file.shape(name).unwrap()).unwrap();
            tensor.to_kind(tch::Kind::Double).abs().sum(tch::Kind::Double).double_value(&[])
        };
        names.iter().map(sum).sum()
    })
}

#[test]
fn a_stage_for_the_adapter_leaves_the_language_model_as_it_is() {
    let mut narrator = world::narrator(Sources::Fusion, 1);
    let before = sums(&narrator);
    let stage = TrainConfig { trains: Trains::Adapter, ..world::training(20) };
    let run = |narrator: &mut regen_narrator::Narrator, config: &TrainConfig| {
        narrator.train(&world::examples(), &[], config, &mut |_| ControlFlow::Continue(())).unwrap()
    };
    let report = run(&mut narrator, &stage);
    assert!(report.training.last().unwrap().loss < report.training[0].loss + 1e-9);
    let after = sums(&narrator);
    assert_ne!(before[0], after[0], "the adapter moves");
    assert_eq!(before[1], after[1], "the language model does not");
    // The next stage moves all of it again.
    run(&mut narrator, &world::training(5));
    assert_ne!(sums(&narrator)[1], after[1]);
}

#[test]
fn training_ends_when_the_validation_loss_no_longer_falls() {
    let mut narrator = world::narrator(Sources::Fusion, 1);
    // A rate at which the loss soon rises, and looks at every update.
    let config =
        TrainConfig { learning_rate: 0.2, evaluate_every: 1, patience: Some(3), ..world::training(400) };
    let examples = world::examples();
    let report =
        narrator.train(&examples, &examples[..5], &config, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(report.ended_early && !report.stopped);
    let looks = &report.validation;
    let best = looks.iter().min_by(|a, b| a.loss.total_cmp(&b.loss)).unwrap();
    assert_eq!(looks.last().unwrap().step, best.step + 3);
    assert_eq!(report.kept_step, best.step);
    let error = narrator.train(&examples, &[], &config, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, Error::NoExamples { which: "validation" }));
}
