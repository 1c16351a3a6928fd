#![doc = include_str!("../README.md")]

mod attention;
mod attention_back;
mod back;
mod entropy;
mod level;
mod math;
mod matrix;
mod multiply;
mod outer;
mod pack;
mod panels;
mod rows;
mod shared;
mod spare;
#[cfg(target_arch = "x86_64")]
#[path = "x86.rs"]
mod tiles;
#[cfg(not(target_arch = "x86_64"))]
#[path = "none.rs"]
mod tiles;

pub use attention::{Attention, AttentionScratch, Sight, Strided};
pub use attention_back::AttentionBackScratch;
pub use back::{turn_back, turn_with};
pub use entropy::cross_entropy;
pub use level::{Level, Work};
pub use math::{Activation, exp};
pub use matrix::{Linear, Matrix, Storage};
pub use multiply::Scratch;
pub use outer::{ColumnScratch, column_sums};
pub use rows::{NormKind, RowNorm, add, dot, log_sum_exp, turn};
pub use spare::Spare;
