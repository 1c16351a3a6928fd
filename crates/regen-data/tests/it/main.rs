//! Integration tests of regen-data: files in, data sets out.

mod amazon;
mod mapping;
mod nested;
#[cfg(feature = "parquet")]
mod parquet_files;
mod prepared;
mod properties;
mod real;
mod releases;
#[cfg(feature = "writer")]
mod server;
#[cfg(feature = "writer")]
mod writer;
