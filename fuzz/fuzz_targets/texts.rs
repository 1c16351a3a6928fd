//! Cleaning of texts and prices.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let _ = regen_data::decode_entities(&text);
    let _ = regen_data::clean_text(&text);
    let _ = regen_data::amazon::Price::parse(&text);
});
