//! Integration tests of regen-data: files in, data sets out.

mod amazon;
mod real;
mod releases;
