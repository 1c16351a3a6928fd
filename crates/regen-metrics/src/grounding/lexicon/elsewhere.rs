//! Words of what belongs to the user or is a place: no claims about the item. All in lower case.

/// Words of what was ordered or is owned already.
pub(in super::super) const ORDERS: &[&str] = &[
    "order",
    "orders",
    "ordered",
    "purchase",
    "purchases",
    "purchased",
    "bought",
    "owner",
    "history",
    "own",
    "owned",
];

/// Whose orders they are.
pub(in super::super) const BUYERS_OR_THEIRS: &[&str] =
    &["you", "you've", "your", "user", "shopper", "buyer", "customer", "they", "their"];

/// Last words of names of places, which are no products.
pub(in super::super) const PLACES: &[&str] = &[
    "bridge",
    "river",
    "street",
    "avenue",
    "park",
    "valley",
    "coast",
    "museum",
    "square",
    "lake",
    "island",
    "beach",
    "bay",
    "mountain",
    "mountains",
    "city",
];

/// What can be bought, had and owned without a shop.
pub(in super::super) const ABSTRACT: &[&str] = &[
    "calm",
    "freedom",
    "fun",
    "happiness",
    "help",
    "hope",
    "joy",
    "luck",
    "patience",
    "peace",
    "quality",
    "quiet",
    "space",
    "time",
    "trust",
];

/// Words before the name of a person.
pub(in super::super) const PERSONS: &[&str] = &[
    "aunt",
    "author",
    "brother",
    "captain",
    "chef",
    "dr",
    "king",
    "miss",
    "mr",
    "mrs",
    "ms",
    "president",
    "prince",
    "princess",
    "queen",
    "saint",
    "sister",
    "st",
    "uncle",
];

/// Nouns of what somebody recommends, before the name of it.
pub(in super::super) const RECOMMENDATIONS: &[&str] =
    &["choice", "favorite", "favourite", "pick", "proposal", "recommendation", "suggestion", "tip"];
