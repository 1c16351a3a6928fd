//! What the user wrote about past purchases, given with the history: a planted fact that nothing else tells, of users who were never
//! seen, and bundles that serve them.

use std::ops::ControlFlow;

use regen_fusion::{AdapterKind, DetailInputs, Normalisation, ReviewInput, Sources};
use regen_narrator::{
    Detail, Error, Example, Narrator, Request, ReviewEncoder, ReviewVector, Snapshots, Withheld,
};
use tch::Device;
use tempfile::tempdir;

use crate::world::{self, ITEMS};

const DIM: i64 = 5;

fn narrator(reads: bool) -> Narrator {
    let (mut config, tokenizer) = world::config_with(Sources::Fusion, AdapterKind::Projection);
    let review = reads.then_some(ReviewInput { dim: DIM, normalisation: Normalisation::L2 });
    config.adapter.as_mut().unwrap().details = DetailInputs { review, ..DetailInputs::default() };
    Narrator::new(config, world::tables(), world::ids(), tokenizer, Device::Cpu, 1).unwrap()
}

/// What somebody who was pleased or not wrote, in words of their own: only the first component tells which.
fn wrote(pleased: bool, words: u32) -> Option<ReviewVector> {
    let mut vector = vec![0.2, 0.0, 0.0, 0.0, 0.0];
    vector[0] = if pleased { 1.5 } else { -1.5 };
    vector[1 + words as usize % 4] = 0.8;
    Some(ReviewVector::new(vector))
}

fn reviewed(history: Vec<u32>, reviews: Vec<Option<ReviewVector>>, text: &str) -> Example {
    let details = reviews.into_iter().map(|review| Detail { review, ..Detail::default() }).collect();
    Example {
        request: Request { kind: world::kinds()[1].clone(), history, details, ..Request::default() },
        text: text.to_owned(),
    }
}

/// Two purchases, of which the review of the last decides the text; that of the first, where there is one, does not.
fn planted() -> [Vec<Example>; 2] {
    let (mut training, mut held_out) = (Vec::new(), Vec::new());
    for first in 0..ITEMS as u32 {
        for last in (0..ITEMS as u32).filter(|last| *last != first) {
            for pleased in [false, true] {
                let before = if first % 3 == 0 { None } else { wrote((first + last) % 2 == 0, first) };
                let text = if pleased { "You loved it." } else { "You hated it." };
                let reviews = vec![before, wrote(pleased, first + 2 * last)];
                let example = reviewed(vec![first, last], reviews, text);
                let part = if (first + 2 * last) % 3 == 0 { &mut held_out } else { &mut training };
                part.push(example);
            }
        }
    }
    [training, held_out]
}

/// Nats of a narrative, mean.
fn nats(narrator: &Narrator, examples: &[Example], withheld: Withheld) -> f64 {
    let losses = narrator.losses(examples, withheld, 8).unwrap();
    losses.iter().map(|loss| loss.nats).sum::<f64>() / losses.len() as f64
}

fn learn(reads: bool, training: &[Example]) -> Narrator {
    let mut narrator = narrator(reads);
    narrator.train(training, &[], &world::training(200), &mut |_| ControlFlow::Continue(())).unwrap();
    narrator
}

#[test]
fn a_fact_that_only_the_users_review_tells_is_told_and_a_bundle_tells_it_of_users_it_never_saw() {
    let [training, held_out] = planted();
    let reads = learn(true, &training);
    let (told, taken) =
        (nats(&reads, &held_out, Withheld::Nothing), nats(&reads, &held_out, Withheld::Reviews));
    let blind = learn(false, &training);
    let (guessed, same) =
        (nats(&blind, &held_out, Withheld::Nothing), nats(&blind, &held_out, Withheld::Reviews));
    // Who cannot know which of the two it is pays ln 2 = 0.69 nats.
    assert!(told < 0.2 && guessed > 0.6 && taken > 0.6, "told {told}, blind {guessed}, taken away {taken}");
    assert_eq!(guessed, same, "without reviews there is nothing to take away");

    let dir = tempdir().unwrap();
    let path = dir.path().join("narrator");
    reads.save(&path).unwrap();
    let requests: Vec<Request> = held_out.iter().map(|example| example.request.clone()).collect();
    let expected: Vec<&str> = held_out.iter().map(|example| example.text.as_str()).collect();
    for opened in
        [Narrator::open(&path, Device::Cpu).unwrap(), Narrator::open_stored(&path, Device::Cpu).unwrap()]
    {
        assert_eq!(opened.config(), reads.config());
        assert_eq!(nats(&opened, &held_out, Withheld::Nothing), told);
        // Side by side with others of the same items, whose prompts differ in the reviews alone.
        assert_eq!(world::write(&opened, &requests, 16), expected);
        assert_eq!(world::write(&opened, &requests, 1), expected);
    }
    let card = std::fs::read_to_string(path.join("README.md")).unwrap();
    assert!(
        card.contains("| reviews of the user | vectors of 5 numbers, given with the history |"),
        "{card}"
    );
}

