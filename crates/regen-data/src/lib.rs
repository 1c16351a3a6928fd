#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod amazon;
mod card;
mod catalogue;
mod core_filter;
mod csv_rows;
mod dataset;
mod detect;
mod error;
mod from_reviews;
mod history;
mod ids;
mod inspect;
mod joined;
mod key_phrases;
mod leaks;
mod lines;
pub mod mapping;
pub mod minionerec;
mod narratives;
mod near_duplicates;
mod parallel;
#[cfg(feature = "parquet")]
mod parquet_fence;
mod preference;
pub mod prepared;
pub mod recbole;
mod records;
pub mod regen;
pub mod sequences;
mod split;
pub mod synthetic;
mod table;
#[cfg(test)]
mod testing;
mod text;
mod time;
#[cfg(feature = "writer")]
pub mod writer;
pub mod xrec;

pub use card::{Bin, CatalogueCard, Count, DataCard, Distribution, NarrativeCard, SuspiciousPrice};
pub use catalogue::ItemMetadata;
pub use core_filter::{KCoreReport, k_core};
pub use dataset::{Chronology, Dataset, Interaction};
pub use detect::{SourceFormat, detect};
pub use error::{Error, Result};
pub use from_reviews::{BuildReport, FileReport, PriceReport, ReviewsConfig, from_reviews};
pub use history::{Example, HistoryConfig, PurchaseDetail, examples};
pub use ids::{DenseId, IdMap, ItemId, UserId};
pub use inspect::{FieldReport, Inspection, Layout, inspect};
pub use joined::{joined, qualified};
pub use key_phrases::KeyPhrases;
pub use leaks::{Leak, LeakAudit, audit_leaks};
pub use lines::Lines;
pub use narratives::{Narrative, NarrativeKind};
pub use near_duplicates::{NearDuplicateConfig, audit_near_duplicates};
pub use preference::{Duplicates, Preference};
pub use records::{OnError, Skipped};
pub use split::{HoldOut, Part, Split, SplitRule, per_user_hold_out, training_interactions};
pub use table::{Columns, InteractionRow, InteractionTable};
pub use text::{clean_text, decode_entities};
