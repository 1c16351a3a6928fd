//! Agreement of raters: parity with the Python references, and what holds beyond the golden cases.

use std::collections::BTreeMap;

use regen_metrics::agreement::{KappaWeights, Scale, cohen_kappa, krippendorff_alpha, spearman};
use regen_metrics::{Bootstrap, Error};

use crate::golden::{assert_close, expected};

#[derive(serde::Deserialize)]
struct AlphaCase {
    units: Vec<Vec<Option<f64>>>,
    #[serde(flatten)]
    scales: BTreeMap<String, f64>,
}

#[derive(serde::Deserialize)]
struct KappaCase {
    first: Vec<usize>,
    second: Vec<usize>,
    categories: usize,
    #[serde(flatten)]
    weights: BTreeMap<String, f64>,
}

#[derive(serde::Deserialize)]
struct RhoCase {
    first: Vec<f64>,
    second: Vec<f64>,
    rho: f64,
}

#[test]
fn alpha_equals_the_krippendorff_package() {
    let cases: Vec<AlphaCase> = expected("agreement", "alpha");
    assert_eq!(cases.len(), 10);
    for (number, case) in cases.iter().enumerate() {
        for (name, scale) in
            [("nominal", Scale::Nominal), ("ordinal", Scale::Ordinal), ("interval", Scale::Interval)]
        {
            let alpha = krippendorff_alpha(&case.units, scale).unwrap();
            assert_close(&format!("case {number}, {name}"), alpha.value(), case.scales[name]);
            assert!(alpha.signature().contains(name));
        }
    }
}

#[test]
fn kappa_equals_scikit_learn() {
    for (number, case) in expected::<Vec<KappaCase>>("agreement", "kappa").iter().enumerate() {
        for (name, weights) in [
            ("plain", KappaWeights::Plain),
            ("linear", KappaWeights::Linear),
            ("quadratic", KappaWeights::Quadratic),
        ] {
            let kappa = cohen_kappa(&case.first, &case.second, case.categories, weights).unwrap();
            assert_close(&format!("case {number}, {name}"), kappa.value(), case.weights[name]);
        }
    }
}

#[test]
fn rho_equals_scipy() {
    for (number, case) in expected::<Vec<RhoCase>>("agreement", "spearman").iter().enumerate() {
        let rho = spearman(&case.first, &case.second).unwrap();
        assert_close(&format!("case {number}"), rho.value(), case.rho);
    }
}

#[test]
fn an_interval_encloses_its_value_and_narrows_with_more_units() {
    let units = |count: usize| -> Vec<[Option<f64>; 3]> {
        (0..count).map(|u| [u % 5, (u + u / 7 % 2) % 5, u % 5].map(|value| Some(value as f64))).collect()
    };
    let interval = |count: usize| {
        let alpha = krippendorff_alpha(&units(count), Scale::Ordinal).unwrap();
        let interval = alpha.interval(&Bootstrap::seeded(3)).unwrap();
        assert!(interval.low <= alpha.value() && alpha.value() <= interval.high, "{interval:?}");
        assert_eq!(interval, alpha.interval(&Bootstrap::seeded(3)).unwrap());
        interval.high - interval.low
    };
    assert!(interval(400) < 0.5 * interval(40));
}

#[test]
fn units_with_a_single_rating_change_nothing() {
    let full = vec![vec![Some(1.0), Some(2.0)], vec![Some(3.0), Some(3.0)], vec![Some(5.0), Some(4.0)]];
    let mut padded = full.clone();
    padded.insert(1, vec![None, Some(9.0)]);
    padded.push(vec![]);
    for scale in [Scale::Nominal, Scale::Ordinal, Scale::Interval] {
        let value = |units| krippendorff_alpha(units, scale).unwrap().value();
        assert_eq!(value(&full), value(&padded));
    }
}

#[test]
fn opposite_raters_disagree_more_than_chance() {
    let units: Vec<_> = (0..10).map(|u| [Some(f64::from(u % 2)), Some(f64::from(1 - u % 2))]).collect();
    assert!(krippendorff_alpha(&units, Scale::Nominal).unwrap().value() < -0.8);
    assert_eq!(spearman(&[1.0, 2.0, 3.0], &[9.0, 5.0, -1.0]).unwrap().value(), -1.0);
    assert_eq!(cohen_kappa(&[0, 1, 0, 1], &[1, 0, 1, 0], 2, KappaWeights::Plain).unwrap().value(), -1.0);
}

#[test]
fn ratings_that_say_nothing_are_refused_and_named() {
    let same = [[Some(4.0), Some(4.0)], [Some(4.0), Some(4.0)]];
    assert!(matches!(krippendorff_alpha(&same, Scale::Ordinal), Err(Error::NoVariation { .. })));
    let lone = [[Some(4.0), None], [None, Some(2.0)]];
    assert!(matches!(krippendorff_alpha(&lone, Scale::Ordinal), Err(Error::Empty)));
    let broken = [[Some(4.0), Some(1.0)], [Some(f64::NAN), Some(2.0)]];
    let error = krippendorff_alpha(&broken, Scale::Interval).unwrap_err();
    assert!(matches!(error, Error::NotFinite { segment: 1, .. }));
    assert!(matches!(cohen_kappa(&[1], &[1], 3, KappaWeights::Plain), Err(Error::NoVariation { .. })));
    assert!(matches!(cohen_kappa(&[1], &[3], 3, KappaWeights::Plain), Err(Error::OutOfRange { .. })));
    assert!(matches!(cohen_kappa(&[], &[], 3, KappaWeights::Plain), Err(Error::Empty)));
    assert!(matches!(spearman(&[1.0, 2.0], &[1.0]), Err(Error::CountMismatch { .. })));
    assert!(matches!(spearman(&[1.0, 2.0], &[3.0, 3.0]), Err(Error::NoVariation { .. })));
}
