//! Narrators on disk.

mod card;
mod folder;
mod parts;
mod provenance;

pub use folder::{BUNDLE_FORMAT, reseal};
pub use provenance::Provenance;
