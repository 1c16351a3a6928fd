//! Scores of single narratives: repeats, repair, refusals, resuming.

use regen_chat::{ChatModel, Error as ChatError, Journal, Role, Stop};
use regen_metrics::rater::{NarrativeKind, Outcome, Rater, RaterConfig, Ratings, Rubric};
use regen_metrics::{Bootstrap, Error, paired_bootstrap};

use super::fake::{Fake, all_scores, answer, case, config, material, rater};

const KIND: NarrativeKind = NarrativeKind::EndorsementShort;

fn rate_all(model: Fake, samples: u32, narratives: &[&str]) -> (Ratings, Rater<Fake>) {
    let rater = rater(model, samples);
    let cases: Vec<_> = narratives.iter().map(|text| (case(KIND), *text)).collect();
    (rater.rate_all(&cases).unwrap(), rater)
}

#[test]
fn the_result_has_means_and_the_variance_over_repeats() {
    // Samples of "steady" say 4, 4, 4; those of "shaky" 3, 4, 5.
    let model = Fake::saying(|request| match material(request)["text"].as_str() {
        Some("steady") => all_scores(4),
        _ => all_scores(3 + request.sample as u8),
    });
    let (ratings, _) = rate_all(model, 3, &["steady", "shaky"]);
    let steady = ratings.ratings[0].repeats("fluency").unwrap();
    let shaky = ratings.ratings[1].repeats("fluency").unwrap();
    assert_eq!((steady.count, steady.mean, steady.variance), (3, 4.0, Some(0.0)));
    assert_eq!((shaky.count, shaky.mean, shaky.variance), (3, 4.0, Some(1.0)));
    let summaries = ratings.summaries(&Bootstrap::seeded(1)).unwrap();
    let names: Vec<_> = summaries.iter().map(|summary| summary.attribute.as_str()).collect();
    assert_eq!(names, ["veracity", "personalisation", "persuasiveness", "relevance", "fluency"]);
    for summary in summaries {
        assert_eq!((summary.mean, summary.repeat_variance, summary.rated), (4.0, Some(0.5), 2));
        assert_eq!(summary.between_variance, Some(0.0));
        assert_eq!((summary.interval.low, summary.interval.high), (4.0, 4.0));
    }
    let signature = ratings.signature();
    assert!(signature.starts_with("rater:fake|rubric:regen-1|mode:pointwise|samples:3|"), "{signature}");
}

#[test]
fn each_sample_is_a_question_of_its_own_with_its_own_seed() {
    let (_, rater) = rate_all(Fake::saying(|_| all_scores(3)), 3, &["text"]);
    let asked = rater.model().asked.lock().unwrap();
    let seeds: Vec<_> = asked.iter().map(|request| (request.sample, request.sampling.seed)).collect();
    assert_eq!(seeds, [(0, Some(40)), (1, Some(41)), (2, Some(42))]);
    assert!(asked.iter().all(|request| request.schema.is_some()));
}

#[test]
fn a_malformed_answer_is_repaired_by_one_question_that_names_the_error() {
    for (broken, named) in [
        ("Lovely text, four stars.".to_owned(), "no JSON object"),
        ("{\"veracity\": {\"score\": 4}".to_owned(), "not valid JSON"),
        (all_scores(4).replace("relevance", "elegance"), "`relevance` is missing"),
        (all_scores(6), "whole number from 1 to 5, not 6"),
        (all_scores(4).replace("4", "3.5"), "whole number from 1 to 5, not 3.5"),
        (all_scores(4).replace("4", "\"good\""), "whole number from 1 to 5, not \"good\""),
        (all_scores(4).replace("4", "null"), "whole number from 1 to 5, not null"),
    ] {
        let first = broken.clone();
        let model = Fake::saying(move |request| match request.messages.len() {
            2 => first.clone(),
            _ => all_scores(2),
        });
        let (ratings, rater) = rate_all(model, 1, &["text"]);
        let Outcome::Answered { repaired: true, answer } = &ratings.ratings[0].samples[0] else {
            panic!("{broken}: {ratings:?}")
        };
        assert_eq!(answer["veracity"].score, 2);
        let asked = rater.model().asked.lock().unwrap();
        let [_, _, earlier, again] = &asked[1].messages[..] else { panic!("{asked:?}") };
        assert_eq!((earlier.role, &earlier.content), (Role::Assistant, &broken));
        assert!(again.content.contains(named), "{broken}: {}", again.content);
    }
}

#[test]
fn an_answer_in_a_fence_or_with_bare_numbers_needs_no_repair() {
    let fenced = format!("Here you are:\n```json\n{}\n```\nAnything else?", all_scores(5));
    let bare = all_scores(5).replace("{\"reason\":\"because\",\"score\":5}", "5");
    for text in [fenced, bare] {
        let (ratings, rater) = rate_all(Fake::saying(move |_| text.clone()), 1, &["text"]);
        assert_eq!(ratings.ratings[0].repeats("veracity").unwrap().mean, 5.0);
        assert_eq!(rater.model().asked(), 1);
    }
}

#[test]
fn two_malformed_answers_are_an_outcome_and_not_asked_about_again() {
    let (ratings, rater) = rate_all(Fake::saying(|_| "no".into()), 2, &["text"]);
    assert_eq!(rater.model().asked(), 4);
    assert_eq!(ratings.unanswered(), (0, 2));
    assert!(matches!(&ratings.ratings[0].samples[0], Outcome::Malformed { text, .. } if text == "no"));
    let summary = ratings.summaries(&Bootstrap::seeded(1)).unwrap().remove(0);
    assert_eq!((summary.mean, summary.rated, summary.repeat_variance), (0.0, 0, None));
}

