//! An automated rater: a chat model judges narratives by rubrics, one at a time or in pairs, several times each, and
//! its agreement with people is measured. Only with the feature `rater`.
//!
//! ```no_run
//! use regen_chat::{ChatModel, Journal};
//! use regen_metrics::Bootstrap;
//! use regen_metrics::rater::{Case, NarrativeKind, Rater, RaterConfig, Rubric};
//!
//! # fn rate(client: impl ChatModel + Sync + Send) -> Result<(), Box<dyn std::error::Error>> {
//! // The journal makes the run resumable and counts its tokens.
//! let rater = Rater::new(Journal::open(client, "ratings.jsonl")?, Rubric::standard(), RaterConfig::seeded(7))?;
//! let case = Case {
//!     kind: NarrativeKind::PurchaseReason,
//!     item: "Kestrel GripLine Gel Pen, 0.7 mm, Teal, 12-Pack".into(),
//!     history: vec!["Halden Stapler, Black".into()],
//!     context: None,
//! };
//! let ratings = rater.rate_all(&[(case, "They write a lot and like fine lines.")])?;
//! for summary in ratings.summaries(&Bootstrap::seeded(7))? {
//!     println!("{} {:.2} ± {:.2}", summary.attribute, summary.mean, summary.interval.standard_error);
//! }
//! # Ok(())
//! # }
//! ```

mod ask;
mod human;
mod pairwise;
mod parse;
mod pointwise;
mod prompt;
mod rating;
mod repeats;
mod settings;

pub use crate::rubric::{Attribute, Case, NarrativeKind, Rubric};
pub use ask::Outcome;
pub use human::HumanAgreement;
pub use pairwise::{Comparisons, Preference, PreferenceSummary};
pub use parse::{Choice, Choices, Judgement, Scores, Verdict};
pub use rating::{AttributeSummary, Rating, Ratings};
pub use repeats::Repeats;
pub use settings::{Rater, RaterConfig};
