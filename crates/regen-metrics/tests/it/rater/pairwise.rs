//! Comparisons: position bias shows and cancels, a real preference does not.

use regen_chat::Stop;
use regen_metrics::rater::{Comparisons, NarrativeKind, PreferenceSummary, Verdict};
use regen_metrics::{Bootstrap, Error};

use super::fake::{Fake, all_choices, answer, case, material, rater};

fn compare(model: Fake, samples: u32) -> Comparisons {
    let cases: Vec<_> = ["one", "another", "a third"]
        .iter()
        .map(|text| {
            (case(NarrativeKind::PurchaseReason), (*text).to_owned(), format!("{text}, with a reason"))
        })
        .collect();
    rater(model, samples).compare_all(&cases).unwrap()
}

fn veracity(comparisons: &Comparisons) -> PreferenceSummary {
    comparisons.summaries(&Bootstrap::seeded(2)).unwrap().remove(0)
}

#[test]
fn a_rater_that_always_takes_the_first_place_prefers_nobody() {
    let comparisons = compare(Fake::saying(|_| all_choices("A")), 2);
    let summary = veracity(&comparisons);
    assert_eq!((summary.win_rate, summary.interval.low, summary.interval.high), (0.5, 0.5, 0.5));
    assert_eq!((summary.consistency, summary.first_place_share), (Some(0.0), Some(1.0)));
}

#[test]
fn a_rater_that_likes_longer_texts_is_consistent_and_unbiased() {
    let model = Fake::saying(|request| {
        let material = material(request);
        let length = |name: &str| material[name].as_str().unwrap().len();
        all_choices(if length("text_A") > length("text_B") { "A" } else { "B" })
    });
    let comparisons = compare(model, 2);
    let summary = veracity(&comparisons);
    assert_eq!((summary.win_rate, summary.consistency), (1.0, Some(1.0)));
    assert_eq!((summary.first_place_share, summary.repeat_variance), (Some(0.5), Some(0.0)));
    let choices = comparisons.preferences[0].second_shown_first[0].answer().unwrap();
    assert_eq!(choices["fluency"].better, Verdict::Second, "verdicts are in the caller's order");
}

#[test]
fn ties_are_halves_and_no_places() {
    let summary = veracity(&compare(Fake::saying(|_| all_choices("tie")), 1));
    assert_eq!((summary.win_rate, summary.first_place_share), (0.5, None));
    assert_eq!((summary.consistency, summary.repeat_variance), (Some(1.0), None));
}

#[test]
fn repeats_that_differ_have_a_variance() {
    let model = Fake::saying(|request| {
        let second_is_a = material(request)["text_A"].as_str().unwrap().ends_with("reason");
        // Sample 0 prefers the second narrative, sample 1 the first.
        all_choices(if second_is_a == (request.sample == 0) { "A" } else { "B" })
    });
    let summary = veracity(&compare(model, 2));
    assert_eq!((summary.win_rate, summary.repeat_variance), (0.5, Some(0.5)));
}

#[test]
fn a_sample_needs_both_orders_to_count() {
    let model = Fake::new(|request| {
        let second_is_a = material(request)["text_A"].as_str().unwrap().ends_with("reason");
        Ok(if second_is_a { answer("No.", Stop::Refused) } else { answer(&all_choices("B"), Stop::End) })
    });
    let comparisons = compare(model, 2);
    let summary = veracity(&comparisons);
    assert_eq!((summary.compared, summary.consistency), (0, None));
    assert_eq!(comparisons.measurement("veracity").unwrap().segments().len(), 3);
}

#[test]
fn malformed_choices_are_repaired_once() {
    let model = Fake::saying(|request| match request.messages.len() {
        2 => all_choices("both"),
        _ => all_choices("B"),
    });
    let comparisons = compare(model, 1);
    assert_eq!(veracity(&comparisons).first_place_share, Some(0.0));
    assert!(comparisons.signature().contains("mode:pairwise-both-orders"));
    let nothing: &[(_, &str, &str)] = &[];
    assert!(matches!(rater(Fake::saying(|_| String::new()), 1).compare_all(nothing), Err(Error::Empty)));
}
