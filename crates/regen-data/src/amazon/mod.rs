//! The Amazon review releases of 2014, 2018 and 2023: reviews ([`Reviews`]) and product metadata
//! ([`CatalogueRecords`]), JSON lines, plain or compressed.
//!
//! One reader serves all three releases, since their field names do not clash:
//!
//! | | 2014 | 2018 | 2023 |
//! | --- | --- | --- | --- |
//! | user | `reviewerID` | `reviewerID` | `user_id` |
//! | item | `asin` | `asin` | `parent_asin` (what the metadata goes by), else `asin` |
//! | rating | `overall` | `overall` | `rating` |
//! | heading, text | `summary`, `reviewText` | `summary`, `reviewText` | `title`, `text` |
//! | time | `unixReviewTime`, seconds | `unixReviewTime`, seconds | `timestamp`, milliseconds |
//! | verified | | `verified` | `verified_purchase` |
//! | helpful votes | `helpful`: `[yes, all]` | `vote`: `"1,234"` | `helpful_vote` |
//! | brand | `brand` | `brand` | `store` |
//! | category | `categories`: list of paths | `category`: path | `categories`: path, `main_category` |
//! | price | number | `"$12.99"`, `"$1 - $5"`, CSS, empty | number, `"from 12.99"`, null |
//!
//! **Source** Ni, Li, McAuley, "Justifying Recommendations using Distantly-Labeled Reviews and Fine-Grained Aspects"
//! (2019) for 2018; Hou et al., "Bridging Language and Items for Retrieval and Recommendation" (2024) for 2023.

mod metadata;
mod price;
pub(crate) mod python;
mod reviews;
mod values;

pub(crate) use metadata::category_levels;
pub use metadata::{CatalogueRecord, CatalogueRecords};
pub use price::Price;
pub use reviews::{Review, ReviewRef, Reviews};
