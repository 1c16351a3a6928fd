//! What a narrative is judged against.

/// The kinds of narrative of the REGEN data set, under the same names.
///
/// **Source** Sayana et al. 2024, *Beyond Retrieval: Generating Narratives in Conversational Recommender Systems*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NarrativeKind {
    /// Why the user bought the item, in a sentence.
    PurchaseReason,
    /// The purchase reason, with its grounds in the history.
    PurchaseReasonExplanation,
    /// A sentence that recommends the item.
    EndorsementShort,
    /// A paragraph that recommends the item.
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

    /// Whether the text is about one item; user summaries look at the history alone.
    pub fn uses_item(self) -> bool {
        !matches!(self, Self::UserSummaryShort | Self::UserSummaryLong)
    }

    /// The task that the text was written for, as an instruction: "recommend the item to this user in one sentence".
    pub fn task(self) -> &'static str {
        match self {
            Self::PurchaseReason => "say in one sentence why this user bought the item",
            Self::PurchaseReasonExplanation => {
                "explain why this user bought the item, with grounds in the earlier purchases"
            }
            Self::EndorsementShort => "recommend the item to this user in one sentence",
            Self::EndorsementLong => "recommend the item to this user in a paragraph",
            Self::UserSummaryShort => "say in one sentence who this user is as a buyer",
            Self::UserSummaryLong => "describe in a paragraph who this user is as a buyer",
            Self::Critique => {
                "say in the user's words what should be different about the last purchase to arrive at the item"
            }
        }
    }
}

/// All that the rater may hold against a narrative. What is not here is unknown to it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Case {
    /// What the text was meant to be.
    pub kind: NarrativeKind,
    /// The item's metadata, in words; ignored for user summaries.
    pub item: String,
    /// The user's earlier purchases, oldest first.
    pub history: Vec<String>,
    /// The immediate context, such as what the user has just asked for; `None` for the item alone.
    pub context: Option<String>,
}
