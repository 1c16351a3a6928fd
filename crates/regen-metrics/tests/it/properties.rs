//! What holds for every metric, whatever the texts.

use proptest::prelude::*;
use regen_metrics::{
    Bleu, BleuConfig, Chrf, LengthRatio, Meteor, Metric, Rouge, Scored, Statistics, Ter, measure,
};

fn sentence_bleu() -> Bleu {
    Bleu::new(BleuConfig { effective_order: true, ..BleuConfig::default() }).unwrap()
}

/// The value of one pair.
fn value<M: Metric>(metric: &M, hypothesis: &str, references: &[&str]) -> f64 {
    metric.score(&metric.segment(hypothesis, references)).value()
}

/// A scratch that has seen other texts must not change what comes after.
fn fresh_equals_used<M: Metric>(metric: &M, texts: &[String]) {
    let mut used = M::Scratch::default();
    for pair in texts.windows(2) {
        let again = metric.segment_with(&mut used, &pair[0], &[&pair[1], &pair[0]]);
        let fresh = metric.segment(&pair[0], &[&pair[1], &pair[0]]);
        assert_eq!(metric.score(&again).value(), metric.score(&fresh).value(), "{pair:?}");
    }
}

/// Adding in another order gives the same score up to rounding.
fn order_does_not_matter<M: Metric>(metric: &M, texts: &[String]) {
    let references: Vec<&String> = texts.iter().rev().collect();
    let measured = measure(metric, texts, &references).unwrap();
    let mut backwards = M::Stats::default();
    measured.segments().iter().rev().for_each(|segment| backwards.add(segment));
    let difference = metric.score(&backwards).value() - measured.value();
    assert!(difference.abs() < 1e-9, "{difference}");
}

proptest! {
    #[test]
    fn a_text_scores_the_maximum_against_itself(text in "[a-z]{4,8}( [a-z]{4,8}){3,12}", other in "\\PC{0,30}") {
        let references = [other.as_str(), text.as_str()];
        let close = |value: f64, expected: f64| (value - expected).abs() < 1e-9;
        prop_assert!(close(value(&Bleu::default(), &text, &references), 100.0));
        prop_assert!(close(value(&Chrf::plus_plus(), &text, &references), 100.0));
        for rouge in [Rouge::one(), Rouge::two(), Rouge::l(), Rouge::lsum()] {
            prop_assert!(close(value(&rouge, &text, &references), 1.0));
            prop_assert!(close(value(&rouge.stemmed(), &text, &references), 1.0));
        }
        prop_assert!(close(value(&Ter::default(), &text, &references), 0.0));
        prop_assert!(value(&Meteor::default(), &text, &references) > 0.99);
    }

    #[test]
    fn any_text_has_a_score_within_the_scale(ours in "\\PC{0,60}", theirs in "\\PC{0,60}") {
        let references = [theirs.as_str()];
        for (value, most) in [
            (value(&sentence_bleu(), &ours, &references), 100.0),
            (value(&Chrf::plus_plus(), &ours, &references), 100.0),
            (value(&Rouge::two().stemmed(), &ours, &references), 1.0),
            (value(&Rouge::lsum(), &ours, &references), 1.0),
            (value(&Meteor::default(), &ours, &references), 1.0),
            (value(&Ter::default(), &ours, &references), f64::MAX),
            (value(&LengthRatio::default(), &ours, &references), f64::MAX),
        ] {
            prop_assert!((0.0..=most + 1e-9).contains(&value), "{value} of {most}");
        }
    }

    #[test]
    fn neither_order_nor_earlier_texts_change_a_score(
        texts in prop::collection::vec("([a-d]{1,3}[ .]{0,2}|é|\\n|[0-9]{1,2}){0,20}", 2..8),
    ) {
        order_does_not_matter(&Bleu::default(), &texts);
        order_does_not_matter(&Chrf::plus_plus(), &texts);
        order_does_not_matter(&Rouge::l().stemmed(), &texts);
        order_does_not_matter(&Ter::default(), &texts);
        fresh_equals_used(&sentence_bleu(), &texts);
        fresh_equals_used(&Chrf::plus_plus(), &texts);
        fresh_equals_used(&Rouge::two().stemmed(), &texts);
        fresh_equals_used(&Rouge::lsum(), &texts);
        fresh_equals_used(&Ter::default(), &texts);
        fresh_equals_used(&Meteor::default(), &texts);
    }
}
