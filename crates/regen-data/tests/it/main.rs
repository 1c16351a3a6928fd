//! Integration tests of regen-data: files in, data sets out.

mod amazon;
mod nested;
mod prepared;
mod properties;
mod real;
mod releases;
