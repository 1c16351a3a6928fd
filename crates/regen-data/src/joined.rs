//! Several data sets as one, so that one model can learn from all of them.

use crate::{Chronology, Dataset, Error, Interaction, Narrative, Result};

/// The union of `parts`, each under a label that comes before its names: user `7` of the part `books` becomes `books:7`. The
/// parts keep their order, so ids of the first part do not change.
///
/// No user and no item stands in two parts, even where two parts use the same name: nothing says that they are the same. The
/// chronology is [`Chronology::Known`] if that of every part is.
///
/// # Errors
/// [`Error::RepeatedLabel`] for a label of two parts; [`Error::TooManyIds`].
///
/// ```
/// use regen_data::{Dataset, joined};
/// let (mut books, mut places) = (Dataset::default(), Dataset::default());
/// books.users.intern("7")?;
/// places.users.intern("7")?;
/// let both = joined("both", &[("books", &books), ("places", &places)])?;
/// assert_eq!(both.users.names().collect::<Vec<_>>(), ["books:7", "places:7"]);
/// # Ok::<(), regen_data::Error>(())
/// ```
pub fn joined(name: &str, parts: &[(&str, &Dataset)]) -> Result<Dataset> {
    let mut whole = Dataset { name: name.to_owned(), ..Default::default() };
    for (index, &(label, part)) in parts.iter().enumerate() {
        if parts[..index].iter().any(|(earlier, _)| *earlier == label) {
            return Err(Error::RepeatedLabel { label: label.to_owned() });
        }
        if part.chronology == Chronology::Unknown {
            whole.chronology = Chronology::Unknown;
        }
        let users: Vec<_> = part
            .users
            .names()
            .map(|name| whole.users.intern(&qualified(label, name)))
            .collect::<Result<_>>()?;
        let items: Vec<_> = part
            .items
            .names()
            .map(|name| whole.items.intern(&qualified(label, name)))
            .collect::<Result<_>>()?;
        whole.interactions.extend(part.interactions.iter().map(|one| Interaction {
            user: users[one.user.index()],
            item: items[one.item.index()],
            ..*one
        }));
        whole.catalogue.extend(part.catalogue.iter().cloned());
        whole.narratives.extend(part.narratives.iter().map(|one| Narrative {
            user: users[one.user.index()],
            item: one.item.map(|item| items[item.index()]),
            ..one.clone()
        }));
    }
    Ok(whole)
}

/// The name that a user or an item of the part `label` has in a [`joined`] data set.
pub fn qualified(label: &str, name: &str) -> String {
    format!("{label}:{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ItemMetadata, NarrativeKind};

    fn part(users: &[&str], items: &[&str], chronology: Chronology) -> Dataset {
        let mut data = Dataset { chronology, ..Default::default() };
        for name in users {
            data.users.intern(name).unwrap();
        }
        for name in items {
            let item = data.items.intern(name).unwrap();
            let title = Some(format!("the {name}"));
            data.catalogue.push(Some(ItemMetadata { title, ..Default::default() }));
            for user in data.users.ids() {
                let (weight, time, rating) = (2.0, Some(5), Some(4.0));
                data.interactions.push(Interaction { user, item, weight, time, rating });
                let (kind, text) = (NarrativeKind::PurchaseReason, format!("why {name}"));
                data.narratives.push(Narrative { user, item: Some(item), kind, text });
            }
        }
        data
    }

    #[test]
    fn each_part_keeps_what_it_holds_under_names_of_its_own() {
        let books = part(&["7", "8"], &["1"], Chronology::Known);
        let places = part(&["7"], &["1", "2"], Chronology::Unknown);
        let both = joined("both", &[("books", &books), ("places", &places)]).unwrap();
        assert_eq!(both.users.names().collect::<Vec<_>>(), ["books:7", "books:8", "places:7"]);
        assert_eq!(both.items.names().collect::<Vec<_>>(), ["books:1", "places:1", "places:2"]);
        assert_eq!(both.chronology, Chronology::Unknown);
        assert_eq!(both.interactions.len(), books.interactions.len() + places.interactions.len());
        // The parts, read back by name, are what they were.
        let named = |data: &Dataset| -> Vec<(String, String, Option<String>)> {
            let purchases = data.interactions.iter();
            let told = purchases.map(|one| {
                let label = data.item_label(one.item).to_owned();
                (data.users.name(one.user).to_owned(), label, one.time.map(|time| time.to_string()))
            });
            told.collect()
        };
        let (of_both, of_books, of_places) = (named(&both), named(&books), named(&places));
        let expected = of_books.into_iter().map(|(user, item, time)| (qualified("books", &user), item, time));
        let more = of_places.into_iter().map(|(user, item, time)| (qualified("places", &user), item, time));
        assert_eq!(of_both, expected.chain(more).collect::<Vec<_>>());
        assert!(both.narratives.iter().all(|one| {
            let label = both.item_label(one.item.unwrap());
            one.text == label.replacen("the", "why", 1)
        }));
    }

    #[test]
    fn two_parts_of_one_label_are_refused_and_no_part_is_an_empty_whole() {
        let books = part(&["7"], &["1"], Chronology::Known);
        let error = joined("both", &[("books", &books), ("books", &books)]).unwrap_err();
        assert!(error.to_string().contains("books"), "{error}");
        assert_eq!(joined("none", &[]).unwrap(), Dataset { name: "none".into(), ..Default::default() });
    }
}
