//! Integration tests of the factorisation: properties of the fit, ranking, files.

mod fit;
mod lapack;
mod ranking;
mod storage;
mod world;
