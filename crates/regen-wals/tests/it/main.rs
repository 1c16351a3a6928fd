//! Integration tests of the factorisation: properties of the fit, ranking, search, files.

mod fit;
mod interop;
mod lapack;
mod ranking;
mod search;
mod storage;
mod world;
