//! What is read beside the vectors of items: planted facts that only a rating, only a date, or only the user's own vector
//! tells well, and bundles that keep all of it.

use std::fs;
use std::ops::ControlFlow;

use rand::RngExt;
use regen_fusion::{AdapterKind, DetailInputs, Normalisation, Sources};
use regen_narrator::{
    Detail, Error, Example, FoldIn, FoldInConfig, ItemTables, Narrator, NarratorConfig, PairWeight, Request,
    RidgeFrequency, TableRates, TrainConfig, UnobservedPairs, Withheld,
};
use regen_torch::Checkpoint;
use tch::Device;
use tempfile::tempdir;

use crate::world::{self, ITEMS};

const NOTHING: DetailInputs = DetailInputs { rating: false, recency: false, position: false, review: None };
const ALL: DetailInputs = DetailInputs { rating: true, recency: true, position: true, review: None };

/// The world's tables with what folds users in: factors are the vectors themselves.
fn tables() -> ItemTables {
    // Items 0, 3, 6 have 1.5 in the first component, and so on.
    let gram: Vec<f64> = [3.0, 2.0, 2.0]
        .iter()
        .enumerate()
        .flat_map(|(at, n)| [0, 1, 2].map(|k| f64::from(k == at) * 2.25 * n))
        .collect();
    let config = FoldInConfig {
        pair_weight: PairWeight::Proportional { alpha: 1.0 },
        unobserved_weight: 0.1,
        unobserved: UnobservedPairs::All,
        // Large, so that the vector is about the sum of the purchases'.
        regularization: 20.0,
        frequency: RidgeFrequency::Count,
        frequency_exponent: 0.0,
        items: ITEMS,
    };
    let fold_in = FoldIn::new(config, gram, vec![1.0; 3], vec![0.0; 3]).unwrap();
    world::tables().with_fold_in(fold_in).unwrap()
}

fn config(
    details: DetailInputs,
    user: bool,
    normalisation: Normalisation,
) -> (NarratorConfig, regen_lm::TextTokenizer) {
    let (mut config, tokenizer) = world::config_with(Sources::Fusion, AdapterKind::Projection);
    let adapter = config.adapter.as_mut().unwrap();
    (adapter.details, adapter.user, adapter.normalisation) = (details, user, normalisation);
    (config, tokenizer)
}

fn narrator(details: DetailInputs, user: bool, normalisation: Normalisation) -> Narrator {
    let (config, tokenizer) = config(details, user, normalisation);
    Narrator::new(config, tables(), world::ids(), tokenizer, Device::Cpu, 1).unwrap()
}

fn summary(history: Vec<u32>, details: Vec<Detail>, text: &str) -> Example {
    let kind = world::kinds()[1].clone();
    Example { request: Request { kind, history, details, ..Request::default() }, text: text.into() }
}

/// Two purchases, of which the last is told of in one of two texts that `detail` alone decides; those of one in three are held out.
fn planted(detail: fn(bool) -> Detail, texts: [&str; 2]) -> [Vec<Example>; 2] {
    let (mut training, mut held_out) = (Vec::new(), Vec::new());
    for first in 0..ITEMS as u32 {
        for last in (0..ITEMS as u32).filter(|last| *last != first) {
            for yes in [false, true] {
                let before = detail((first + last) % 2 == 0);
                let example = summary(vec![first, last], vec![before, detail(yes)], texts[usize::from(yes)]);
                let part = if (first + 2 * last) % 3 == 0 { &mut held_out } else { &mut training };
                part.push(example);
            }
        }
    }
    [training, held_out]
}

/// Nats of a held-out narrative under a control, mean.
fn nats(narrator: &Narrator, held_out: &[Example], withheld: Withheld) -> f64 {
    let losses = narrator.losses(held_out, withheld, 8).unwrap();
    losses.iter().map(|loss| loss.nats).sum::<f64>() / losses.len() as f64
}

fn trained(narrator: &mut Narrator, training: &[Example], steps: u64) {
    narrator.train(training, &[], &world::training(steps), &mut |_| ControlFlow::Continue(())).unwrap();
}

fn check_planted(details: DetailInputs, detail: fn(bool) -> Detail, texts: [&str; 2]) {
    let [training, held_out] = planted(detail, texts);
    let mut reads = narrator(details, false, Normalisation::L2);
    trained(&mut reads, &training, 200);
    let (told, taken) =
        (nats(&reads, &held_out, Withheld::Nothing), nats(&reads, &held_out, Withheld::Details));
    let mut blind = narrator(NOTHING, false, Normalisation::L2);
    trained(&mut blind, &training, 200);
    let blind = nats(&blind, &held_out, Withheld::Nothing);
    // Who cannot know which of the two it is pays ln 2 = 0.69 nats.
    assert!(told < 0.2, "{details:?}: told {told}, blind {blind}");
    assert!(blind > 0.6 && taken > 0.6, "{details:?}: blind {blind}, taken away {taken}");
}

