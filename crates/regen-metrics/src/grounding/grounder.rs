//! The whole: claims of a text, each checked.

use super::check::check;
use super::claim::{CheckedClaim, Grounding};
use super::extract::{Words, extract, tokens_of};
use super::facts::Facts;

/// Finds claims and checks them. Knows the brands of the catalogue, because an unknown name is a brand only where the
/// grammar says so ("made by X").
///
/// The text is English. Found are prices, brands, colours, sizes with units, counts of pieces, purchases and product
/// names; denials and comparisons ("not red", "unlike X") are no claims, nor are other sums ("save $5"), distances,
/// dates and idioms ("a red letter day"). Anything else that a text may say, such as how well a thing works, is not
/// judged here.
#[derive(Clone, Debug, Default)]
pub struct Grounder {
    brands: Vec<Vec<String>>,
}

impl Grounder {
    /// A grounder that knows no brands but that of each item.
    pub fn new() -> Self {
        Self::default()
    }

    /// A grounder that knows the brands of a catalogue, in the catalogue's spelling.
    pub fn with_brands<S: AsRef<str>>(brands: &[S]) -> Self {
        Self { brands: brands.iter().map(|brand| tokens_of(brand.as_ref())).collect() }
    }

    /// The claims of `text`, in order of their places, checked against `facts`.
    pub fn check(&self, text: &str, facts: &Facts) -> Grounding {
        let words = Words::new(&self.brands, facts);
        let claims = extract(text, &words)
            .into_iter()
            .map(|claim| {
                let (verdict, field) = check(&claim.value, facts, &words);
                CheckedClaim { claim, verdict, field }
            })
            .collect();
        Grounding { claims }
    }
}
