//! What the fields of a nested release are called.

use serde::{Deserialize, Serialize};

use crate::NarrativeKind;

/// Where a text stands in a record, and of which kind it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NarrativeField {
    /// The kind. Those about an item are about the last purchase.
    pub kind: NarrativeKind,
    /// The field, from the record on: `last_purchase.purchase_reason`.
    pub path: String,
}

/// The names of the fields. A dot goes into an object: `item.asin`. Fields of purchases start at the purchase, others
/// at the record. Optional ones may be `None`, and may be absent from a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegenFields {
    /// The user's name; required in every record.
    pub user: String,
    /// The list of purchases, oldest first; required in every record.
    pub history: String,
    /// The last purchase, if it stands apart from the history. Appended to it unless it repeats its end.
    pub last: Option<String>,
    /// The item's name; required in every purchase of the history.
    pub item: String,
    /// The item's title.
    pub title: Option<String>,
    /// Its brand.
    pub brand: Option<String>,
    /// Its category: a list, or one string joined by ` - `.
    pub category: Option<String>,
    /// Its price: a number or a string, see [`Price`](crate::amazon::Price).
    pub price: Option<String>,
    /// The stars that the user gave.
    pub rating: Option<String>,
    /// The time, in seconds or milliseconds.
    pub time: Option<String>,
    /// The texts.
    pub narratives: Vec<NarrativeField>,
}

impl Default for RegenFields {
    /// The REGEN release, as far as its fields are known. The names inside `last_purchase` are presumed.
    fn default() -> Self {
        let narrative = |kind, path: &str| NarrativeField { kind, path: path.into() };
        Self {
            user: "reviewer_id".into(),
            history: "purchase_history".into(),
            last: Some("last_purchase".into()),
            item: "item.asin".into(),
            title: Some("item.title".into()),
            brand: None,
            category: Some("item.category".into()),
            price: Some("item.price".into()),
            rating: Some("review.rating".into()),
            time: Some("review.unix_time".into()),
            narratives: vec![
                narrative(NarrativeKind::UserSummaryShort, "user.profile"),
                narrative(NarrativeKind::UserSummaryLong, "user.long_summary"),
                narrative(NarrativeKind::PurchaseReason, "last_purchase.purchase_reason"),
                narrative(
                    NarrativeKind::PurchaseReasonExplanation,
                    "last_purchase.purchase_reason_explanation",
                ),
                narrative(NarrativeKind::EndorsementShort, "last_purchase.endorsement_short"),
                narrative(NarrativeKind::EndorsementLong, "last_purchase.endorsement_long"),
            ],
        }
    }
}

impl RegenFields {
    /// Nested users of the Amazon 2023 release with one purchase held out: `user_id`, `history`, `heldout`, no
    /// narratives.
    pub fn amazon_2023_users() -> Self {
        Self {
            user: "user_id".into(),
            history: "history".into(),
            last: Some("heldout".into()),
            item: "parent_asin".into(),
            title: Some("product.title".into()),
            brand: Some("product.brand".into()),
            category: Some("product.main_category".into()),
            price: Some("product.price".into()),
            rating: Some("rating".into()),
            time: Some("timestamp_ms".into()),
            narratives: Vec::new(),
        }
    }
}
