//! Embeddings on disk survive a killed run and notice a change.

use std::path::Path;

use regen_semantic::{EmbeddingStore, Error, Origin, Storage, hash_file, hash_model};

use crate::support::{copy, edit};

fn origin(storage: Storage) -> Origin {
    Origin {
        model: "m".into(),
        input: "i".into(),
        template: None,
        prompt: None,
        precision: "f32".into(),
        storage,
        texts: 5,
        dim: 3,
    }
}

fn rows(range: std::ops::Range<usize>) -> Vec<f32> {
    range.flat_map(|row| (0..3).map(move |column| (row * 10 + column) as f32 / 8.0)).collect()
}

/// The file must be what NumPy writes: header, then rows.
fn check(path: &Path, dtype: &str, bytes_each: usize) {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
    assert!(text.starts_with(&format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': (5, 3), }}")));
    assert!((10 + length) % 64 == 0 && text.ends_with('\n'));
    let values: Vec<f32> = bytes[10 + length..]
        .chunks(bytes_each)
        .map(|chunk| match *chunk {
            [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
            [a, b] => half::f16::from_le_bytes([a, b]).to_f32(),
            _ => panic!("a part of a number"),
        })
        .collect();
    assert_eq!(values, rows(0..5));
}

#[test]
fn a_killed_run_goes_on_after_the_last_whole_block() {
    for (storage, dtype, bytes_each) in [(Storage::F32, "<f4", 4), (Storage::F16, "<f2", 2)] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = EmbeddingStore::create(dir.path(), origin(storage)).unwrap();
        store.append(&rows(0..2)).unwrap();
        drop(store);
        // Half of a block reached the file, then the process died.
        let partial = dir.path().join("embeddings.npy.partial");
        let mut bytes = std::fs::read(&partial).unwrap();
        bytes.extend([1; 7]);
        std::fs::write(&partial, bytes).unwrap();
        let mut store = EmbeddingStore::resume(dir.path(), origin(storage)).unwrap();
        assert_eq!((store.rows(), store.is_complete()), (2, false));
        store.append(&rows(2..5)).unwrap();
        check(&store.finish().unwrap(), dtype, bytes_each);
        assert!(!partial.exists());
        let again = EmbeddingStore::resume(dir.path(), origin(storage)).unwrap();
        assert!(again.is_complete());
        check(&again.finish().unwrap(), dtype, bytes_each);
    }
}

#[test]
fn another_model_or_input_is_not_continued() {
    let dir = tempfile::tempdir().unwrap();
    EmbeddingStore::create(dir.path(), origin(Storage::F32)).unwrap();
    let changed = Origin { input: "other".into(), ..origin(Storage::F32) };
    let error = EmbeddingStore::resume(dir.path(), changed).unwrap_err();
    assert!(matches!(&error, Error::OtherOrigin { field, .. } if field == "input"), "{error:?}");
    let changed = Origin { template: Some("{title}".into()), ..origin(Storage::F32) };
    let error = EmbeddingStore::resume(dir.path(), changed).unwrap_err();
    assert!(matches!(&error, Error::OtherOrigin { field, .. } if field == "template"), "{error:?}");
}

#[test]
fn missing_rows_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = EmbeddingStore::create(dir.path(), origin(Storage::F32)).unwrap();
    assert!(matches!(store.append(&[1.0; 4]), Err(Error::RowCount { .. })));
    assert!(matches!(store.append(&[1.0; 18]), Err(Error::RowCount { got: 6, expected: 5 })));
    store.append(&rows(0..2)).unwrap();
    assert!(matches!(store.finish(), Err(Error::RowCount { got: 2, expected: 5 })));
    let partial = dir.path().join("embeddings.npy.partial");
    let bytes = std::fs::read(&partial).unwrap();
    std::fs::write(&partial, &bytes[..bytes.len() - 1]).unwrap();
    let error = EmbeddingStore::resume(dir.path(), origin(Storage::F32)).unwrap_err();
    assert!(matches!(error, Error::Truncated { .. }), "{error:?}");
}

#[test]
fn the_hash_of_a_model_sees_every_file_that_matters() {
    let dir = copy("bert_dense");
    let before = hash_model(dir.path()).unwrap();
    assert_eq!(before, hash_model(dir.path()).unwrap());
    std::fs::write(dir.path().join("README.md"), "not part of it").unwrap();
    assert_eq!(before, hash_model(dir.path()).unwrap());
    edit(&dir.path().join("1_Pooling/config.json"), "true", "false");
    assert_ne!(before, hash_model(dir.path()).unwrap());
    // SHA-256 of "abc", FIPS 180-4.
    let file = dir.path().join("abc");
    std::fs::write(&file, "abc").unwrap();
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(hash_file(&file).unwrap(), expected);
}
