//! Tests of the splits: who may stand where, and that nothing of the held-out side is left in training.

use std::collections::BTreeSet;

use super::*;
use crate::testing::dataset;
use crate::{Narrative, NarrativeKind};

fn purchases(users: usize) -> Vec<(usize, usize, Option<i64>)> {
    (0..users).flat_map(|user| (0..4).map(move |step| (user, (user + step) % 7, Some(step as i64)))).collect()
}

fn names(data: &Dataset, users: &[UserId]) -> BTreeSet<String> {
    users.iter().map(|&user| data.users.name(user).to_owned()).collect()
}

#[test]
fn a_user_disjoint_split_covers_everyone_once_with_the_asked_shares() {
    let data = dataset(40, 7, &purchases(40));
    let split = SplitRule::UserDisjoint { validation: 0.1, test: 0.25 }.split(&data, 3).unwrap();
    assert_eq!((split.train().len(), split.validation().len(), split.test().len()), (26, 4, 10));
    for user in data.users.ids() {
        let part = split.part_of(user).unwrap();
        assert!(Part::ALL.into_iter().all(|each| split.users(each).contains(&user) == (each == part)));
    }
    assert_eq!(split.part_of(UserId::from_index(40)), None);
}

#[test]
fn a_split_depends_on_the_seed_and_not_on_the_order_of_the_file() {
    let data = dataset(40, 7, &purchases(40));
    let rule = SplitRule::UserDisjoint { validation: 0.1, test: 0.25 };
    let split = rule.split(&data, 3).unwrap();
    assert_eq!(rule.split(&data, 3).unwrap().hash(), split.hash());
    assert_ne!(rule.split(&data, 4).unwrap().hash(), split.hash());

    let mut reversed = dataset(0, 7, &[]);
    for name in data.users.names().collect::<Vec<_>>().into_iter().rev() {
        reversed.users.intern(name).unwrap();
    }
    let other = rule.split(&reversed, 3).unwrap();
    assert_eq!(names(&data, split.test()), names(&reversed, other.test()));
    assert_eq!(split.hash(), other.hash());
    assert_eq!(split.hash().len(), 64);
}

#[test]
fn only_users_with_narratives_are_held_out_where_there_are_any() {
    let mut data = dataset(40, 7, &purchases(40));
    data.narratives = (30..40)
        .map(|user| Narrative {
            user: UserId::from_index(user),
            item: None,
            kind: NarrativeKind::UserSummaryShort,
            text: "text".into(),
        })
        .collect();
    let split = SplitRule::UserDisjoint { validation: 0.2, test: 0.3 }.split(&data, 0).unwrap();
    assert_eq!((split.validation().len(), split.test().len()), (2, 3));
    assert!(split.validation().iter().chain(split.test()).all(|user| user.index() >= 30));
    assert_eq!(split.train().len(), 35);
}

#[test]
fn training_interactions_hold_nothing_of_a_held_out_user() {
    let data = dataset(40, 7, &purchases(40));
    let split = SplitRule::UserDisjoint { validation: 0.1, test: 0.25 }.split(&data, 3).unwrap();
    let wals = training_interactions(&data, &split);
    assert_eq!(wals.len(), 26 * 4);
    assert!(wals.iter().all(|interaction| split.train().contains(&interaction.user)));
}

#[test]
fn impossible_shares_are_refused() {
    let data = dataset(5, 7, &purchases(5));
    for (validation, test) in [(1.0, 0.0), (-0.1, 0.2), (0.5, 0.5), (f64::NAN, 0.1)] {
        let error = SplitRule::UserDisjoint { validation, test }.split(&data, 0).unwrap_err();
        assert!(matches!(error, Error::InvalidConfig { .. }), "{error}");
    }
    let error = SplitRule::UserDisjoint { validation: 0.05, test: 0.2 }.split(&data, 0).unwrap_err();
    assert!(matches!(error, Error::EmptyPart { part: Part::Validation, available: 5 }), "{error}");
    let error = SplitRule::UserDisjoint { validation: 0.49, test: 0.5 }.split(&data, 0).unwrap_err();
    assert!(matches!(error, Error::EmptyPart { part: Part::Train, available: 5 }), "{error}");
}

#[test]
fn a_published_split_with_a_user_on_both_sides_cannot_be_built() {
    let data = dataset(5, 7, &purchases(5));
    let user = UserId::from_index;
    let error = Split::from_held_out(&data, &[user(1), user(2)], &[user(3), user(2)]).unwrap_err();
    assert!(
        matches!(&error, Error::OverlappingUser { user, first: Part::Validation, second: Part::Test } if user == "u2"),
        "{error}"
    );
    let split = Split::from_held_out(&data, &[user(1)], &[user(3)]).unwrap();
    assert_eq!(split.train(), [user(0), user(2), user(4)]);
}

