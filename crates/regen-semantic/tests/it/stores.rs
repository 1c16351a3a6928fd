//! Embeddings on disk survive a killed run and notice a change.

use std::path::Path;

use regen_semantic::{
    EmbeddingFile, EmbeddingStore, Error, Origin, Storage, hash_file, hash_model, load_embeddings, nearest,
    nearest_in_file,
};
use regen_torch::tensor_to_vec_f32;

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
    let (before, deep) = (hash_model(dir.path()).unwrap(), dir.path().join("a/b"));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("model.safetensors"), "weights of a module further down").unwrap();
    assert_ne!(before, hash_model(dir.path()).unwrap());
    // SHA-256 of "abc", FIPS 180-4.
    let file = dir.path().join("abc");
    std::fs::write(&file, "abc").unwrap();
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(hash_file(&file).unwrap(), expected);
}

#[test]
fn every_storage_is_read_back_and_says_what_it_cost() {
    const DIM: usize = 384;
    // Rows of length one; the fourth is zero and has no direction to lose.
    let rows: Vec<Vec<f32>> = (0..5)
        .map(|row| {
            let values: Vec<f32> = (0..DIM).map(|k| ((row * DIM + k) as f32 * 1.7).sin().powi(3)).collect();
            let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
            values.iter().map(|value| if row == 3 { 0.0 } else { value / norm }).collect()
        })
        .collect();
    for (storage, loss) in [(Storage::F32, 0.0), (Storage::F16, 1e-6), (Storage::Int8, 1e-4)] {
        let dir = tempfile::tempdir().unwrap();
        let origin = Origin { dim: DIM, ..origin(storage) };
        let mut store = EmbeddingStore::create(dir.path(), origin.clone()).unwrap();
        store.append(&rows[..2].concat()).unwrap();
        drop(store);
        let mut store = EmbeddingStore::resume(dir.path(), origin).unwrap();
        store.append(&rows[2..].concat()).unwrap();
        let said = store.least_cosine();
        let read = tensor_to_vec_f32(&load_embeddings(&store.finish().unwrap()).unwrap()).unwrap();
        let cosine = |a: &[f32], b: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| {
                a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
            };
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let least = rows
            .iter()
            .zip(read.chunks(DIM))
            .filter(|(row, _)| row.iter().any(|value| *value != 0.0))
            .map(|(row, read)| cosine(row, read))
            .fold(1.0, f64::min);
        assert!(least >= 1.0 - loss - 1e-12, "{storage:?}: {least}");
        assert!(said.is_none_or(|said| (said - least).abs() < 1e-12), "{storage:?}: {said:?}, {least}");
        assert_eq!(said.is_none(), storage == Storage::F32);
        assert_eq!(read[3 * DIM..4 * DIM], vec![0.0; DIM]);
    }
}

#[test]
fn a_run_killed_while_it_named_its_files_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = EmbeddingStore::create(dir.path(), origin(Storage::Int8)).unwrap();
    store.append(&rows(0..5)).unwrap();
    drop(store);
    std::fs::rename(dir.path().join("scales.npy.partial"), dir.path().join("scales.npy")).unwrap();
    let store = EmbeddingStore::resume(dir.path(), origin(Storage::Int8)).unwrap();
    assert_eq!((store.rows(), store.is_complete()), (5, false));
    let path = store.finish().unwrap();
    let read = tensor_to_vec_f32(&load_embeddings(&path).unwrap()).unwrap();
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 42.0 / 8.0 / 127.0;
    assert!(read.iter().zip(&rows(0..5)).all(close), "{read:?}");
}

