//! BERTScore against bert-score's matching on the same vectors.

use ndarray::Array2;
use regen_metrics::{Baseline, BertScore, Error, InverseDocumentFrequency, TokenVectors};

use crate::golden::expected;

const DIM: usize = 7;
const PAIRS: usize = 1000;

#[derive(serde::Deserialize)]
struct Expected {
    scores: Vec<[f64; 3]>,
    #[serde(default)]
    idf: Vec<f32>,
    #[serde(default)]
    baseline: [f64; 3],
}

/// The same integers as in make.py.
fn tokens(pair: usize, side: usize) -> Vec<u32> {
    let count = if pair % 50 == 7 + side { 0 } else { 1 + (pair * (5 + side) + side) % 9 };
    let word = |at: usize| 3 + (pair * 31 + at * (7 + side) + side * 3) % 23;
    let words = (0..count).map(|at| word(at) as u32);
    std::iter::once(1).chain(words).chain(std::iter::once(2)).collect()
}

fn vectors(pair: usize, side: usize) -> Array2<f32> {
    let ids = tokens(pair, side);
    Array2::from_shape_fn((ids.len(), DIM), |(at, k)| {
        let token = ids[at] as usize;
        let mixed = pair * 7919 + side * 104_729 + at * 613 + token * 15_013 + k * 1_299_709;
        (((mixed + token * k * 97) % 2003) as f64 / 1001.5 - 1.0) as f32
    })
}

fn check(name: &str, metric: BertScore, weight: impl Fn(u32) -> f32) -> Expected {
    let expected: Expected = expected("bertscore", name);
    let both: Vec<[(Array2<f32>, Vec<f32>); 2]> = (0..PAIRS)
        .map(|pair| {
            [0, 1].map(|side| {
                let weights =
                    tokens(pair, side).into_iter().map(|id| if id < 3 { 0.0 } else { weight(id) }).collect();
                (vectors(pair, side), weights)
            })
        })
        .collect();
    let hypotheses: Vec<TokenVectors<'_>> =
        both.iter().map(|[(v, w), _]| TokenVectors { vectors: v.view(), weights: w }).collect();
    let references: Vec<Vec<TokenVectors<'_>>> =
        both.iter().map(|[_, (v, w)]| vec![TokenVectors { vectors: v.view(), weights: w }]).collect();
    let measured = metric.measure(&hypotheses, &references, "integers").unwrap();
    let scores = measured.segment_scores();
    assert_eq!(scores.len(), expected.scores.len());
    for (pair, (got, expected)) in scores.iter().zip(&expected.scores).enumerate() {
        for (got, expected) in [got.precision, got.recall, got.f1].iter().zip(expected) {
            assert!((got - expected).abs() < 1e-5, "{name}, pair {pair}: {got} {expected}");
        }
    }
    expected
}

#[test]
fn bertscore_equals_bert_score() {
    check("plain", BertScore::default(), |_| 1.0);
}

#[test]
fn rare_tokens_weigh_as_in_bert_score() {
    let references: Vec<Vec<u32>> = (0..PAIRS).map(|pair| tokens(pair, 1)).collect();
    let idf = InverseDocumentFrequency::of(&references);
    let expected = check("idf", BertScore::default(), |id| idf.weight(&id));
    for (id, expected) in (0..).zip(&expected.idf) {
        assert!((idf.weight(&id) - expected).abs() < 1e-6, "token {id}");
    }
}

#[test]
fn rescaling_equals_that_of_bert_score() {
    let [precision, recall, f1] = expected::<Expected>("bertscore", "rescaled").baseline;
    let metric = BertScore::rescaled(Baseline { precision, recall, f1 }).unwrap();
    check("rescaled", metric, |_| 1.0);
}

#[test]
fn the_best_of_several_references_counts_for_each_part() {
    let own = vectors(3, 0);
    let other = vectors(4, 1);
    let weights = |rows: usize| vec![1.0; rows];
    let (own_weights, other_weights) = (weights(own.nrows()), weights(other.nrows()));
    let text = TokenVectors { vectors: own.view(), weights: &own_weights };
    let reference = TokenVectors { vectors: other.view(), weights: &other_weights };
    let measured = BertScore::default().measure(&[text], &[vec![reference, text]], "integers").unwrap();
    assert!((measured.score().f1 - 1.0).abs() < 1e-6);
}

#[test]
fn wrong_shapes_are_errors_that_name_the_input() {
    let rows = vectors(3, 0);
    let narrow = Array2::<f32>::zeros((2, DIM - 1));
    let weights = vec![1.0; rows.nrows()];
    let text = TokenVectors { vectors: rows.view(), weights: &weights };
    let measure = |reference: TokenVectors<'_>| {
        BertScore::default().measure(&[text], &[vec![reference]], "integers").unwrap_err()
    };
    let short = TokenVectors { weights: &weights[1..], ..text };
    assert!(matches!(measure(short), Error::CountMismatch { what: "reference token weights", .. }));
    let narrow = TokenVectors { vectors: narrow.view(), weights: &[1.0, 1.0] };
    assert!(matches!(measure(narrow), Error::WidthMismatch { expected: 7, got: 6, .. }));
}
