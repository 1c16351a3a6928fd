//! BLEU against sacrebleu.

use regen_metrics::{Bleu, BleuConfig, BleuTokenizer, Metric, Smoothing, measure};

use crate::golden::{assert_close, expected, pairs};

#[derive(serde::Deserialize)]
struct Expected {
    signature: String,
    corpus: f64,
    precisions: Vec<f64>,
    brevity_penalty: f64,
    hypothesis_words: u64,
    reference_words: u64,
    first_reference_corpus: f64,
    first_reference_signature: String,
    sentences: Vec<f64>,
}

fn check(name: &str, config: BleuConfig) {
    let expected: Expected = expected("bleu", name);
    let (hypotheses, references) = pairs();
    let bleu = Bleu::new(config).unwrap();

    let corpus = measure(&bleu, &hypotheses, &references).unwrap();
    let sentences = corpus.segment_scores();
    assert_eq!(sentences.len(), expected.sentences.len());
    for (index, (score, expected)) in sentences.iter().zip(&expected.sentences).enumerate() {
        let what = format!("{name}, {:?} against {:?}", hypotheses[index], references[index]);
        assert_close(&what, score.bleu, *expected);
    }

    let score = corpus.score();
    assert_close("corpus", score.bleu, expected.corpus);
    assert_close("brevity penalty", score.brevity_penalty, expected.brevity_penalty);
    assert_eq!(score.hypothesis_words, expected.hypothesis_words);
    assert_eq!(score.reference_words, expected.reference_words);
    assert_eq!(score.precisions.len(), expected.precisions.len());
    for (got, expected) in score.precisions.iter().zip(&expected.precisions) {
        assert_close("precision", *got, *expected);
    }
    same_signature(corpus.signature(), &expected.signature);

    let firsts: Vec<&str> = references.iter().map(|all| all[0].as_str()).collect();
    let single = measure(&bleu, &hypotheses, &firsts).unwrap();
    assert_close("corpus with one reference", single.value(), expected.first_reference_corpus);
    same_signature(single.signature(), &expected.first_reference_signature);
}

/// Ours is sacrebleu's with the build after its version; another order than 4 is named besides.
fn same_signature(got: &str, expected: &str) {
    let got = got.split("+regen.").next().unwrap();
    let got: String = got.split('|').filter(|part| !part.starts_with("order:")).collect::<Vec<_>>().join("|");
    assert_eq!(got, expected);
}

fn config() -> BleuConfig {
    BleuConfig::default()
}

fn effective() -> BleuConfig {
    BleuConfig { effective_order: true, ..config() }
}

#[test]
fn bleu_13a_equals_sacrebleu() {
    check("13a", config());
}

#[test]
fn bleu_13a_with_effective_order_equals_sacrebleu() {
    check("13a-effective", effective());
}

#[test]
fn lowercased_bleu_with_floor_smoothing_equals_sacrebleu() {
    check("13a-lc-floor", BleuConfig { lowercase: true, smoothing: Smoothing::Floor(0.1), ..effective() });
}

#[test]
fn add_k_smoothing_equals_sacrebleu() {
    check("13a-addk", BleuConfig { smoothing: Smoothing::AddK(0.7), ..config() });
}

#[test]
fn bleu_without_smoothing_equals_sacrebleu() {
    check("13a-none-effective", BleuConfig { smoothing: Smoothing::None, ..effective() });
}

#[test]
fn bleu_of_order_two_equals_sacrebleu() {
    check("13a-order2", BleuConfig { max_order: 2, ..config() });
}

#[test]
fn intl_tokenizer_equals_sacrebleu() {
    check("intl", BleuConfig { tokenizer: BleuTokenizer::Intl, ..effective() });
}

#[test]
fn lowercased_intl_unigrams_equal_sacrebleu() {
    check(
        "intl-lc-order1",
        BleuConfig { tokenizer: BleuTokenizer::Intl, lowercase: true, max_order: 1, ..config() },
    );
}

#[test]
fn char_tokenizer_equals_sacrebleu() {
    check("char", BleuConfig { tokenizer: BleuTokenizer::Char, ..effective() });
}

#[test]
fn zh_tokenizer_equals_sacrebleu() {
    check("zh", BleuConfig { tokenizer: BleuTokenizer::Zh, ..effective() });
}

#[test]
fn bleu_without_tokenizer_equals_sacrebleu() {
    check(
        "none",
        BleuConfig { tokenizer: BleuTokenizer::None, smoothing: Smoothing::Floor(0.01), ..config() },
    );
}

#[test]
fn a_text_of_four_words_scores_100_against_itself() {
    let text = "one two three four";
    let bleu = Bleu::default();
    let stats = bleu.segment(text, &["something else", text]);
    assert_close("identity", regen_metrics::Aggregate::score(&bleu, &stats).bleu, 100.0);
}

#[test]
fn orders_beyond_the_statistics_are_refused() {
    for max_order in [0, 9] {
        let error = Bleu::new(BleuConfig { max_order, ..config() }).unwrap_err();
        assert!(error.to_string().contains("max_order"), "{error}");
    }
}
