//! METEOR against NLTK, where no synonyms are known.

use regen_metrics::{BleuTokenizer, Meteor, MeteorConfig, measure};

use crate::golden::{assert_close, expected, pairs};

#[derive(serde::Deserialize)]
struct Expected {
    mean: f64,
    sentences: Vec<f64>,
}

fn check(name: &str, config: MeteorConfig) {
    let expected: Expected = expected("meteor", name);
    let (hypotheses, references) = pairs();
    let corpus = measure(&Meteor::new(config).unwrap(), &hypotheses, &references).unwrap();
    let sentences = corpus.segment_scores();
    assert_eq!(sentences.len(), expected.sentences.len());
    for (index, (score, expected)) in sentences.iter().zip(&expected.sentences).enumerate() {
        let what = format!("{name}, {:?} against {:?}", hypotheses[index], references[index]);
        assert_close(&what, *score, *expected);
    }
    assert_close("mean", corpus.value(), expected.mean);
}

#[test]
fn meteor_of_words_split_at_white_space_equals_nltk() {
    check("split", MeteorConfig::default());
}

#[test]
fn meteor_of_13a_words_equals_nltk() {
    check("13a", MeteorConfig { tokenizer: BleuTokenizer::V13a, ..MeteorConfig::default() });
}

#[test]
fn meteor_with_other_weights_equals_nltk() {
    check("weights", MeteorConfig { alpha: 0.5, beta: 1.5, gamma: 0.25, ..MeteorConfig::default() });
}

#[test]
fn weights_outside_their_ranges_are_refused() {
    for config in [
        MeteorConfig { alpha: 1.1, ..MeteorConfig::default() },
        MeteorConfig { beta: f64::NAN, ..MeteorConfig::default() },
        MeteorConfig { gamma: -0.1, ..MeteorConfig::default() },
    ] {
        assert!(Meteor::new(config).is_err());
    }
}
