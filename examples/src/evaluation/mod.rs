//! What `evaluate` is made of: pairs read, metrics with intervals and tests, claims checked against a catalogue, a chat
//! model as rater, and the table.

mod bertscore;
mod facts;
mod grounding;
mod metrics;
mod pairs;
mod rating;
mod rows;
mod table;

pub use bertscore::{BertScoreChoice, bertscore_row};
pub use facts::{Catalogue, FieldTrust};
pub use grounding::veracity_row;
pub use metrics::{MetricName, Words, score, similarity_row};
pub use pairs::{About, Texts, read, same_references};
pub use rating::{RaterChoice, rater_rows};
pub use rows::{Row, Run, Settings, correct_for_many_questions};
pub use table::{print_table, write_lines, write_segments};