#[test]
fn arrays_that_are_no_embeddings_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("embeddings.npy");
    assert!(matches!(load_embeddings(&path), Err(Error::Io { .. })));
    std::fs::write(&path, "text").unwrap();
    assert!(matches!(load_embeddings(&path), Err(Error::Npy { .. })));
    tch::Tensor::from_slice(&[1i64, 2]).write_npy(&path).unwrap();
    assert!(matches!(load_embeddings(&path), Err(Error::Npy { .. })));
    let bytes = tch::Tensor::ones([3, 2], (tch::Kind::Int8, tch::Device::Cpu));
    bytes.write_npy(&path).unwrap();
    assert!(matches!(load_embeddings(&path), Err(Error::Io { path, .. }) if path.ends_with("scales.npy")));
    let scales = dir.path().join("scales.npy");
    tch::Tensor::from_slice(&[1.0f32, 2.0]).write_npy(&scales).unwrap();
    assert!(matches!(load_embeddings(&path), Err(Error::RowCount { got: 2, expected: 3 })));
}

#[test]
fn a_manifest_that_cannot_be_true_is_refused_and_a_finished_file_is_never_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = EmbeddingStore::create(dir.path(), origin(Storage::F32)).unwrap();
    store.append(&rows(0..5)).unwrap();
    store.finish().unwrap();
    let (manifest, vectors) = (dir.path().join("manifest.json"), dir.path().join("embeddings.npy"));
    let (good, bytes) = (std::fs::read_to_string(&manifest).unwrap(), std::fs::read(&vectors).unwrap());
    for written in ["2", "7", "18446744073709551615"] {
        let bad = good.replace("\"rows_written\": 5", &format!("\"rows_written\": {written}"));
        assert_ne!(bad, good);
        std::fs::write(&manifest, bad).unwrap();
        let error = EmbeddingStore::resume(dir.path(), origin(Storage::F32)).unwrap_err();
        assert!(matches!(error, Error::RowCount { expected: 5, .. }), "{error}");
        assert_eq!(std::fs::read(&vectors).unwrap(), bytes);
    }
    std::fs::write(&manifest, &good).unwrap();
    let mut other = bytes.clone();
    let at = other.iter().position(|&byte| byte == b'5').unwrap();
    other[at] = b'6';
    std::fs::write(&vectors, other).unwrap();
    let error = EmbeddingStore::resume(dir.path(), origin(Storage::F32)).unwrap_err();
    assert!(matches!(error, Error::Npy { .. }), "{error}");
}

#[test]
fn numbers_that_are_not_finite_or_do_not_fit_are_refused_with_their_row() {
    let cases = [
        (Storage::F32, f32::NAN),
        (Storage::F16, f32::INFINITY),
        (Storage::F16, 70_000.0),
        (Storage::Int8, f32::NAN),
    ];
    for (storage, bad) in cases {
        let dir = tempfile::tempdir().unwrap();
        let mut store = EmbeddingStore::create(dir.path(), origin(storage)).unwrap();
        store.append(&rows(0..2)).unwrap();
        let error = store.append(&[0.0, 1.0, 2.0, 3.0, bad, 5.0]).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 3 }), "{error}");
        assert_eq!(store.rows(), 2);
    }
}

#[test]
fn a_file_that_ends_before_its_last_number_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = EmbeddingStore::create(dir.path(), origin(Storage::F32)).unwrap();
    store.append(&rows(0..5)).unwrap();
    let path = store.finish().unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 5, 8, 9, 30, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = load_embeddings(&path).unwrap_err();
        assert!(matches!(error, Error::Npy { .. } | Error::Truncated { .. }), "{length}: {error}");
    }
    for shape in ["(900000, 3)", "(18446744073709551615, 3)", "(-5, 3)"] {
        let mut header =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}").into_bytes();
        header.resize(117, b' ');
        header.push(b'\n');
        let mut lying = b"\x93NUMPY\x01\x00v\x00".to_vec();
        lying.extend(header);
        lying.extend([0; 60]);
        std::fs::write(&path, lying).unwrap();
        let error = load_embeddings(&path).unwrap_err();
        assert!(matches!(error, Error::Npy { .. } | Error::Truncated { .. }), "{shape}: {error}");
    }
}

