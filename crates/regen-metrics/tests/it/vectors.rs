//! Similarity and perplexity: values by hand, and refusals that name what is wrong.

use ndarray::{Array2, array};
use regen_metrics::similarity::cosines;
use regen_metrics::{Bootstrap, Error, perplexity, semantic_similarity};

#[test]
fn cosines_ignore_length_and_know_direction() {
    let ours = array![[3.0, 4.0], [1.0, 0.0], [0.0, 2.0], [1.0, 1.0]];
    let theirs = array![[6.0, 8.0], [0.0, 5.0], [0.0, -1.0], [0.0, 0.0]];
    assert_eq!(cosines(ours.view(), theirs.view()).unwrap(), [1.0, 0.0, -1.0, 0.0]);
}

#[test]
fn rows_may_be_strided() {
    let wide = array![[1.0, 9.0, 2.0, 9.0], [2.0, 9.0, -1.0, 9.0]];
    let strided = wide.slice(ndarray::s![.., ..;2]);
    let dense = array![[2.0f32, 4.0], [2.0, -1.0]];
    assert_eq!(cosines(strided, dense.view()).unwrap(), [1.0, 1.0]);
}

#[test]
fn similarity_is_the_mean_with_an_interval_and_names_the_encoder() {
    let ours = array![[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
    let theirs = array![[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]];
    let measured = semantic_similarity(ours.view(), theirs.view(), "mini").unwrap();
    assert!((measured.value() - 2.0 / 3.0).abs() < 1e-12);
    assert!(measured.signature().contains("encoder:mini"));
    let interval = measured.interval(&Bootstrap::seeded(1)).unwrap();
    assert!(interval.low < 0.4 && interval.high == 1.0, "{interval:?}");
}

#[test]
fn vectors_that_do_not_fit_are_refused() {
    let three = Array2::<f32>::ones((3, 4));
    let error = cosines(three.view(), Array2::ones((2, 4)).view()).unwrap_err();
    assert!(matches!(error, Error::CountMismatch { expected: 3, got: 2, .. }));
    let error = cosines(three.view(), Array2::ones((3, 5)).view()).unwrap_err();
    assert!(matches!(error, Error::WidthMismatch { expected: 4, got: 5, .. }));
    let mut broken = three.clone();
    broken[[2, 1]] = f32::NAN;
    let error = cosines(three.view(), broken.view()).unwrap_err();
    assert!(matches!(error, Error::NotFinite { what: "reference vector", segment: 2 }));
}

#[test]
fn perplexity_weighs_tokens_not_texts() {
    let log = |p: f64| p.ln();
    let texts = [vec![log(0.5)], vec![log(0.125), log(0.125), log(0.5)], vec![]];
    // Geometric mean of 1/2, 1/8, 1/8, 1/2 is 1/4.
    let measured = perplexity(&texts, "bpe").unwrap();
    assert!((measured.value() - 4.0).abs() < 1e-12);
    let error = perplexity(&[vec![0.0], vec![f64::NEG_INFINITY]], "bpe").unwrap_err();
    assert!(matches!(error, Error::NotFinite { segment: 1, .. }));
}
