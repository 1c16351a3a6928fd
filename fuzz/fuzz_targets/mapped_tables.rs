//! Tables of a said layout through a column mapping.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    regen_fuzz::through_mapping(
        bytes,
        "[interactions]\nfiles = [\"FILE\"]\ntable = { header = [\"a\", \"b\", \"c\", \"d\"], separator = \";\" }\nuser = \"a\"\nitem = \"b\"\nrating = \"c\"\ntime = \"d\"",
    );
});
