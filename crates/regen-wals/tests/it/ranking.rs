//! Recommendation and ranking metrics against numbers worked out by hand.

use ndarray::{Array2, array};
use regen_wals::evaluate::{evaluate, evaluate_most_popular};
use regen_wals::{Error, InteractionMatrix, SeenItems, Solver, WalsConfig, WalsModel};

use crate::world::{ITEMS, USERS, config, matrix};

/// Rank 1, so that a user's order is the items' order, or its reverse.
fn line() -> (WalsModel, InteractionMatrix) {
    let config = WalsConfig { rank: 1, ..WalsConfig::default() };
    let users = array![[1.0f32], [-1.0], [2.0]];
    let items = array![[0.1f32], [0.5], [0.4], [0.3], [0.5]];
    let model = WalsModel::from_factors(config, users, items).unwrap();
    // User 0 has seen item 1; item popularity: item 1 twice, items 3 and 4 once.
    let train =
        InteractionMatrix::from_triplets(3, 5, [(0, 1, 1.0), (1, 1, 1.0), (1, 4, 1.0), (2, 3, 1.0)]).unwrap();
    (model, train)
}

fn items(model: &WalsModel, user: u32, k: usize, seen: SeenItems<'_>) -> Vec<u32> {
    let lists = model.recommend(&[user], k, seen).unwrap();
    lists[0].iter().map(|r| r.item).collect()
}

#[test]
fn recommendations_are_sorted_ties_go_to_the_lower_number_and_seen_items_stay_out() {
    let (model, train) = line();
    assert_eq!(items(&model, 0, 9, SeenItems::Keep), [1, 4, 2, 3, 0]);
    assert_eq!(items(&model, 0, 2, SeenItems::Exclude(&train)), [4, 2]);
    assert_eq!(items(&model, 1, 3, SeenItems::Exclude(&train)), [0, 3, 2]);
    assert_eq!(items(&model, 2, 0, SeenItems::Keep), [0u32; 0]);
    let own: Vec<u32> = model.recommend_for(&[-3.0], 2, &[0]).unwrap().iter().map(|r| r.item).collect();
    assert_eq!(own, [3, 2]);
}

#[test]
fn a_list_does_not_depend_on_the_users_beside_it() {
    let matrix = matrix();
    let model = config(19, Solver::Cholesky).fit(&matrix).unwrap();
    let users: Vec<u32> = (0..USERS as u32).collect();
    let together = model.recommend(&users, 10, SeenItems::Exclude(&matrix)).unwrap();
    for user in 0..USERS as u32 {
        let alone = model.recommend(&[user], 10, SeenItems::Exclude(&matrix)).unwrap();
        assert_eq!(alone[0], together[user as usize]);
    }
    let best = model.recommend(&[5], ITEMS, SeenItems::Keep).unwrap();
    assert!(best[0].windows(2).all(|pair| pair[0].score >= pair[1].score));
}

#[test]
fn metrics_equal_the_hand_computation() {
    let (model, train) = line();
    // Lists of two: user 0 → [4, 2], user 1 → [0, 3]. User 2 holds nothing out.
    let held_out = [(0, 2), (0, 0), (0, 3), (1, 0), (0, 2)];
    let report = evaluate(&model, &train, &held_out, 2).unwrap();
    assert_eq!((report.users, report.pairs, report.already_seen), (2, 4, 0));
    let second = 1.0 / 3f64.log2();
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
    close(report.recall, (1.0 / 3.0 + 1.0) / 2.0);
    close(report.truncated_recall, (0.5 + 1.0) / 2.0);
    close(report.ndcg, (second / (1.0 + second) + 1.0) / 2.0);
    close(report.mrr, (0.5 + 1.0) / 2.0);
    close(report.hit_rate, 1.0);
}

#[test]
fn most_popular_equals_the_hand_computation() {
    let (_, train) = line();
    // Popularity order 1, 3, 4, 0, 2; user 0 has 1, user 2 has 3.
    let report = evaluate_most_popular(&train, &[(0, 4), (2, 0)], 2).unwrap();
    assert_eq!(report.recall, 0.5);
    assert_eq!(report.mrr, 0.25);
}

#[test]
fn pairs_of_the_training_matrix_are_counted_and_left_out() {
    let (model, train) = line();
    let report = evaluate(&model, &train, &[(0, 1), (0, 4)], 1).unwrap();
    assert_eq!((report.already_seen, report.pairs, report.recall), (1, 1, 1.0));
    let seen = evaluate(&model, &train, &[(0, 1)], 1);
    assert!(matches!(seen, Err(Error::NothingHeldOut { given: 1, already_seen: 1 })));
}

#[test]
fn the_model_beats_the_most_popular_list_on_a_structured_world() {
    // Two tastes: even users like even items. The held-out item is of the user's taste.
    let mut pairs = Vec::new();
    let mut held_out = Vec::new();
    for user in 0..60u32 {
        for k in 0..12u32 {
            let item = 2 * ((user * 7 + k * 3) % 20) + user % 2;
            if k == 0 {
                held_out.push((user, item));
            } else {
                pairs.push((user, item, 1.0));
            }
        }
    }
    let train = InteractionMatrix::from_triplets(60, 40, pairs).unwrap();
    let model = config(8, Solver::Cholesky).fit(&train).unwrap();
    let ours = evaluate(&model, &train, &held_out, 10).unwrap();
    let popular = evaluate_most_popular(&train, &held_out, 10).unwrap();
    assert!(ours.recall > popular.recall + 0.2, "{ours:?} {popular:?}");
}

#[test]
fn shapes_and_numbers_out_of_range_are_errors() {
    let (model, train) = line();
    assert!(matches!(
        model.recommend(&[3], 1, SeenItems::Keep),
        Err(Error::UserOutOfRange { user: 3, users: 3 })
    ));
    assert!(matches!(
        evaluate(&model, &train, &[(0, 5)], 1),
        Err(Error::ItemOutOfRange { item: 5, items: 5 })
    ));
    assert!(matches!(evaluate(&model, &train, &[(0, 4)], 0), Err(Error::InvalidSetting { field: "k", .. })));
    assert!(matches!(model.fold_in_user(&[(5, 1.0)]), Err(Error::ItemOutOfRange { item: 5, items: 5 })));
    assert!(matches!(model.fold_in_item(&[(3, 1.0)]), Err(Error::UserOutOfRange { user: 3, users: 3 })));
    assert!(matches!(model.fold_in_user(&[(2, f32::NAN)]), Err(Error::InvalidRowValue { index: 2, .. })));
    assert!(matches!(model.recommend_for(&[0.0, 1.0], 1, &[]), Err(Error::FactorShape { .. })));
    let wrong = Array2::<f32>::zeros((2, 2));
    assert!(matches!(
        WalsModel::from_factors(WalsConfig { rank: 1, ..WalsConfig::default() }, wrong.clone(), wrong),
        Err(Error::FactorShape { .. })
    ));
}
