//! Integration tests of the factorisation: properties of the fit, ranking, search, files, shards.

mod content;
mod damage;
mod fit;
#[cfg(target_os = "linux")]
mod full_disk;
mod golden;
mod interop;
mod lapack;
mod limits;
mod ranking;
mod search;
mod shards;
mod storage;
mod threads;
mod world;
