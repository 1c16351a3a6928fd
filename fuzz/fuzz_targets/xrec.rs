//! A folder of the XRec release.
#![no_main]

use libfuzzer_sys::fuzz_target;
use regen_data::xrec::{self, Vertical};

fuzz_target!(|bytes: &[u8]| {
    let Ok(folder) = tempfile::tempdir() else { return };
    // The first half is one file, the second the other.
    let (one, other) = bytes.split_at(bytes.len() / 2);
    for (name, part) in [("amazon_pairs.jsonl", one), ("amazon_inter_trn.csv", other)] {
        if std::fs::write(folder.path().join(name), part).is_err() {
            return;
        }
    }
    let _ = xrec::read(folder.path(), Vertical::Amazon);
    let _ = xrec::published_outputs(folder.path(), Vertical::Amazon);
});
