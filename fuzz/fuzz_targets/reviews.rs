//! Amazon reviews of any release, plain or compressed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use regen_data::amazon::Reviews;

fuzz_target!(|bytes: &[u8]| {
    regen_fuzz::drain(bytes, |path, policy| Reviews::open(path, policy));
});
