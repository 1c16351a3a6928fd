//! Choosing among candidates equals the definition, written out.

use ndarray::{Array2, array};
use regen_metrics::{
    Bleu, BleuConfig, Chrf, Error, Metric, Rouge, Scored, Ter, consensus, consensus_of_vectors,
    similarity::cosines,
};

const DRAWN: [&str; 6] = [
    "a pen that writes well",
    "",
    "a blue pen that writes well at the office",
    "warm socks",
    "a pen that writes well",
    "ein Füller, der gut schreibt 🖋",
];

/// The definition: every candidate against every candidate.
fn by_definition<M: Metric>(metric: &M) -> Vec<f64> {
    let mean = |hypothesis: &&str| {
        let scores =
            DRAWN.iter().map(|reference| metric.score(&metric.segment(hypothesis, &[reference])).value());
        scores.sum::<f64>() / DRAWN.len() as f64
    };
    DRAWN.iter().map(mean).collect()
}

fn check<M: Metric>(metric: &M, best: usize) {
    let chosen = consensus(metric, &DRAWN).unwrap();
    for (got, expected) in chosen.utilities.iter().zip(by_definition(metric)) {
        approx::assert_abs_diff_eq!(*got, expected, epsilon = 1e-9);
    }
    assert_eq!(chosen.best, best, "{:?}", chosen.utilities);
}

#[test]
fn utilities_are_mean_scores_against_every_candidate_and_repeated_texts_count_as_often() {
    check(&Rouge::l(), 0);
    // chrF counts recall twice, so the longer text covers more of what the others say.
    check(&Chrf::default(), 2);
    check(&Bleu::new(BleuConfig { effective_order: true, ..BleuConfig::default() }).unwrap(), 0);
}

#[test]
fn of_an_error_rate_the_lowest_is_chosen() {
    let utilities = by_definition(&Ter::default());
    let lowest = utilities.iter().copied().fold(f64::INFINITY, f64::min);
    let chosen = consensus(&Ter::default(), &DRAWN).unwrap();
    approx::assert_abs_diff_eq!(chosen.utilities[chosen.best], lowest, epsilon = 1e-9);
}

#[test]
fn one_candidate_is_its_own_consensus_and_none_is_an_error() {
    let one = consensus(&Rouge::l(), &["a pen"]).unwrap();
    assert_eq!((one.best, one.utilities), (0, vec![1.0]));
    let none: [&str; 0] = [];
    assert!(matches!(consensus(&Rouge::l(), &none), Err(Error::Empty)));
    assert!(matches!(consensus_of_vectors(Array2::zeros((0, 3)).view()), Err(Error::Empty)));
}

#[test]
fn the_first_of_equals_is_chosen() {
    assert_eq!(consensus(&Rouge::l(), &["red", "blue", "green"]).unwrap().best, 0);
}

#[test]
fn vectors_are_chosen_by_mean_cosine_whatever_their_length() {
    let vectors = array![[0.0_f32, 3.0], [1.0, 1.0], [20.0, 1.0], [0.0, 0.0], [0.1, 0.1]];
    let chosen = consensus_of_vectors(vectors.view()).unwrap();
    for (index, got) in chosen.utilities.iter().enumerate() {
        let repeated = Array2::from_shape_fn(vectors.raw_dim(), |(_, column)| vectors[[index, column]]);
        let cosines = cosines(repeated.view(), vectors.view()).unwrap();
        approx::assert_abs_diff_eq!(*got, cosines.iter().sum::<f64>() / 5.0, epsilon = 1e-9);
    }
    assert_eq!(chosen.best, 1);
}

#[test]
fn a_vector_that_is_not_finite_is_named() {
    let vectors = array![[1.0_f32, 0.0], [f32::NAN, 0.0]];
    let error = consensus_of_vectors(vectors.view()).unwrap_err();
    assert!(matches!(error, Error::NotFinite { segment: 1, .. }), "{error}");
}
