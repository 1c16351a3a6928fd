//! Small data sets for the unit tests.

use crate::{Dataset, IdMap, Interaction, ItemId, UserId};

/// `users` named `u0…`, `items` named `i0…`, purchases `(user, item, time)`.
pub(crate) fn dataset(users: usize, items: usize, purchases: &[(usize, usize, Option<i64>)]) -> Dataset {
    let mut data = Dataset { name: "test".into(), ..Default::default() };
    let mut user_names = IdMap::new();
    for user in 0..users {
        user_names.intern(&format!("u{user}")).unwrap();
    }
    for item in 0..items {
        data.items.intern(&format!("i{item}")).unwrap();
    }
    data.users = user_names;
    data.catalogue = vec![None; items];
    data.interactions = purchases
        .iter()
        .map(|&(user, item, time)| Interaction {
            user: UserId::from_index(user),
            item: ItemId::from_index(item),
            weight: 1.0,
            time,
            rating: None,
        })
        .collect();
    data
}
