//! The text of a column mapping.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = regen_data::mapping::Mapping::parse(text);
    }
});
