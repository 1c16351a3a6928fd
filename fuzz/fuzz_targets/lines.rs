//! Lines of plain, gzip and zstd files.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    regen_fuzz::with_file(bytes, |path| {
        let Ok(mut lines) = regen_data::Lines::open(path) else { return };
        while let Ok(Some(_)) = lines.next_line() {}
    });
});
