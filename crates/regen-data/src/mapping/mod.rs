//! Any own catalogue: which of its fields mean what is said once, in a TOML file, and the files are read through it.
//!
//! Files are JSON lines, tables (comma, tab or another separator) or, with the feature `parquet`, Parquet; plain, gzip
//! or zstd. Which it is is told by the content, not by the name. See [`Mapping`] for the keys.

mod cells;
mod config;
#[cfg(feature = "parquet")]
mod parquet;
mod read;
mod rows;
mod table;
mod times;

pub use config::{InteractionFields, ItemFields, Mapping, NarrativeFields, TableLayout};
pub use times::{DateOrder, TimeUnit};
