//! Integration tests of the factorisation: properties of the fit, ranking, search, files, shards.

mod content;
mod fit;
mod golden;
mod interop;
mod lapack;
mod ranking;
mod search;
mod shards;
mod storage;
mod world;
