//! The data card: what a person should know of a data set before they use it, counted, with histograms.

mod distribution;
mod html;
mod summary;

pub use distribution::{Bin, Distribution};
pub use summary::{CatalogueCard, Count, DataCard, NarrativeCard, SuspiciousPrice};
