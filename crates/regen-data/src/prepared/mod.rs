//! The prepared folder: a data set at rest, in formats that any language reads, with checksums.
//!
//! Two forms of the tables hold the same ([`TableFormat`]): **text**, which needs nothing to be read, and **Parquet** (feature
//! `parquet`), columnar and compressed. Beside them, in both:
//!
//! | file | what it holds |
//! | --- | --- |
//! | `dataset.json` | `format` = `regen-data`, `version`, `name`, `chronology`, counts, SHA-256 of the tables; written last, so a folder without it is unfinished |
//! | `card.html`, `card.json` | the [data card](crate::DataCard), if one was made; not read back |
//!
//! Version 1, text:
//!
//! | file | what it holds |
//! | --- | --- |
//! | `users.txt` | one user name a line; line k (from 0) is the user with index k |
//! | `items.jsonl` | one item a line, in the order of the indices: `item`, and what is known of `title, brand, category, description, price` |
//! | `interactions.csv` | header `user,item,value,timestamp`, and `rating` where there are any; names, weight, seconds and stars (empty if unknown), in the order of the source |
//! | `narratives.jsonl` | `user`, `item` (null for user summaries), `kind`, `text` |
//!
//! Version 2, Parquet (zstd). `user` and `item` of the last two are rows (from 0) of the first two:
//!
//! | file | columns |
//! | --- | --- |
//! | `users.parquet` | `user` string |
//! | `items.parquet` | `item` string; optional `title`, `brand` string; `category` list of strings; optional `description` string, `price` double |
//! | `interactions.parquet` | `user`, `item` int32; `value` float; optional `timestamp` int64, seconds since 1970-01-01 UTC; in the order of the source |
//! | `narratives.parquet` | `user` int32, optional `item` int32, `kind` string, `text` string |
//!
//! A reader refuses a version that it does not know. New optional fields do not raise the version.

#[cfg(feature = "parquet")]
mod columnar;
#[cfg(feature = "parquet")]
mod columns;
mod files;
mod folder;
mod manifest;
mod text;

pub(crate) use self::files::replace;
pub use self::folder::{read, verify, write, write_as};
pub(crate) use self::manifest::MANIFEST;
pub use self::manifest::{TableFormat, VERSION};
pub use self::text::{ITEMS, write_interactions};
