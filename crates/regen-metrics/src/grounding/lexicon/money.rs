//! Words around sums of money.

/// Words before a sum of money that is not the item's price.
pub(in super::super) const OTHER_MONEY_BEFORE: &[&str] = &[
    "save",
    "saves",
    "saving",
    "savings",
    "order",
    "orders",
    "spend",
    "spending",
    "shipping",
    "discount",
    "win",
    "earn",
    "worth",
    "budget",
    "refund",
    "coupon",
    "deposit",
    "card",
    "cards",
    "certificate",
    "certificates",
    "delivery",
    "membership",
    "postage",
    "subscription",
    "voucher",
    "vouchers",
    "was",
    "originally",
    "instead",
    "than",
    "not",
];

/// Words after a sum of money that is not the item's price.
pub(in super::super) const OTHER_MONEY_AFTER: &[&str] = &[
    "each", "per", "apiece", "/", "shipping", "fee", "charge", "off", "gift", "coupon", "discount",
    "voucher", "rebate", "bill", "budget", "cheaper", "less", "more", "cashback",
];

/// Words of a limit above, below and around a price. Those of two words are joined by a space.
pub(in super::super) const AT_MOST: &[&str] = &[
    "under",
    "below",
    "less than",
    "up to",
    "at most",
    "within",
    "beneath",
    "not even",
    "short of",
    "shy of",
];
/// See [`AT_MOST`].
pub(in super::super) const AT_LEAST: &[&str] =
    &["over", "above", "more than", "at least", "starting at", "upwards of", "exceeding"];
/// See [`AT_MOST`].
pub(in super::super) const ABOUT: &[&str] = &[
    "about",
    "around",
    "roughly",
    "approximately",
    "nearly",
    "almost",
    "some",
    "close to",
    "circa",
    "approx",
    "or take",
];
