#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod answer;
mod error;
mod export;
mod input;
mod order;
pub mod results;
mod server;
mod store;
mod study;

pub use answer::{Answer, Answered, Rater};
pub use error::{Error, Result};
pub use export::export;
pub use input::{REFERENCE, Texts};
pub use order::{Assigned, order_of};
pub use results::evaluate;
pub use server::Server;
pub use store::Store;
pub use study::{Design, Shown, Study, StudyCase, StudyConfig, Task};