#[test]
fn a_bundle_names_the_encoder_of_its_reviews_and_another_is_refused() {
    let encoder =
        |name: &str, sha256: &str, dim| ReviewEncoder { name: name.into(), dim, sha256: sha256.into() };
    let (own, other) = (encoder("small | one", "5eed", DIM), encoder("small | one", "0dd", DIM));
    let dir = tempdir().unwrap();
    let saved = |narrator: &Narrator, name: &str| {
        let path = dir.path().join(name);
        narrator.save(&path).unwrap();
        let card = std::fs::read_to_string(path.join("README.md")).unwrap();
        (Narrator::open(&path, Device::Cpu).unwrap(), card)
    };
    // As bundles were before it was recorded: whoever comes with vectors of the right width is believed.
    let mut narrator = narrator(true);
    let (opened, card) = saved(&narrator, "older");
    assert_eq!(opened.review_encoder(), None);
    assert!(card.contains("| encoder of reviews | not recorded |"), "{card}");
    opened.check_review_encoder(&own).unwrap();
    let wide = encoder("wide", "5eed", DIM + 1);
    assert!(matches!(opened.check_review_encoder(&wide), Err(Error::Mismatch { .. })));
    assert!(matches!(narrator.set_review_encoder(wide), Err(Error::Mismatch { .. })));

    narrator.set_review_encoder(own.clone()).unwrap();
    let (opened, card) = saved(&narrator, "newer");
    assert_eq!(opened.review_encoder(), Some(&own));
    assert!(card.contains(r"| encoder of reviews | small \| one, SHA-256 5eed |"), "{card}");
    // Known by its content, whatever it is called.
    opened.check_review_encoder(&encoder("another name", "5eed", DIM)).unwrap();
    let refused = opened.check_review_encoder(&other).unwrap_err();
    assert!(matches!(refused, Error::OtherReviewEncoder { .. }), "{refused}");
    let told = refused.to_string();
    assert!(told.contains("5eed") && told.contains("0dd") && told.contains("embed reviews by"), "{told}");

    let mut blind = world::narrator(regen_fusion::Sources::Fusion, 1);
    let refused = blind.set_review_encoder(own).unwrap_err().to_string();
    assert!(refused.contains("reads no reviews"), "{refused}");
}

#[test]
fn the_share_of_reviews_is_told_of_past_purchases_and_targets_have_none() {
    let narrator = narrator(true);
    let mut request = world::example(&[0, 1, 2], 3).request;
    request.details =
        [wrote(true, 1), None, wrote(false, 0)].map(|review| Detail { review, ..Detail::default() }).to_vec();
    let found = narrator.attribution(std::slice::from_ref(&request)).unwrap();
    let review = found.review.unwrap();
    let present: Vec<bool> = Vec::try_from(review.present.reshape([-1])).unwrap();
    assert_eq!(present, [true, false, true, false]);
    let sum = &found.cf_share + &found.semantic_share + &review.share;
    assert!((sum - 1.0).abs().max().double_value(&[]) < 1e-6);
    // There is no place for a fourth: it would be the target's own.
    request.details.push(Detail { review: wrote(true, 2), ..Detail::default() });
    let refused = narrator.attribution(&[request]).unwrap_err();
    assert!(matches!(refused, Error::DetailCount { got: 4, expected: 3, .. }), "{refused}");
}

#[test]
fn reviews_of_another_width_or_with_what_is_no_number_are_refused_by_place() {
    let reads = narrator(true);
    let refuse = |review: Vec<f32>| {
        let reviews = vec![None, Some(ReviewVector::new(review))];
        reads.loss(&[reviewed(vec![0, 1], reviews, "x")], 1).unwrap_err()
    };
    let error = refuse(vec![1.0; 4]);
    assert!(matches!(error, Error::ReviewWidth { request: 0, place: 1, got: 4, expected: DIM }), "{error}");
    let error = refuse(vec![1.0, 0.0, f32::INFINITY, 0.0, 0.0]);
    assert!(matches!(error, Error::ReviewNumber { request: 0, place: 1 }), "{error}");
    // Of a longer history, the reviews of what is read are read.
    let nats = |first: Option<ReviewVector>| {
        let reviews = vec![first, wrote(true, 1), None, wrote(false, 2)];
        reads.loss(&[reviewed(vec![0, 1, 2, 3], reviews, "x")], 1).unwrap()
    };
    assert_eq!(nats(None), nats(wrote(true, 3)));
    // Who does not read them takes them for what they are: said beside, whatever their width.
    let plain = narrator(false);
    let loss = |reviews| plain.loss(&[reviewed(vec![0, 1], reviews, "x")], 1).unwrap();
    assert_eq!(loss(vec![None, None]), loss(vec![Some(ReviewVector::new(vec![f32::NAN])), wrote(true, 0)]));
}

#[test]
fn a_run_whose_reviews_are_others_is_another_run() {
    let [mut training, _] = planted();
    let dir = tempdir().unwrap();
    let snapshots = Snapshots { dir: dir.path().join("run"), every: 1 };
    let go = |training: &[Example]| {
        let config = world::training(2);
        narrator(true)
            .train_with_snapshots(training, &[], &config, &snapshots, &mut |_| ControlFlow::Continue(()))
    };
    go(&training).unwrap();
    go(&training).unwrap();
    training[0].request.details[1].review = wrote(true, 99);
    assert!(matches!(go(&training), Err(Error::OtherRun { .. })));
}

#[test]
fn a_review_in_json_is_a_list_of_numbers_and_in_messages_its_width() {
    let detail = Detail { review: wrote(true, 0), days: Some(3.0), ..Detail::default() };
    let text = serde_json::to_string(&detail).unwrap();
    assert_eq!(text, r#"{"days":3.0,"review":[1.5,0.8,0.0,0.0,0.0]}"#);
    assert_eq!(serde_json::from_str::<Detail>(&text).unwrap(), detail);
    assert!(format!("{detail:?}").contains("ReviewVector(5 numbers)"), "{detail:?}");
}
