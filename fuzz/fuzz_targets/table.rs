//! Interaction tables.
#![no_main]

use libfuzzer_sys::fuzz_target;
use regen_data::{Columns, InteractionTable};

fuzz_target!(|bytes: &[u8]| {
    regen_fuzz::drain(bytes, |path, _| InteractionTable::open(path, &Columns::default()));
});