#[test]
fn a_fact_that_only_the_rating_tells_is_told() {
    let detail = |liked| Detail { rating: Some(if liked { 5.0 } else { 2.0 }), ..Detail::default() };
    check_planted(DetailInputs { rating: true, ..NOTHING }, detail, ["You hated it.", "You loved it."]);
}

#[test]
fn a_fact_that_only_the_date_tells_is_told() {
    let detail = |late| Detail { days: Some(if late { 2.0 } else { 700.0 }), ..Detail::default() };
    check_planted(DetailInputs { recency: true, ..NOTHING }, detail, ["It is old.", "It is new."]);
}

/// What most of the purchases are for, when the prompt has places for the last two of seven, which are for something else: the
/// user's own vector is folded in from all of them, and tells it of users who were never seen.
#[test]
fn a_fact_about_the_whole_history_is_told_by_the_users_own_vector() {
    const ROOMS: [&str; 3] = ["kitchen", "office", "garden"];
    let mut rng = regen_torch::seed::rng(5, 0);
    let mut examples = Vec::new();
    let mut draw = |room: u32| room + 3 * rng.random_range(0..2);
    for index in 0..120u32 {
        let (room, other) = (index % 3, (index + 1 + index / 3 % 2) % 3);
        let mut history: Vec<u32> = (0..5).map(|_| draw(room)).collect();
        history.extend([draw(other), draw(other)]);
        examples.push(summary(history, Vec::new(), &format!("For the {}.", ROOMS[room as usize])));
    }
    let (training, held_out) = examples.split_at(84);
    let learn = |user| {
        let (mut config, tokenizer) = config(NOTHING, user, Normalisation::L2);
        config.max_history = 2;
        config.adapter.as_mut().unwrap().sources = Sources::Cf;
        let mut narrator = Narrator::new(config, tables(), world::ids(), tokenizer, Device::Cpu, 1).unwrap();
        trained(&mut narrator, training, 200);
        let told = nats(&narrator, held_out, Withheld::Nothing);
        (told, nats(&narrator, held_out, Withheld::User))
    };
    let ((told, taken), (alone, same)) = (learn(true), learn(false));
    assert_eq!(alone, same, "without it, there is nothing to take away");
    assert!(told < 0.4 && alone > 0.62, "with the user's vector {told}, without {alone}");
    assert!(taken > 0.5, "{told} {taken}");
}

#[test]
fn the_users_vector_follows_from_the_history_and_from_nothing_else() {
    let narrator = narrator(NOTHING, true, Normalisation::L2);
    assert_eq!(narrator.fold_in(&[]).unwrap(), None);
    let (once, twice) =
        (narrator.fold_in(&[0]).unwrap().unwrap(), narrator.fold_in(&[0, 0]).unwrap().unwrap());
    // By hand: (0.1·6.75 + n·2.25 + 20) x = n·1.5.
    assert!((once[0] - 1.5 / 22.925).abs() < 1e-6 && once[1..] == [0.0, 0.0], "{once:?}");
    assert!((twice[0] - 3.0 / 25.175).abs() < 1e-6 && twice[1..] == [0.0, 0.0], "{twice:?}");
    assert!(matches!(narrator.fold_in(&[7]), Err(Error::UnknownItem { item: 7, .. })));

    // The target is not of the history; what is too old to have a place in the prompt is.
    let user = |history: &[u32]| narrator.fold_in(history).unwrap().unwrap();
    assert_ne!(user(&[3, 0, 1, 2]), user(&[4, 0, 1, 2]));
    let nats = |narrator: &Narrator, history: &[u32]| {
        narrator.losses(&[world::example(history, 3)], Withheld::Nothing, 1).unwrap()[0].nats
    };
    assert_ne!(nats(&narrator, &[3, 0, 1, 2]), nats(&narrator, &[4, 0, 1, 2]));
    let plain = self::narrator(NOTHING, false, Normalisation::L2);
    assert_eq!(nats(&plain, &[3, 0, 1, 2]), nats(&plain, &[4, 0, 1, 2]));
    let unknown = narrator.loss(&[world::example(&[7, 0, 1, 2], 3)], 1).unwrap_err();
    assert!(matches!(unknown, Error::UnknownItem { item: 7, .. }), "{unknown}");
}

