//! What the targets share: bytes as a file, and a reader run to its end under both policies for bad records.

use std::io::Write;
use std::path::Path;

use regen_data::mapping::Mapping;
use regen_data::{OnError, Result};

/// Calls `read` with a file that holds `bytes`.
pub fn with_file(bytes: &[u8], read: impl FnOnce(&Path)) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("room for a temporary file");
    file.flush().expect("room for a temporary file");
    read(file.path());
}

/// Reads `bytes` to the end, once for each policy.
pub fn drain<T, R: Iterator<Item = Result<T>>>(bytes: &[u8], open: impl Fn(&Path, OnError) -> Result<R>) {
    with_file(bytes, |path| {
        for policy in [OnError::Fail, OnError::Skip] {
            if let Ok(records) = open(path, policy) {
                records.for_each(drop);
            }
        }
    });
}

/// Reads `bytes` as every file of a mapping whose text is `mapping`, in which `FILE` stands for the file.
pub fn through_mapping(bytes: &[u8], mapping: &str) {
    with_file(bytes, |path| {
        let mut mapping = Mapping::parse(mapping).expect("a good mapping");
        for on_error in [OnError::Fail, OnError::Skip] {
            mapping.on_error = on_error;
            mapping.interactions.files = vec![path.to_owned()];
            for items in &mut mapping.items {
                items.files = vec![path.to_owned()];
            }
            let _ = mapping.read();
        }
    });
}