#[test]
fn leave_last_out_holds_the_last_two_purchases_in_time() {
    let purchases = [(0, 3, Some(9)), (0, 1, Some(1)), (0, 2, Some(5)), (1, 4, Some(1)), (1, 5, Some(2))];
    let data = dataset(2, 7, &purchases);
    let split = SplitRule::LeaveLastOut.split(&data, 0).unwrap();
    let part = |user, item| split.part_of_pair(UserId::from_index(user), ItemId::from_index(item)).unwrap();
    assert_eq!([part(0, 1), part(0, 2), part(0, 3)], [Part::Train, Part::Validation, Part::Test]);
    assert_eq!([part(1, 4), part(1, 5)], [Part::Train; 2], "two purchases are too few to hold any out");
    assert_eq!(split.part_of(UserId::from_index(0)), None, "a user on three sides has no one part");
    assert_eq!(training_interactions(&data, &split).len(), 3);
}

#[test]
fn an_earlier_purchase_of_the_held_out_item_leaves_training_too() {
    let purchases = [(0, 3, Some(1)), (0, 1, Some(2)), (0, 2, Some(5)), (0, 3, Some(9))];
    let data = dataset(1, 7, &purchases);
    let split = SplitRule::LeaveLastOut.split(&data, 0).unwrap();
    let items: Vec<usize> =
        training_interactions(&data, &split).iter().map(|interaction| interaction.item.index()).collect();
    assert_eq!(items, [1]);
}

#[test]
fn a_temporal_cut_goes_by_time_and_needs_times() {
    let purchases = [(0, 1, Some(10)), (0, 2, Some(20)), (1, 3, Some(30)), (1, 4, Some(29))];
    let data = dataset(2, 7, &purchases);
    let rule = SplitRule::TemporalCut { validation_from: 20, test_from: 30 };
    let split = rule.split(&data, 0).unwrap();
    assert_eq!(training_interactions(&data, &split).len(), 1);
    assert_eq!(names(&data, split.validation()), BTreeSet::from(["u0".to_owned(), "u1".to_owned()]));
    assert_eq!(names(&data, split.test()), BTreeSet::from(["u1".to_owned()]));

    let timeless = dataset(1, 7, &[(0, 1, None), (0, 2, Some(3))]);
    let error = rule.split(&timeless, 0).unwrap_err();
    assert!(matches!(error, Error::NoTimes { without_time: 1, interactions: 2, .. }), "{error}");
    assert!(SplitRule::TemporalCut { validation_from: 2, test_from: 1 }.split(&data, 0).is_err());
}

#[test]
fn a_hold_out_of_last_items_keeps_the_rest_and_never_empties_a_user() {
    let mut all = purchases(3);
    all.push((3, 6, Some(1)));
    let data = dataset(4, 7, &all);
    let (train, held) = per_user_hold_out(&data, HoldOut::Last(2), 0).unwrap();
    assert_eq!((train.len(), held.len()), (7, 6));
    assert!(held.iter().all(|interaction| interaction.time >= Some(2)));
    assert!(train.iter().any(|interaction| interaction.user.index() == 3));
    let (train, _) = per_user_hold_out(&data, HoldOut::Last(99), 0).unwrap();
    assert_eq!(train.len(), 4, "one item of every user stays");
}

#[test]
fn a_random_hold_out_is_fixed_by_its_seed() {
    let data = dataset(30, 7, &purchases(30));
    let (train, held) = per_user_hold_out(&data, HoldOut::Fraction(0.25), 1).unwrap();
    assert_eq!((train.len(), held.len()), (90, 30));
    assert_eq!(per_user_hold_out(&data, HoldOut::Fraction(0.25), 1).unwrap().1, held);
    assert_ne!(per_user_hold_out(&data, HoldOut::Fraction(0.25), 2).unwrap().1, held);
    for bad in [HoldOut::Last(0), HoldOut::Fraction(0.0), HoldOut::Fraction(1.0), HoldOut::Fraction(f64::NAN)]
    {
        assert!(per_user_hold_out(&data, bad, 0).is_err(), "{bad:?}");
    }
}

#[test]
fn examples_follow_their_user_or_their_target() {
    let mut data = dataset(1, 7, &[(0, 1, Some(1)), (0, 2, Some(2)), (0, 3, Some(3))]);
    let about = |item: Option<usize>| Narrative {
        user: UserId::from_index(0),
        item: item.map(ItemId::from_index),
        kind: if item.is_some() { NarrativeKind::PurchaseReason } else { NarrativeKind::UserSummaryLong },
        text: "text".into(),
    };
    data.narratives = vec![about(Some(1)), about(Some(3)), about(None)];
    let made = crate::examples(&data, &crate::HistoryConfig::default()).unwrap();
    let split = SplitRule::LeaveLastOut.split(&data, 0).unwrap();
    let parts: Vec<_> = made.iter().map(|example| split.part_of_example(example)).collect();
    assert_eq!(parts, [Some(Part::Train), Some(Part::Test), None]);
    assert_eq!(split.select(&made, Part::Test).len(), 1);
}
