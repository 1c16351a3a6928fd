//! Claims, where they stand in the text, and what became of them.

use std::ops::Range;

use super::units::Quantity;

/// Who or what a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The item that the narrative is about.
    Item,
    /// The user's taste or belongings ("your black desk"): the history may support it, nothing contradicts it.
    User,
    /// Something else, or the grammar does not say: never contradicted.
    Unclear,
}

/// What a text claims.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ClaimValue {
    /// A price that lies in a range: "$12.99" up to rounding, "under $20", "about $13".
    Price {
        /// Least price that the words allow.
        low: f64,
        /// Largest price that the words allow.
        high: f64,
    },
    /// The maker.
    Brand {
        /// As written.
        name: String,
        /// Whose brand it is.
        subject: Subject,
    },
    /// A colour.
    Colour {
        /// The lexicon's name, in lower case.
        name: &'static str,
        /// Whose colour it is.
        subject: Subject,
    },
    /// A length, volume or weight.
    Size(Quantity),
    /// Pieces in a package.
    Count {
        /// How many.
        pieces: u32,
    },
    /// Something that the user is said to have bought.
    Purchase {
        /// As written, without the article.
        object: String,
    },
    /// The name of a product.
    Product {
        /// As written.
        name: String,
        /// [`Subject::Item`] where the name is offered as the item ("try the X"), [`Subject::Unclear`] where it is merely
        /// mentioned: a series, a dish or a landmark is no lie.
        subject: Subject,
    },
}

/// A claim and its place in the text.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Claim {
    /// What is claimed.
    pub value: ClaimValue,
    /// Bytes of the text that state it.
    pub span: Range<usize>,
}

/// What the facts say to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A field says the same.
    Supported,
    /// An authoritative field says otherwise.
    Contradicted,
    /// No field decides.
    Unverifiable,
}

/// A field of [`Facts`](super::Facts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The item's title.
    Title,
    /// The item's brand.
    Brand,
    /// The item's colours.
    Colours,
    /// The item's sizes.
    Sizes,
    /// Pieces in a package.
    Count,
    /// The price.
    Price,
    /// The user's purchases.
    History,
}

/// A claim with its verdict.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CheckedClaim {
    /// What is claimed, and where.
    pub claim: Claim,
    /// What the facts say.
    pub verdict: Verdict,
    /// The field that decided; `None` where none did.
    pub field: Option<Field>,
}

/// All claims of one text, in order of their places.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Grounding {
    /// The claims.
    pub claims: Vec<CheckedClaim>,
}

impl Grounding {
    /// How many claims got a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.claims.iter().filter(|claim| claim.verdict == verdict).count()
    }
}
