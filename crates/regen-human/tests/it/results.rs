//! Results of raters whose minds are known.

use regen_human::results::Results;
use regen_human::{Answer, Design, Shown, Store, Study, StudyCase, evaluate, order_of};
use regen_metrics::Bootstrap;

use crate::studies::{config, study};

/// Every rater answers "fluency" of every task by `mind(rater, case, shown)`.
fn judged(study: &Study, raters: &[&str], mind: impl Fn(usize, usize, Shown) -> Answer) -> Results {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(folder.path().join("s"), study).unwrap();
    for name in raters {
        let rater = store.join(name).unwrap().number;
        for assigned in order_of(study, rater) {
            let answer = mind(rater, assigned.task.case, assigned.task.shown);
            store.put(rater, assigned.task, "fluency", answer, assigned.swapped, 4.0).unwrap();
        }
    }
    evaluate(study, &mut store, &Bootstrap::seeded(3)).unwrap()
}

#[test]
fn means_differences_and_agreement_of_scores_are_those_by_hand() {
    // System 0 gets 2 and 3 in turn, system 1 always one more; the second rater is one step kinder to case 0.
    let study = study(Design::Single, 12);
    let results = judged(&study, &["Ada", "Grace"], |rater, case, shown| {
        let Shown::One { system } = shown else { panic!("a pair") };
        Answer::Score((2 + case % 2 + system + usize::from(rater == 1 && case == 0)) as u8)
    });
    assert_eq!(results.scores.len(), 2);
    let alpha = &results.scores[0];
    assert!((alpha.mean - (2.5 + 0.5 / 12.0)).abs() < 1e-12, "{}", alpha.mean);
    assert_eq!((alpha.system.as_str(), alpha.cases, alpha.scores, alpha.unsure), ("SECRET-ALPHA", 12, 24, 0));
    assert!(alpha.interval.low < alpha.mean && alpha.mean < alpha.interval.high);
    assert!(alpha.signature.contains("rubric:regen-1|design:single|unit:case"), "{}", alpha.signature);
    let contrast = &results.contrasts[0];
    assert!((contrast.difference - 1.0).abs() < 1e-12);
    // All twelve differences have one sign: exchanging reaches them in 2 of 4,096 ways.
    assert!(contrast.p_randomization < 0.003, "{}", contrast.p_randomization);
    let agreement = &results.agreement[0];
    assert_eq!(agreement.shared, 24);
    assert!(agreement.alpha.unwrap() > 0.9 && agreement.alpha.unwrap() < 1.0);
    assert_eq!(agreement.pairs[0].raters, ["Ada".to_owned(), "Grace".to_owned()]);
    assert!(agreement.pairs[0].kappa.unwrap() > 0.9 && agreement.pairs[0].shared == 24);
    // Only one of five attributes was answered.
    assert_eq!(
        results.raters.iter().map(|rater| (rater.complete, rater.tasks)).collect::<Vec<_>>(),
        [(0, 24); 2]
    );
    let table = results.to_string();
    assert!(table.contains("SECRET-BETA − SECRET-ALPHA") && table.contains("+1.00"), "{table}");
}

#[test]
fn a_preferred_system_wins_whatever_the_sides() {
    let study = study(Design::Pairs, 20);
    let results = judged(&study, &["Ada", "Grace", "Emmy"], |rater, case, _| match (case + rater) % 10 {
        0 => Answer::First,
        1 => Answer::Tie,
        2 => Answer::Unsure,
        _ => Answer::Second,
    });
    let found = &results.preferences[0];
    assert_eq!((found.wins, found.ties, found.losses, found.unsure), (42, 6, 6, 6));
    assert!(found.win_rate > 0.75 && found.interval.low > 0.6, "{found:?}");
    assert!(found.p_randomization < 0.001);
    let left = found.left_share.unwrap();
    assert!((0.3..0.7).contains(&left), "{left}");
    assert!(results.to_string().contains("SECRET-BETA over SECRET-ALPHA"));
}

#[test]
fn a_rater_who_always_takes_the_left_side_shows_and_favours_nobody() {
    let study = study(Design::Pairs, 20);
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(folder.path().join("s"), &study).unwrap();
    let rater = store.join("Lefty").unwrap().number;
    for assigned in order_of(&study, rater) {
        let answer = Answer::First.swapped(assigned.swapped);
        store.put(rater, assigned.task, "fluency", answer, assigned.swapped, 1.0).unwrap();
    }
    let results = evaluate(&study, &mut store, &Bootstrap::seeded(3)).unwrap();
    let found = &results.preferences[0];
    assert_eq!((found.win_rate, found.left_share), (0.5, Some(1.0)));
    assert!(found.p_randomization > 0.9, "{}", found.p_randomization);
    assert_eq!(results.agreement[0].alpha, None, "one rater agrees with nobody");
}

#[test]
fn chance_is_not_taken_for_a_difference_and_many_questions_are_corrected() {
    let study = study(Design::Single, 30);
    // Scores that have nothing to do with the system.
    let results = judged(&study, &["Ada"], |_, case, shown| {
        let Shown::One { system } = shown else { panic!("a pair") };
        Answer::Score(1 + ((case * 7 + system * 3 + case * case * system) % 5) as u8)
    });
    assert!(results.contrasts[0].p_randomization > 0.05, "{:?}", results.contrasts[0]);
    assert!(results.contrasts[0].p_holm >= results.contrasts[0].p_randomization);
}

#[test]
fn where_cases_share_users_the_user_is_the_unit() {
    // Ten users with four cases each; preferences are the user's.
    let cases: Vec<StudyCase> = crate::studies::cases(40)
        .into_iter()
        .enumerate()
        .map(|(case, entry)| StudyCase { user: Some(format!("u{}", case / 4)), ..entry })
        .collect();
    let with_users = Study::new(vec!["a".into(), "b".into()], cases.clone(), config(Design::Pairs)).unwrap();
    let without = study(Design::Pairs, 40);
    let mind = |_: usize, case: usize, _: Shown| if case / 4 < 6 { Answer::Second } else { Answer::First };
    let (by_user, by_case) = (judged(&with_users, &["Ada"], mind), judged(&without, &["Ada"], mind));
    let (by_user, by_case) = (&by_user.preferences[0], &by_case.preferences[0]);
    assert_eq!(by_user.win_rate, by_case.win_rate);
    assert!(by_user.signature.contains("unit:user") && by_case.signature.contains("unit:case"));
    assert!(by_user.interval.standard_error > 1.5 * by_case.interval.standard_error);
    assert!(by_user.p_randomization > by_case.p_randomization);
}

#[test]
fn a_study_without_answers_has_empty_results() {
    let results = judged(&study(Design::Pairs, 3), &[], |_, _, _| Answer::Tie);
    assert_eq!((results.answers, results.preferences.len(), results.agreement.len()), (0, 0, 0));
    assert!(results.to_string().starts_with("3 cases, 0 raters, 0 answers"));
}
