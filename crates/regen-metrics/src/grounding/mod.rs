//! Whether a narrative tells the truth: claims are found in the text, each with its span, and checked against what is
//! known of the item and of the user's purchases.
//!
//! ```
//! use regen_metrics::grounding::{Facts, Grounder, Known, Verdict, veracity};
//!
//! let facts = Facts {
//!     brand: Some(Known::authoritative("Kestrel".into())),
//!     colours: Some(Known::authoritative(vec!["teal".into()])),
//!     price: Some(Known::authoritative(12.99)),
//!     ..Facts::default()
//! };
//! let text = "The teal stapler by Kestrel costs only $9.50.";
//! let grounding = Grounder::with_brands(&["Halden"]).check(text, &facts);
//! let price = grounding.claims.iter().find(|claim| claim.verdict == Verdict::Contradicted).unwrap();
//! assert_eq!(&text[price.claim.span.clone()], "$9.50");
//! assert_eq!(veracity(&[grounding])?.value(), 2.0 / 3.0);
//! # Ok::<(), regen_metrics::Error>(())
//! ```

mod check;
mod claim;
mod extract;
mod facts;
mod grounder;
mod lexicon;
mod tokens;
mod units;
mod veracity;

pub use claim::{CheckedClaim, Claim, ClaimValue, Field, Grounding, Subject, Verdict};
pub use facts::{Facts, Known, Trust};
pub use grounder::Grounder;
pub use units::{Quantity, Unit};
pub use veracity::{Veracity, VeracityScore, VeracityStats, veracity};
