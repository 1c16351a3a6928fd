//! What the caller knows of the item and the user, and how far each field may be relied upon.

use super::units::Quantity;

/// How far a field may be relied upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// The field is right and complete: a claim that differs from it is wrong.
    Authoritative,
    /// The field is right as far as it goes, such as one colour of several or a history cut to its last purchases: it
    /// can support a claim, but what it lacks may still be true.
    Indicative,
}

/// A value with the trust it deserves.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Known<T> {
    /// What the field says.
    pub value: T,
    /// How far it may be relied upon.
    pub trust: Trust,
}

impl<T> Known<T> {
    /// A value that is right and complete.
    pub fn authoritative(value: T) -> Self {
        Self { value, trust: Trust::Authoritative }
    }

    /// A value that is right but may not be all.
    pub fn indicative(value: T) -> Self {
        Self { value, trust: Trust::Indicative }
    }
}

/// Everything that claims are checked against. `None` is a field that nothing is known of: claims about it are
/// unverifiable, unless the title mentions what they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The item's title as in the catalogue.
    pub title: Option<Known<String>>,
    /// The item's brand.
    pub brand: Option<Known<String>>,
    /// The item's colours, in the catalogue's words.
    pub colours: Option<Known<Vec<String>>>,
    /// The item's sizes: lengths, volumes, weights.
    pub sizes: Option<Known<Vec<Quantity>>>,
    /// How many pieces a package holds.
    pub count: Option<Known<u32>>,
    /// The price, in the currency of the narratives; currencies are not converted.
    pub price: Option<Known<f64>>,
    /// Titles of what the user bought before.
    pub history: Option<Known<Vec<String>>>,
}

impl Facts {
    /// The titles of the user's purchases, none where nothing is known.
    pub(super) fn purchases(&self) -> &[String] {
        self.history.as_ref().map_or(&[], |history| &history.value)
    }

    /// The item's title, empty where nothing is known.
    pub(super) fn title(&self) -> &str {
        self.title.as_ref().map_or("", |title| &title.value)
    }
}
