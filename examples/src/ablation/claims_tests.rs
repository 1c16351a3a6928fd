//! Verdicts on planted experiments.

use super::attribution::Shares;
use super::claims::{Claim, Verdict, judge};
use super::contrasts::Asks;
use super::findings::Findings;
use super::plan::Plan;
use super::planted::{Planted, findings, findings_in};

const PLAN: &str = r#"
    title = "planted"
    seeds = [1, 2, 3]
    arms = ["cf", "semantic", "fusion"]
    histories = [5]
    [training]
    steps = 10
    [[data]]
    name = "world"
    synthetic = { users = 40, items = 130, mean_history = 6.0 }
"#;

/// Fusion is right in three quarters of its narratives, the arms alone in a quarter and less.
fn usual(plan: &Plan) -> Findings {
    findings(plan, |cell| match cell.arm.to_string().as_str() {
        "fusion" => Planted { right: 18, reads: 0.5, missing: None },
        "semantic" => Planted { right: 6, reads: 0.5, missing: None },
        _ => Planted { right: 3, reads: 0.5, missing: None },
    })
}

fn of<'a>(found: &'a Findings, claim: &str) -> Vec<&'a Claim> {
    found.claims.iter().filter(|one| one.claim.starts_with(claim)).collect()
}

fn plan(from: &str, to: &str) -> Plan {
    assert!(PLAN.contains(from), "{from}");
    Plan::parse(&PLAN.replace(from, to)).unwrap()
}

