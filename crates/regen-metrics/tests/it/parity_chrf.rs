//! chrF and chrF++ against sacrebleu.

use regen_metrics::{Aggregate, Chrf, ChrfConfig, measure};

use crate::golden::{assert_close, expected, pairs};

#[derive(serde::Deserialize)]
struct Expected {
    name: String,
    signature: String,
    corpus: f64,
    first_reference_corpus: f64,
    sentences: Vec<f64>,
}

fn check(name: &str, config: ChrfConfig) {
    let expected: Expected = expected("chrf", name);
    let (hypotheses, references) = pairs();
    let chrf = Chrf::new(config).unwrap();
    assert_eq!(chrf.name(), expected.name);

    let corpus = measure(&chrf, &hypotheses, &references).unwrap();
    let sentences = corpus.segment_scores();
    assert_eq!(sentences.len(), expected.sentences.len());
    for (index, (score, expected)) in sentences.iter().zip(&expected.sentences).enumerate() {
        let what = format!("{name}, {:?} against {:?}", hypotheses[index], references[index]);
        assert_close(&what, score.chrf, *expected);
    }
    assert_close("corpus", corpus.value(), expected.corpus);
    assert_eq!(corpus.signature().split("+regen.").next().unwrap(), expected.signature);

    let firsts: Vec<&str> = references.iter().map(|all| all[0].as_str()).collect();
    let single = measure(&chrf, &hypotheses, &firsts).unwrap();
    assert_close("corpus with one reference", single.value(), expected.first_reference_corpus);
}

fn config() -> ChrfConfig {
    ChrfConfig::default()
}

#[test]
fn chrf_equals_sacrebleu() {
    check("chrf", config());
}

#[test]
fn chrf_plus_plus_equals_sacrebleu() {
    check("chrf++", *Chrf::plus_plus().config());
}

#[test]
fn lowercased_chrf_plus_plus_equals_sacrebleu() {
    check("chrf++-lc", ChrfConfig { word_order: 2, lowercase: true, ..config() });
}

#[test]
fn eps_smoothing_equals_sacrebleu() {
    check("chrf-eps", ChrfConfig { eps_smoothing: true, ..config() });
}

#[test]
fn other_orders_white_space_and_beta_equal_sacrebleu() {
    check("chrf-space-order4-beta3", ChrfConfig { whitespace: true, char_order: 4, beta: 3, ..config() });
}

#[test]
fn one_word_order_with_eps_smoothing_equals_sacrebleu() {
    check("chrf+-eps-order3", ChrfConfig { word_order: 1, char_order: 3, eps_smoothing: true, ..config() });
}

#[test]
fn orders_without_room_are_refused() {
    for config in [
        ChrfConfig { char_order: 0, ..config() },
        ChrfConfig { char_order: 7, ..config() },
        ChrfConfig { word_order: 5, ..config() },
    ] {
        assert!(Chrf::new(config).is_err());
    }
}
