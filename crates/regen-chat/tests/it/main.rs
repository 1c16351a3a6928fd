//! The client against a small server on the loopback, and the journal against interruptions.

mod client;
mod journal;
mod server;