#[test]
fn rows_and_neighbours_from_a_file_are_those_of_the_whole_in_memory() {
    // More rows than are read at a time.
    const DIM: usize = 3;
    let total = (1 << 22) / DIM + 1000;
    let values: Vec<f32> = (0..total * DIM).map(|k| ((k % 9973) as f32 * 0.7).sin()).collect();
    for storage in [Storage::F32, Storage::F16, Storage::Int8] {
        let dir = tempfile::tempdir().unwrap();
        let mut store =
            EmbeddingStore::create(dir.path(), Origin { texts: total, ..origin(storage) }).unwrap();
        store.append(&values).unwrap();
        let path = store.finish().unwrap();
        let whole = load_embeddings(&path).unwrap();
        let file = EmbeddingFile::open(&path).unwrap();
        assert_eq!((file.rows(), file.dim()), (total, DIM));
        for range in [0..0, 0..1, 7..900, total - 2..total] {
            let part = whole.narrow(0, range.start as i64, range.len() as i64);
            assert!(file.read(range.clone()).unwrap().equal(&part), "{storage:?} {range:?}");
        }
        assert!(matches!(file.read(3..total + 1), Err(Error::RowCount { .. })));
        let queries = whole.index_select(0, &tch::Tensor::from_slice(&[0i64, 5, total as i64 - 1]));
        let (_, in_memory) = nearest(&queries, &whole, 7).unwrap();
        let (rows, on_disk) = nearest_in_file(&queries, &file, 7).unwrap();
        assert_eq!(rows.size(), [3, 7]);
        // Rows repeat, so which of equals is named is open; their cosines are not.
        assert!((in_memory - &on_disk).abs().max().double_value(&[]) < 1e-6);
        let named = whole.index_select(0, &rows.get(1));
        let cosines = tch::Tensor::cosine_similarity(&named, &queries.narrow(0, 1, 1), 1, 1e-12);
        assert!((cosines - on_disk.get(1)).abs().max().double_value(&[]) < 1e-6);
        assert!(matches!(nearest_in_file(&queries.narrow(1, 0, 2), &file, 1), Err(Error::Widths { .. })));
        assert_eq!(nearest_in_file(&queries, &file, 0).unwrap().0.size(), [3, 0]);
    }
}

#[test]
fn only_a_run_that_was_broken_off_after_its_first_rows_is_said_to_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let broken_off = || EmbeddingStore::broken_off(dir.path());
    assert_eq!(broken_off().unwrap(), None);
    let mut store = EmbeddingStore::create(dir.path(), origin(Storage::F32)).unwrap();
    assert_eq!(broken_off().unwrap(), None);
    store.append(&rows(0..2)).unwrap();
    assert_eq!(broken_off().unwrap(), Some((2, 5)));
    store.append(&rows(2..5)).unwrap();
    store.finish().unwrap();
    assert_eq!(broken_off().unwrap(), None);
    std::fs::write(dir.path().join("manifest.json"), "{").unwrap();
    assert!(matches!(broken_off(), Err(Error::Json { .. })));
}

#[test]
fn arrays_whose_bytes_were_changed_are_read_or_refused() {
    // A xorshift generator: the same changes on every machine.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for storage in [Storage::F32, Storage::F16, Storage::Int8] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = EmbeddingStore::create(dir.path(), origin(storage)).unwrap();
        store.append(&rows(0..5)).unwrap();
        let vectors = store.finish().unwrap();
        for path in [vectors.clone(), dir.path().join("scales.npy"), dir.path().join("manifest.json")] {
            let Ok(whole) = std::fs::read(&path) else { continue };
            for _ in 0..300 {
                let mut bytes = whole.clone();
                for _ in 0..=draw(3) {
                    let at = draw(bytes.len());
                    match draw(3) {
                        0 => bytes[at] ^= 1 << draw(8),
                        1 => bytes[at] = b"0123456789(),'{}-\xff"[draw(18)],
                        _ => bytes.truncate(at.max(1)),
                    }
                }
                std::fs::write(&path, bytes).unwrap();
                if let Ok(read) = load_embeddings(&vectors) {
                    assert!(read.numel() <= 4 * whole.len());
                }
                let _ = EmbeddingStore::resume(dir.path(), origin(storage));
                std::fs::write(&path, &whole).unwrap();
            }
        }
    }
}
