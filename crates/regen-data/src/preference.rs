//! From stars to implicit feedback: which reviews count as a purchase that speaks for the item, and how much.

use serde::{Deserialize, Serialize};

/// What a rating says about a preference.
///
/// Matrix factorisation for implicit feedback wants interactions that speak for an item, with a weight. A review
/// proves a purchase; whether a bad one speaks for the item is a choice, and it is this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Preference {
    /// Every review is a purchase of weight 1, whatever its stars. What REGEN does: its histories hold all purchases.
    #[default]
    Every,
    /// Reviews of at least this many stars have weight 1, others do not count. Usual: 4 of 5.
    AtLeast(f32),
    /// The weight is the number of stars: a review of 5 counts five times as much as one of 1. Reviews of no or
    /// negative stars do not count.
    Stars,
}

impl Preference {
    /// The weight of a review with `rating` stars, or `None` if it does not count. A review without stars counts
    /// under [`Preference::Every`] alone.
    ///
    /// ```
    /// use regen_data::Preference;
    /// assert_eq!(Preference::Every.weight(Some(1.0)), Some(1.0));
    /// assert_eq!(Preference::AtLeast(4.0).weight(Some(3.0)), None);
    /// assert_eq!(Preference::Stars.weight(Some(3.0)), Some(3.0));
    /// assert_eq!(Preference::Stars.weight(None), None);
    /// ```
    pub fn weight(self, rating: Option<f32>) -> Option<f32> {
        match self {
            Self::Every => Some(1.0),
            Self::AtLeast(least) => rating.filter(|&stars| stars >= least).map(|_| 1.0),
            Self::Stars => rating.filter(|&stars| stars > 0.0 && stars.is_finite()),
        }
    }
}

/// What happens when one user reviewed one item several times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// The latest stays (of equal times the last in the files): shops repeat a review for each variant of an item.
    #[default]
    Latest,
    /// All stay: the user bought the item again.
    Keep,
}
