//! What the answers come to: means or win rates with intervals, tests between systems, agreement of the raters.

mod agreement;
mod preferences;
mod scores;
mod summary;
mod table;
mod units;

pub use agreement::{Agreement, PairOfRaters};
pub use preferences::Preference;
pub use scores::{Contrast, MeanScore};
pub use summary::{Progress, Results, evaluate};
