//! Recommendation and ranking metrics against numbers worked out by hand.

use ndarray::{Array2, array};
use regen_wals::evaluate::{evaluate, evaluate_most_popular};
use regen_wals::persist::{FactorFile, FactorFormat, save_as, save_npy};
use regen_wals::{Error, InteractionMatrix, SeenItems, Solver, StoredFactors, WalsConfig, WalsModel};

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

#[test]
fn factors_on_disk_answer_as_those_in_memory_bit_for_bit() {
    let matrix = matrix();
    let folder = tempfile::tempdir().unwrap();
    let ids = |count: usize| (0..count).map(|id| id.to_string()).collect::<Vec<_>>();
    let users: Vec<u32> = (0..USERS as u32).rev().chain([3, 3]).collect();
    let held_out: Vec<(u32, u32)> = (0..USERS as u32).map(|user| (user, user * 13 % ITEMS as u32)).collect();
    for format in [FactorFormat::Npy, FactorFormat::Safetensors] {
        let model = config(19, Solver::Cholesky).fit(&matrix).unwrap();
        save_as(folder.path(), format, &model, &ids(USERS), &ids(ITEMS)).unwrap();
        let stored = StoredFactors::open(folder.path()).unwrap();
        assert_eq!((stored.users(), stored.items(), stored.rank()), (USERS, ITEMS, 19));
        for seen in [SeenItems::Keep, SeenItems::Exclude(&matrix)] {
            for k in [0, 1, 10, 1000] {
                let expected = model.recommend(&users, k, seen).unwrap();
                assert_eq!(stored.recommend(&users, k, seen).unwrap(), expected);
            }
        }
        let expected = evaluate(&model, &matrix, &held_out, 10).unwrap();
        assert_eq!(stored.evaluate(&matrix, &held_out, 10).unwrap(), expected);

        // Two users of the matrix, in a matrix of their own.
        let two = [200u32, 5];
        let own = two.iter().enumerate().flat_map(|(user, &row)| {
            let (items, values) = matrix.user_row(row as usize);
            items.iter().zip(values).map(move |(&item, &value)| (user as u32, item, value))
        });
        let own = InteractionMatrix::from_triplets(2, ITEMS, own).unwrap();
        let of = |user: u32| (user, two[user as usize] * 13 % ITEMS as u32);
        let whole: Vec<(u32, u32)> =
            held_out.iter().copied().filter(|(user, _)| two.contains(user)).collect();
        let expected = evaluate(&model, &matrix, &whole, 10).unwrap();
        assert_eq!(stored.evaluate_some(&two, &own, &[of(0), of(1)], 10).unwrap(), expected);
        assert!(matches!(
            stored.evaluate_some(&[1, USERS as u32], &own, &[of(0)], 10),
            Err(Error::UserOutOfRange { .. })
        ));
        assert!(matches!(stored.evaluate_some(&[1], &own, &[of(0)], 10), Err(Error::FactorShape { .. })));
        assert!(matches!(stored.evaluate(&own, &[(0, 1)], 10), Err(Error::FactorShape { .. })));
        assert!(matches!(
            stored.recommend(&[USERS as u32], 3, SeenItems::Keep),
            Err(Error::UserOutOfRange { .. })
        ));
    }
}

#[test]
fn items_on_disk_that_are_read_in_parts_give_the_lists_of_all_and_a_bad_number_is_named() {
    // More than the 2²¹ numbers that are read at a time.
    const RANK: usize = 256;
    let rows = (1 << 21) / RANK + 700;
    let number = |k: usize| ((k % 9973) as f32 * 0.37).sin();
    let items = Array2::from_shape_fn((rows, RANK), |(row, k)| number(row * RANK + k));
    let users = Array2::from_shape_fn((5, RANK), |(row, k)| number(row * 31 + k * 7));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let stored = |items: &Array2<f32>, users: &Array2<f32>| {
        save_npy(&path("users.npy"), users.view()).unwrap();
        save_npy(&path("items.npy"), items.view()).unwrap();
        StoredFactors::new(
            FactorFile::open(&path("users.npy")).unwrap(),
            FactorFile::open(&path("items.npy")).unwrap(),
        )
        .unwrap()
    };
    let config = WalsConfig { rank: RANK, ..WalsConfig::default() };
    let model = WalsModel::from_factors(config, users.clone(), items.clone()).unwrap();
    let on_disk = stored(&items, &users).recommend(&[4, 0], 20, SeenItems::Keep).unwrap();
    assert_eq!(on_disk, model.recommend(&[4, 0], 20, SeenItems::Keep).unwrap());

    let mut bad = items.clone();
    bad[[rows - 3, 9]] = f32::NAN;
    let error = stored(&bad, &users).recommend(&[1], 1, SeenItems::Keep).unwrap_err();
    assert!(
        matches!(error, Error::FactorValue { what: "item factors", row, column: 9, .. } if row == rows - 3),
        "{error}"
    );
    let mut bad = users.clone();
    bad[[2, 1]] = f32::INFINITY;
    let bad = stored(&items, &bad);
    assert!(bad.recommend(&[1], 1, SeenItems::Keep).is_ok());
    let error = bad.recommend(&[1, 2], 1, SeenItems::Keep).unwrap_err();
    assert!(matches!(error, Error::FactorValue { what: "user factors", row: 2, column: 1, .. }), "{error}");
    let narrow = FactorFile::open(&path("users.npy")).unwrap();
    save_npy(&path("items.npy"), Array2::<f32>::zeros((2, 3)).view()).unwrap();
    let narrow = StoredFactors::new(narrow, FactorFile::open(&path("items.npy")).unwrap());
    assert!(matches!(narrow, Err(Error::FactorShape { .. })));
}
