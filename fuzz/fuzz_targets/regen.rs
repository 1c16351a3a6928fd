//! Nested users: REGEN and its kin.
#![no_main]

use libfuzzer_sys::fuzz_target;
use regen_data::regen::{RegenFields, RegenRecords};

fuzz_target!(|bytes: &[u8]| {
    regen_fuzz::drain(bytes, |path, policy| RegenRecords::open(path, &RegenFields::default(), policy));
});
