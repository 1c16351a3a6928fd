//! TER against sacrebleu.

use regen_metrics::{Ter, TerConfig, measure};

use crate::golden::{assert_close, expected, pairs};

#[derive(serde::Deserialize)]
struct Expected {
    signature: String,
    corpus: f64,
    edits: Vec<u64>,
    sentences: Vec<f64>,
}

fn check(name: &str, config: TerConfig) {
    let expected: Expected = expected("ter", name);
    let (hypotheses, references) = pairs();
    let corpus = measure(&Ter::new(config), &hypotheses, &references).unwrap();
    let sentences = corpus.segment_scores();
    assert_eq!(sentences.len(), expected.sentences.len());
    for (index, score) in sentences.iter().enumerate() {
        let what = format!("{name}, {:?} against {:?}", hypotheses[index], references[index]);
        assert_eq!(score.edits, expected.edits[index], "edits of {what}");
        assert_close(&what, score.ter, expected.sentences[index]);
    }
    assert_close("corpus", corpus.value(), expected.corpus);
    assert_eq!(corpus.signature().split("+regen.").next().unwrap(), expected.signature);
}

#[test]
fn ter_equals_sacrebleu() {
    check("ter", TerConfig::default());
}

#[test]
fn normalized_case_sensitive_ter_equals_sacrebleu() {
    check("ter-norm-case", TerConfig { normalized: true, case_sensitive: true, ..TerConfig::default() });
}

#[test]
fn ter_without_punctuation_equals_sacrebleu() {
    check("ter-nopunct", TerConfig { no_punct: true, ..TerConfig::default() });
}

#[test]
fn ter_with_asian_support_equals_sacrebleu() {
    let config = TerConfig { normalized: true, asian_support: true, ..TerConfig::default() };
    check("ter-norm-asian", config);
    check("ter-all", TerConfig { no_punct: true, ..config });
}