#[test]
fn a_bundle_keeps_the_inputs_the_fold_in_and_the_whitening() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("narrator");
    let detail =
        |late| Detail { rating: Some(if late { 4.5 } else { 1.0 }), days: Some(12.0), ..Detail::default() };
    let [training, held_out] = planted(detail, ["It is old.", "It is new."]);
    let mut narrator = narrator(ALL, true, Normalisation::Whiten);
    trained(&mut narrator, &training, 5);
    narrator.save(&path).unwrap();
    for opened in
        [Narrator::open(&path, Device::Cpu).unwrap(), Narrator::open_stored(&path, Device::Cpu).unwrap()]
    {
        assert_eq!(opened.config(), narrator.config());
        assert_eq!(
            nats(&opened, &held_out, Withheld::Nothing),
            nats(&narrator, &held_out, Withheld::Nothing)
        );
        assert_eq!(opened.fold_in(&[1, 5]).unwrap(), narrator.fold_in(&[1, 5]).unwrap());
        assert!(opened.fold_in(&[1, 5]).unwrap().is_some());
    }
    // The map is of the table: another item's presence would have changed it.
    let adapter = Checkpoint::open(&path.join("adapter.safetensors")).unwrap();
    let matrix = adapter.tensor("whitening.cf.matrix", &[3, 3]).unwrap();
    assert!((matrix.diagonal(0, 0, 1) - 1.0).abs().min().double_value(&[]) > 0.1);

    let part = "fold_in.safetensors";
    fs::rename(path.join(part), path.join("aside")).unwrap();
    assert!(format!("{:?}", Narrator::open(&path, Device::Cpu).unwrap_err()).contains(part));
    fs::rename(path.join("aside"), path.join(part)).unwrap();
    let manifest = path.join("narrator.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value.as_object_mut().unwrap().remove("fold_in");
    fs::write(&manifest, value.to_string()).unwrap();
    let refused = Narrator::open(&path, Device::Cpu).unwrap_err();
    assert!(matches!(refused, Error::Mismatch { part: "the item tables", .. }), "{refused}");
}

#[test]
fn details_that_do_not_fit_the_history_or_are_no_numbers_are_refused() {
    let narrator = narrator(ALL, false, Normalisation::L2);
    let known = |rating, days| Detail { rating: Some(rating), days: Some(days), ..Detail::default() };
    let refuse = |details| narrator.loss(&[summary(vec![0, 1], details, "x")], 1).unwrap_err();
    assert!(matches!(refuse(vec![known(1.0, 1.0)]), Error::DetailCount { got: 1, expected: 2, .. }));
    assert!(matches!(refuse(vec![known(1.0, 1.0), known(f32::NAN, 1.0)]), Error::Detail { place: 1, .. }));
    assert!(matches!(refuse(vec![known(1.0, -1.0), known(1.0, 1.0)]), Error::Detail { place: 0, .. }));
    // Of a longer history, the details of what is read are read.
    let nats = |first: f32| {
        let details = vec![known(first, 9.0), known(2.0, 1.0), known(3.0, 1.0), known(5.0, 0.0)];
        narrator.loss(&[summary(vec![0, 1, 2, 3], details, "x")], 1).unwrap()
    };
    assert_eq!(nats(1.0), nats(5.0));
}

#[test]
fn a_narrator_that_folds_in_needs_what_to_fold_in_with_and_a_table_that_stays() {
    let (config, tokenizer) = config(NOTHING, true, Normalisation::L2);
    let bare = Narrator::new(config, world::tables(), world::ids(), tokenizer, Device::Cpu, 1).unwrap_err();
    assert!(matches!(bare, Error::Mismatch { part: "the item tables", .. }), "{bare}");
    let narrow = FoldIn::new(tables().fold_in().unwrap().config().clone(), vec![1.0], vec![1.0], vec![0.0]);
    assert!(matches!(world::tables().with_fold_in(narrow.unwrap()), Err(Error::Mismatch { .. })));

    let mut narrator = narrator(NOTHING, true, Normalisation::L2);
    let moving = TrainConfig { tables: TableRates { cf: Some(0.01), semantic: None }, ..world::training(2) };
    let examples = world::examples();
    let refused = narrator.train(&examples, &[], &moving, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(refused, Error::InvalidConfig { field: "tables.cf", .. }), "{refused}");
}

#[test]
fn integrated_gradients_of_requests_add_up_and_are_the_norms_of_a_projection() {
    let requests: Vec<Request> =
        world::examples().into_iter().take(6).map(|example| example.request).collect();
    let projection = narrator(ALL, true, Normalisation::L2);
    let (found, exact) =
        (projection.integrated_gradients(&requests).unwrap(), projection.attribution(&requests).unwrap());
    let both = exact.both_present.unsqueeze(-1).to_kind(tch::Kind::Double);
    let off = ((found.items.cf_share() - &exact.cf_share) * both).abs().max().double_value(&[]);
    assert!(off < 1e-5 && found.history.is_none() && found.both_present.equal(&exact.both_present), "{off}");

    let kind = AdapterKind::CrossAttention { tokens: 3, heads: 2, layers: 1 };
    let attention = world::narrator_with(Sources::Fusion, kind, 1);
    let found = attention.integrated_gradients(&requests).unwrap();
    assert!(found.items.residual < 1e-5 && found.history.unwrap().residual < 1e-5);
    let refused = world::narrator(Sources::Cf, 1).integrated_gradients(&requests).unwrap_err();
    assert!(matches!(refused, Error::Fusion(regen_fusion::Error::AttributionUndefined { .. })));
}
