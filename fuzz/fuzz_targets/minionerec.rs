//! A folder of MiniOneRec histories.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(folder) = tempfile::tempdir() else { return };
    // The first half is one file, the second the other.
    let (one, other) = bytes.split_at(bytes.len() / 2);
    for (name, part) in [("train.csv", one), ("item.json", other)] {
        if std::fs::write(folder.path().join(name), part).is_err() {
            return;
        }
    }
    let _ = regen_data::minionerec::read(folder.path());
});
