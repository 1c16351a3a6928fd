//! Users with nested histories, one a line, as the REGEN release has them:
//!
//! ```json
//! {"reviewer_id": "A1", "purchase_history": [{"item": {"asin": "B1", "title": "Pen", "category": "Office - Pens",
//!   "price": 3.5}, "review": {"summary": "good", "rating": 5, "text": "…", "unix_time": 1400000000}}],
//!  "user": {"profile": "…", "long_summary": "…"}, "last_purchase": {"item": {"asin": "B2"}, "purchase_reason": "…"}}
//! ```
//!
//! What stands inside `last_purchase` is not documented publicly, and mirrors rename fields. So every name is a setting
//! ([`RegenFields`]), a [`RegenRecord`] keeps the fields that nobody asked for and writes them back, and
//! [`inspect`](crate::inspect()) shows what a file really has.

mod fields;
mod read;
mod record;

pub use fields::{NarrativeField, RegenFields};
pub use read::read;
pub use record::{RegenPurchase, RegenRecord, RegenRecords};