#[test]
fn fusion_beats_the_better_single_arm_only_where_both_were_run_as_it_was() {
    let found = usual(&Plan::parse(PLAN).unwrap());
    let claims = of(&found, "Fusion beats");
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].verdict, Verdict::Holds, "{}", claims[0].because);
    assert!(claims[0].because.contains("against semantic"), "{}", claims[0].because);

    let two = r#"arms = ["cf", "semantic", "fusion"]"#;
    let missing = |from: &str, to: &str| -> Vec<(String, Verdict, String)> {
        let found = usual(&plan(from, to));
        let claims = of(&found, "Fusion beats").into_iter();
        claims.map(|claim| (claim.on.clone(), claim.verdict, claim.because.clone())).collect()
    };
    // The worse single arm alone, although fusion is far above it.
    for (arms, lacks) in
        [(r#"arms = ["cf", "fusion"]"#, "semantic"), (r#"arms = ["semantic", "fusion"]"#, "cf")]
    {
        let claims = missing(two, arms);
        assert!(claims.len() == 1 && claims[0].1 == Verdict::NotEnoughData, "{claims:?}");
        assert!(claims[0].2.contains(&format!("inputs: {lacks}.")), "{claims:?}");
    }
    // An adapter that no single arm can have, and an input that one was not given.
    let histories = "histories = [5]";
    for (more, name) in [
        ("adapters = [\"projection\", \"gated\"]", "gated"),
        ("inputs = [\"\", \"position+user\"]", "position, user"),
    ] {
        for (on, verdict, because) in missing(histories, &format!("{histories}\n{more}")) {
            let lacks = on.contains(name);
            assert_eq!(
                verdict,
                if lacks { Verdict::NotEnoughData } else { Verdict::Holds },
                "{on}: {because}"
            );
        }
    }
    // What a single arm does not read cannot be lacking in it.
    for more in [
        "cold_vectors = [\"absent\", \"content\"]",
        "co_training = [\"none\", \"tables\", \"cf_table\", \"semantic_table\"]",
        "inputs = [\"\", \"user\"]",
    ] {
        let claims = missing(histories, &format!("{histories}\n{more}"));
        assert!(claims.len() > 1 && claims.iter().all(|claim| claim.1 == Verdict::Holds), "{claims:?}");
    }
    // Without single arms it was not asked.
    assert!(missing(two, r#"arms = ["fusion"]"#).is_empty());
}

#[test]
fn a_test_against_one_single_arm_is_shown_as_what_it_is() {
    let found = usual(&plan(r#""semantic", "#, ""));
    let contrasts = &found.settings[0].contrasts;
    let asks: Vec<String> = contrasts.iter().map(|one| serde_json::to_string(&one.asks).unwrap()).collect();
    assert!(asks.contains(&"\"one_single_arm\"".to_owned()) && !asks.contains(&"\"fusion\"".to_owned()));
}

#[test]
fn vectors_beside_text_are_held_against_text_whose_language_model_was_adapted_alike() {
    // Of a preset no plan may ask for updates; these records were never run.
    let mut plan = plan(r#"["cf", "semantic", "fusion"]"#, r#"["text", "text+fusion"]"#);
    plan.lora_ranks = vec![0, 8];
    let found = usual(&plan);
    let contrasts = found.settings[0].contrasts.iter().filter(|one| one.asks == Asks::VectorsBesideText);
    let pairs: Vec<(&str, &str)> = contrasts.map(|one| (one.variant.as_str(), one.base.as_str())).collect();
    let updates = ", low-rank updates of rank 8";
    let expected = [("text+fusion", "text"), (&format!("text+fusion{updates}"), &format!("text{updates}"))];
    assert_eq!(pairs, expected.map(|pair| [pair; 3]).concat());
}

#[test]
fn a_model_that_ignores_its_soft_tokens_is_flagged_and_one_that_reads_them_is_not() {
    let plan = Plan::parse(PLAN).unwrap();
    let found = findings(&plan, |cell| Planted {
        right: 12,
        reads: if cell.arm.to_string() == "fusion" { 0.0 } else { 0.5 },
        missing: None,
    });
    for claim in of(&found, "The language model reads") {
        let deaf = claim.on.ends_with(": fusion");
        assert_eq!(
            claim.verdict,
            if deaf { Verdict::DoesNotHoldHere } else { Verdict::Holds },
            "{}",
            claim.because
        );
        assert_eq!(claim.because.contains("FLAGGED"), deaf, "{}", claim.because);
        // The least that so many draws can give is no certainty.
        assert!(!claim.because.contains("p 0.000"), "{}", claim.because);
    }
    for claim in of(&found, "It generalises") {
        // All that the verdict rests on is told: both the texts of other users and their items.
        assert_eq!(claim.because.matches("against another user's text [").count(), 3, "{}", claim.because);
        let deaf = claim.on.ends_with(": fusion");
        assert_eq!(claim.verdict, if deaf { Verdict::DoesNotHoldHere } else { Verdict::Holds });
    }
    let document = found.document(&plan, PLAN, None);
    for report in [document.html(), document.markdown(), document.terminal()] {
        assert!(report.contains("FLAGGED: fusion ignores what its soft tokens say"), "{report}");
        assert!(!report.contains("FLAGGED: cf") && !report.contains("FLAGGED: semantic"));
    }
}

#[test]
fn controls_are_tested_as_one_family_in_losses_and_in_narratives() {
    let found = usual(&Plan::parse(PLAN).unwrap());
    let mut tests = 0;
    for variant in &found.settings[0].variants {
        let both = variant.arm == "fusion";
        assert_eq!(variant.costs.len(), if both { 5 } else { 3 }, "{}", variant.name);
        // Another user's items, the side or both and neither; three metrics each.
        assert_eq!(variant.controlled.len(), 3 * if both { 4 } else { 2 });
        tests += variant.costs.len() + variant.controlled.len();
        for score in &variant.controlled {
            assert_eq!((score.narratives, score.users, score.change.per_seed.len()), (27, 27, 3));
            assert!((score.values[1] - score.values[0] - score.change.value).abs() < 1e-9);
            assert!(score.change.value <= 0.0, "half of what was right is lost: {score:?}");
        }
    }
    let costs = found.settings[0].variants.iter().flat_map(|variant| &variant.costs);
    let least = costs.map(|cost| (cost.p_value.unwrap(), cost.p_holm.unwrap()));
    let least = least.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    assert!((least.1 - (least.0 * tests as f64).min(1.0)).abs() < 1e-12, "{least:?} of {tests}");
    let page = found.document(&Plan::parse(PLAN).unwrap(), PLAN, None).html();
    assert!(page.contains("27 narratives of 27 users"), "how many were written under controls is said");
}

#[test]
fn what_it_was_made_from_stands_in_the_report_in_full() {
    let plan = Plan { sha256: "f".repeat(64), ..Plan::parse(PLAN).unwrap() };
    let found = usual(&plan);
    let markdown = found.document(&plan, PLAN, None).markdown();
    for line in ["encoder planted  encoder", "data world, seed 2  data2", "split world, seed 3  split3"] {
        assert!(markdown.contains(line), "{line}");
    }
    assert!(markdown.contains(&format!("plan  {}", plan.sha256)));
}

#[test]
fn a_cell_whose_attribution_is_missing_is_named_with_the_reason_in_a_report_that_is_written_all_the_same() {
    let plan = Plan::parse(PLAN).unwrap();
    let found = findings(&plan, |cell| {
        let missing = cell.arm.to_string() == "fusion" && cell.seed == 2;
        Planted { right: 12, reads: 0.5, missing: missing.then_some("gradients miss the change by 3e-3") }
    });
    let document = found.document(&plan, PLAN, None);
    for report in [document.html(), document.terminal()] {
        let said =
            "attribution of the cell world_fusion_h5_2m_s2 is missing: gradients miss the change by 3e-3";
        assert!(report.contains(said) && report.contains("What is each side worth?"), "{report}");
        assert_eq!(report.matches("is missing:").count(), 1);
    }
}

#[test]
fn of_too_few_test_users_no_claim_is_answered_and_no_interval_or_p_value_is_given() {
    let plan = Plan::parse(PLAN).unwrap();
    let mut found = usual(&plan);
    assert_eq!(found.settings[0].test_users, 72, "24 users of each of three worlds");
    found.settings[0].test_users = 3;
    found.settings[0].without_chance();
    found.claims = judge(&found.settings, false);
    assert!(found.claims.len() >= 7, "{}", found.claims.len());
    for claim in &found.claims {
        assert_eq!(claim.verdict, Verdict::NotEnoughData, "{}", claim.claim);
        assert!(claim.because.starts_with("3 test users"), "{}", claim.because);
        assert!(
            claim.because.contains("too few users") && !claim.because.contains("p 0"),
            "{}",
            claim.because
        );
    }
    fn check(value: &serde_json::Value) {
        if let Some(object) = value.as_object() {
            for (key, value) in object {
                let chance = ["interval", "relative_interval", "p_value", "p_holm"].contains(&key.as_str());
                assert!(!chance || value.is_null(), "{key}: {value}");
                check(value);
            }
        }
        value.as_array().into_iter().flatten().for_each(check);
    }
    check(&serde_json::to_value(&found.settings).unwrap());
    let document = found.document(&plan, PLAN, None);
    for report in [document.html(), document.markdown(), document.terminal()] {
        assert!(report.contains("NOT ENOUGH DATA: 3 test users"), "{report}");
    }
}

#[test]
fn seeds_that_judge_by_the_same_users_do_not_make_more_of_them() {
    let plan = Plan::parse(PLAN).unwrap();
    let planted = |_: &super::cells::Cell| Planted { right: 12, reads: 0.5, missing: None };
    let alike = findings_in(
        &plan,
        |world| (world.data_sha256, world.split) = ("shop".to_owned(), "of the folder".to_owned()),
        planted,
    );
    let (alike, apart) = (&alike.settings[0], &findings(&plan, planted).settings[0]);
    assert_eq!((alike.test_users, apart.test_users), (24, 72));
    let of = |setting: &super::Setting| {
        let fusion = setting.variants.iter().find(|variant| variant.name == "fusion").unwrap();
        let interval = |pooled: &super::Pooled| pooled.interval.unwrap().standard_error;
        [interval(&fusion.scores[2]), interval(fusion.loss.as_ref().unwrap())]
    };
    // Every seed comes to the same: of 72 users the error is less by the root of three, of 24 under three seeds it is not.
    for (alike, apart) in of(alike).into_iter().zip(of(apart)) {
        assert!((alike / apart - 3f64.sqrt()).abs() < 0.25, "{alike} {apart}");
    }
    // Nine narratives of each seed were written under controls, of users whom the seeds have in common.
    let controlled = |setting: &super::Setting| setting.variants[0].controlled[0].users;
    assert_eq!(controlled(apart), 27);
    assert!((9..=24).contains(&controlled(alike)), "{}", controlled(alike));
}

#[test]
fn a_share_that_rises_with_density_is_answered_only_where_the_users_are_enough() {
    let plan = Plan::parse(PLAN).unwrap();
    let base = usual(&plan).settings.remove(0);
    let settings = |test_users: usize| -> Vec<super::Setting> {
        let of = |level: usize| {
            let mut setting = base.clone();
            (setting.density, setting.test_users) = (0.1 * (level + 1) as f64, test_users);
            let share = 0.2 + 0.1 * level as f64;
            for variant in &mut setting.variants {
                let shares = Shares {
                    tokens: 9,
                    mean: share,
                    histogram: Vec::new(),
                    by_popularity: Vec::new(),
                    by_kind: Vec::new(),
                    measure: Default::default(),
                    residual: 0.0,
                };
                variant.shares = Some((shares, vec![share, share + 0.01, share + 0.02]));
            }
            setting
        };
        (0..3).map(of).collect()
    };
    let claim = |test_users: usize| {
        let claims = judge(&settings(test_users), true);
        claims.into_iter().find(|claim| claim.claim.starts_with("The collaborative share rises")).unwrap()
    };
    assert_eq!(claim(72).verdict, Verdict::Holds, "{}", claim(72).because);
    let few = claim(3);
    assert_eq!(few.verdict, Verdict::NotEnoughData);
    assert!(few.because.starts_with("3 test users") && !few.because.contains("p ="), "{}", few.because);
}
