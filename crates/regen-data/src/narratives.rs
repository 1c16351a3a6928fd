//! The texts that a narrator learns to write, and what each kind may look at.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, ItemId, Result, UserId};

/// The kinds of narrative of the REGEN data set.
///
/// **Source** Sayana et al., "Beyond Retrieval: Generating Narratives in Conversational Recommender Systems" (2024),
/// sections 3.1 and 3.2; critiques from the REGEN data set that accompanies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NarrativeKind {
    /// Why the user bought the item, in a sentence.
    PurchaseReason,
    /// The purchase reason, with its grounds in the history.
    PurchaseReasonExplanation,
    /// A sentence that recommends the item to the user.
    EndorsementShort,
    /// A paragraph that recommends the item to the user.
    EndorsementLong,
    /// Who the user is, in a sentence.
    UserSummaryShort,
    /// Who the user is, in a paragraph.
    UserSummaryLong,
    /// What the user would change about one item to arrive at the next.
    Critique,
}

impl NarrativeKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::PurchaseReason,
        Self::PurchaseReasonExplanation,
        Self::EndorsementShort,
        Self::EndorsementLong,
        Self::UserSummaryShort,
        Self::UserSummaryLong,
        Self::Critique,
    ];

    /// The name in files and on command lines: `purchase_reason`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PurchaseReason => "purchase_reason",
            Self::PurchaseReasonExplanation => "purchase_reason_explanation",
            Self::EndorsementShort => "endorsement_short",
            Self::EndorsementLong => "endorsement_long",
            Self::UserSummaryShort => "user_summary_short",
            Self::UserSummaryLong => "user_summary_long",
            Self::Critique => "critique",
        }
    }

    /// Whether the text is about one item (the target), seen against the history; user summaries look at the
    /// history alone.
    pub fn uses_immediate_context(self) -> bool {
        !matches!(self, Self::UserSummaryShort | Self::UserSummaryLong)
    }
}

impl fmt::Display for NarrativeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for NarrativeKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| Error::UnknownName {
            what: "narrative kind",
            got: name.to_owned(),
            expected: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

/// One text about one user, and about one item where the kind asks for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Narrative {
    /// Whom it is about.
    pub user: UserId,
    /// What it is about; `None` exactly for user summaries.
    pub item: Option<ItemId>,
    /// What kind of text it is.
    pub kind: NarrativeKind,
    /// The text.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_agree_with_serde() {
        for kind in NarrativeKind::ALL {
            assert_eq!(kind.as_str().parse::<NarrativeKind>().unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert!(matches!("Purchase".parse::<NarrativeKind>(), Err(Error::UnknownName { .. })));
    }
}
