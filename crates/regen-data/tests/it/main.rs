//! Integration tests of regen-data: files in, data sets out.

mod real;
mod releases;
