//! ROUGE against rouge-score.

use regen_metrics::{FScore, Rouge, RougeVariant, measure};

use crate::golden::{assert_close, expected, pairs};

#[derive(serde::Deserialize)]
struct Expected {
    mean: [f64; 3],
    sentences: Vec<[f64; 3]>,
}

fn check(name: &str, rouge: &Rouge) {
    let expected: Expected = expected("rouge", name);
    let (hypotheses, references) = pairs();
    let corpus = measure(rouge, &hypotheses, &references).unwrap();
    let sentences = corpus.segment_scores();
    assert_eq!(sentences.len(), expected.sentences.len());
    for (index, (score, expected)) in sentences.iter().zip(&expected.sentences).enumerate() {
        let what = format!("{name}, {:?} against {:?}", hypotheses[index], references[index]);
        assert_parts(&what, score, expected);
    }
    assert_parts("mean", &corpus.score(), &expected.mean);
}

fn assert_parts(what: &str, got: &FScore, expected: &[f64; 3]) {
    assert_close(&format!("precision of {what}"), got.precision, expected[0]);
    assert_close(&format!("recall of {what}"), got.recall, expected[1]);
    assert_close(&format!("F1 of {what}"), got.f1, expected[2]);
}

fn check_both(name: &str, variant: RougeVariant) {
    let plain = Rouge::new(variant, false).unwrap();
    check(name, &plain);
    check(&format!("{name}-stem"), &plain.stemmed());
}

#[test]
fn rouge_1_equals_rouge_score() {
    check_both("rouge1", RougeVariant::N(1));
}

#[test]
fn rouge_2_equals_rouge_score() {
    check_both("rouge2", RougeVariant::N(2));
}

#[test]
fn rouge_3_equals_rouge_score() {
    check_both("rouge3", RougeVariant::N(3));
}

#[test]
fn rouge_l_equals_rouge_score() {
    check_both("rougeL", RougeVariant::L);
}

#[test]
fn rouge_lsum_equals_rouge_score() {
    check_both("rougeLsum", RougeVariant::Lsum);
}

#[test]
fn orders_outside_one_to_nine_are_refused() {
    assert!(Rouge::new(RougeVariant::N(0), false).is_err());
    assert!(Rouge::new(RougeVariant::N(10), true).is_err());
}
