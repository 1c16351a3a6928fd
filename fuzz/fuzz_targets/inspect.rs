//! The look at a file of any layout.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    regen_fuzz::with_file(bytes, |path| drop(regen_data::inspect(path, 100)));
});
