//! The rater against people.

use regen_metrics::rater::{NarrativeKind, Ratings};
use regen_metrics::{Bootstrap, Error};

use super::fake::{Fake, all_scores, case, material, rater};

/// Ratings of narratives whose texts are their scores.
fn ratings(scores: &[u8]) -> Ratings {
    let model = Fake::saying(|request| {
        let text = material(request)["text"].as_str().unwrap().to_owned();
        all_scores(text.parse().unwrap())
    });
    let cases: Vec<_> =
        scores.iter().map(|score| (case(NarrativeKind::PurchaseReason), score.to_string())).collect();
    rater(model, 2).rate_all(&cases).unwrap()
}

#[test]
fn a_rater_that_judges_as_people_do_agrees_perfectly() {
    let people: Vec<Vec<f64>> = [1.0, 2.0, 5.0, 4.0, 3.0].map(|score| vec![score, score]).into();
    let agreement = ratings(&[1, 2, 5, 4, 3]).agreement_with("veracity", &people).unwrap();
    assert_eq!(agreement.alpha.value(), 1.0);
    assert_eq!(agreement.kappa.unwrap().value(), 1.0);
    assert_eq!(agreement.spearman.value(), 1.0);
    assert_eq!(agreement.among_people.unwrap().value(), 1.0);
    assert_eq!(agreement.narratives, 5);
}

#[test]
fn narratives_that_nobody_judged_are_left_out_and_intervals_exist() {
    let people: Vec<Vec<f64>> = vec![vec![2.0], vec![], vec![5.0, 4.0], vec![1.0], vec![4.0], vec![2.0, 3.0]];
    let agreement = ratings(&[1, 5, 5, 2, 4, 3]).agreement_with("fluency", &people).unwrap();
    assert_eq!(agreement.narratives, 5);
    let interval = agreement.spearman.interval(&Bootstrap::seeded(1)).unwrap();
    assert!(interval.low < agreement.spearman.value() && agreement.spearman.value() <= interval.high);
    assert!(agreement.alpha.value() > 0.5 && agreement.alpha.value() < 1.0);
}

#[test]
fn the_reverse_of_what_people_say_is_negative_agreement() {
    let people: Vec<[f64; 1]> = [5.0, 4.0, 2.0, 1.0].map(|score| [score]).into();
    let agreement = ratings(&[1, 2, 4, 5]).agreement_with("veracity", &people).unwrap();
    assert_eq!(agreement.spearman.value(), -1.0);
    assert!(agreement.alpha.value() < 0.0 && agreement.kappa.unwrap().value() < 0.0);
    assert!(agreement.among_people.is_none());
}

#[test]
fn human_scores_that_do_not_fit_are_refused() {
    let ratings = ratings(&[1, 2]);
    let refused = |people: &[Vec<f64>]| ratings.agreement_with("veracity", people).unwrap_err();
    assert!(matches!(refused(&[vec![1.0]]), Error::CountMismatch { expected: 2, got: 1, .. }));
    assert!(matches!(refused(&[vec![1.0], vec![0.0]]), Error::OutOfRange { .. }));
    assert!(matches!(refused(&[vec![1.0], vec![f64::NAN]]), Error::OutOfRange { .. }));
    assert!(matches!(refused(&[vec![], vec![]]), Error::Empty));
    assert!(matches!(refused(&[vec![3.0], vec![3.0]]), Error::NoVariation { .. }));
}
