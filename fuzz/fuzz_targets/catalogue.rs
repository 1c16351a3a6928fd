//! Amazon metadata: JSON or Python literals.
#![no_main]

use libfuzzer_sys::fuzz_target;
use regen_data::amazon::CatalogueRecords;

fuzz_target!(|bytes: &[u8]| {
    regen_fuzz::drain(bytes, |path, policy| CatalogueRecords::open(path, policy));
});
