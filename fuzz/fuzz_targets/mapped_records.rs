//! JSON lines, tables and Parquet through a column mapping.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    regen_fuzz::through_mapping(
        bytes,
        "[interactions]\nfiles = [\"FILE\"]\nuser = \"user\"\nitem = \"p.item\"\nrating = \"r\"\ntime = \"t\"\n[items]\nfiles = [\"FILE\"]\nitem = \"p.item\"\ncategory = \"p.c\"\nprice = \"price\"",
    );
});