#[test]
fn an_answer_that_was_cut_off_is_asked_for_more_briefly() {
    let model = Fake::new(|request| {
        let whole = all_scores(4);
        Ok(match request.messages.len() {
            2 => answer(&whole[..whole.len() / 2], Stop::Length),
            _ => answer(&whole, Stop::End),
        })
    });
    let (ratings, rater) = rate_all(model, 1, &["text"]);
    assert_eq!(ratings.ratings[0].repeats("veracity").unwrap().mean, 4.0);
    assert!(rater.model().asked.lock().unwrap()[1].messages[3].content.contains("shorter reasons"));
}

#[test]
fn refusals_are_counted_and_leave_the_other_segments_in_place() {
    let model = |better: u8| {
        Fake::new(move |request| match material(request)["text"].as_str() {
            Some("bad") => Ok(answer("I would rather not.", Stop::Refused)),
            _ => Ok(answer(&all_scores(2 + better + request.sample as u8), Stop::End)),
        })
    };
    let (ours, rater) = rate_all(model(0), 2, &["a", "bad", "c"]);
    assert_eq!(rater.model().asked(), 6, "a refusal is not asked again");
    assert_eq!(ours.unanswered(), (2, 0));
    assert!(ours.ratings[1].repeats("veracity").is_none());
    let measured = ours.measurement("veracity").unwrap();
    assert_eq!((measured.segments().len(), measured.value()), (3, 2.5));
    let (theirs, _) = rate_all(model(1), 2, &["a", "bad", "c"]);
    let test =
        paired_bootstrap(&measured, &theirs.measurement("veracity").unwrap(), &Bootstrap::seeded(3)).unwrap();
    assert_eq!(test.difference, 1.0);
}

#[test]
fn a_user_summary_is_not_judged_by_what_needs_an_item() {
    let summary = all_scores(4).replace("relevance", "x").replace("persuasiveness", "y");
    let rater = rater(Fake::saying(move |_| summary.clone()), 1);
    let rating = rater.rate(&case(NarrativeKind::UserSummaryLong), "A careful writer.").unwrap();
    assert!(rating.repeats("relevance").is_none());
    assert_eq!(rating.repeats("veracity").unwrap().mean, 4.0);
}

#[test]
fn an_interrupted_run_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ratings.jsonl");
    let cases: Vec<_> = ["a", "b", "c"].map(|text| (case(KIND), text)).into();
    let rate = |model: Fake| {
        let rater = Rater::new(Journal::open(model, &path).unwrap(), Rubric::standard(), config(2)).unwrap();
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let ratings = one_thread.install(|| rater.rate_all(&cases));
        (ratings, rater.model().tally(), rater.model().model().asked())
    };
    let breaks = Fake::new(|request| match material(request)["text"].as_str() {
        Some("c") => Err(ChatError::Model { model: "fake".into(), reason: "gone".into() }),
        _ => Ok(answer(&all_scores(3), Stop::End)),
    });
    let (failed, ..) = rate(breaks);
    assert!(matches!(failed, Err(Error::Chat { source: ChatError::Model { .. } })), "{failed:?}");
    let (ratings, tally, asked) = rate(Fake::saying(|_| all_scores(3)));
    assert_eq!(ratings.unwrap().measurement("fluency").unwrap().value(), 3.0);
    assert_eq!((asked, tally.answers, tally.replayed_answers), (2, 2, 4));
    assert_eq!((tally.asked.total(), tally.replayed.total()), (240, 480));
}

#[test]
fn scores_do_not_depend_on_the_number_of_threads() {
    let texts: Vec<String> = (0..40).map(|number| format!("text {number}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let run = |threads| {
        let model = Fake::saying(|request| {
            let text = material(request)["text"].as_str().unwrap().to_owned();
            all_scores(1 + (text.len() as u8 + text.as_bytes()[text.len() - 1] + request.sample as u8) % 5)
        });
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| rate_all(model, 3, &texts).0)
    };
    assert_eq!(run(1), run(6));
}

#[test]
fn settings_and_rubrics_that_cannot_be_asked_are_refused() {
    let model = || Fake::saying(|_| String::new());
    let refused = |config| Rater::new(model(), Rubric::standard(), config).err();
    assert!(matches!(refused(config(0)), Some(Error::OutOfRange { field: "samples", .. })));
    let hot = RaterConfig { temperature: f64::NAN, ..config(1) };
    assert!(matches!(refused(hot), Some(Error::OutOfRange { field: "temperature", .. })));
    let mut twice = Rubric::standard();
    twice.attributes.push(twice.attributes[0].clone());
    assert!(matches!(Rater::new(model(), twice, config(1)), Err(Error::Rubric { .. })));
    let mut spaced = Rubric::standard();
    spaced.attributes[1].name = "how personal".into();
    assert!(matches!(Rater::new(model(), spaced, config(1)), Err(Error::Rubric { .. })));
    let rater = rater(model(), 1);
    assert!(matches!(rater.rate_all::<&str>(&[]), Err(Error::Empty)));
    let (ratings, _) = rate_all(Fake::saying(|_| all_scores(3)), 1, &["text"]);
    assert!(matches!(ratings.measurement("beauty"), Err(Error::UnknownAttribute { .. })));
    assert_eq!(rater.model().name(), "fake");
}
