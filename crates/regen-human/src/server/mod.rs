//! The page and what it asks for, over HTTP on the loopback address only.

mod api;
mod guard;
mod reply;
mod serve;

pub use serve::Server;
