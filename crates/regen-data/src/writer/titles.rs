//! Finding names of products in a text.

use std::collections::{HashMap, HashSet};

use super::checks::words;
use crate::{Dataset, ItemId};

/// The beginnings of all titles, by their first word.
pub(super) struct Titles {
    by_first: HashMap<String, Vec<(Vec<String>, ItemId)>>,
}

/// The part of a title by which people know a product: up to the first separator, at most six words.
fn head(title: &str) -> Vec<String> {
    let end = title.find([',', '(', '[', '|', ';', ':']).unwrap_or(title.len());
    let end = title[..end].find(" - ").unwrap_or(end);
    let lower = title[..end].to_lowercase();
    words(&lower).into_iter().take(6).map(str::to_owned).collect()
}

impl Titles {
    pub(super) fn of(dataset: &Dataset) -> Self {
        let mut by_first: HashMap<String, Vec<(Vec<String>, ItemId)>> = HashMap::new();
        for (index, item) in dataset.catalogue.iter().enumerate() {
            let Some(title) = item.as_ref().and_then(|item| item.title.as_deref()) else { continue };
            let head = head(title);
            // A single word ("Stapler") names a sort of thing, not a product.
            if head.len() >= 2 {
                by_first.entry(head[0].clone()).or_default().push((head, ItemId::from_index(index)));
            }
        }
        Self { by_first }
    }

    /// The first product that `text` names and that is not one of `allowed`, nor of the same name as one of them, nor
    /// part of such a name.
    pub(super) fn other(&self, text: &str, allowed: &[ItemId], dataset: &Dataset) -> Option<ItemId> {
        let lower = text.to_lowercase();
        let text = words(&lower);
        let allowed_items: HashSet<ItemId> = allowed.iter().copied().collect();
        let known: Vec<String> = allowed
            .iter()
            .filter_map(|item| dataset.catalogue.get(item.index())?.as_ref()?.text())
            .map(|text| format!(" {} ", words(&text.to_lowercase()).join(" ")))
            .collect();
        for (at, word) in text.iter().enumerate() {
            for (head, item) in self.by_first.get(*word).into_iter().flatten() {
                let here = text[at..].len() >= head.len() && text[at..].iter().zip(head).all(|(a, b)| a == b);
                let shown = format!(" {} ", head.join(" "));
                if here && !allowed_items.contains(item) && !known.iter().any(|known| known.contains(&shown))
                {
                    return Some(*item);
                }
            }
        }
        None
    }
}
