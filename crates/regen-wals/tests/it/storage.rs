//! Files: what is saved is loaded, and damaged files are told apart.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ndarray::{Array2, array};
use regen_wals::persist::{
    Checkpoint, FactorFile, ITEM_FACTORS, USER_FACTORS, USER_IDS, load, load_npy, save, save_ids, save_npy,
};
use regen_wals::{Error, InteractionMatrix, Solver, WalsConfig};

use crate::world::{ITEMS, USERS, config, matrix, triplets};

fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|k| format!("{prefix}{k}")).collect()
}

#[test]
fn a_saved_model_is_loaded_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let model = config(6, Solver::Cholesky).fit(&matrix()).unwrap();
    let into = folder.path().join("new").join("folder");
    save(&into, &model, &ids("u", USERS), &ids("i", ITEMS)).unwrap();
    let loaded = load(&into).unwrap();
    assert_eq!(loaded.user_factors, model.user_factors());
    assert_eq!(loaded.item_factors, model.item_factors());
    assert_eq!(loaded.user_ids, ids("u", USERS));
    assert_eq!(loaded.item_ids, ids("i", ITEMS));
    // No temporary file stays behind.
    assert_eq!(fs::read_dir(&into).unwrap().count(), 4);
}

#[test]
fn the_npy_bytes_are_those_that_numpy_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    save_npy(&path, array![[1.0f32, 2.0, -0.5], [0.0, 3.0, 4.0]].view()).unwrap();
    let mut expected = b"\x93NUMPY\x01\x00v\x00".to_vec();
    expected.extend(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
    expected.resize(127, b' ');
    expected.push(b'\n');
    for value in [1.0f32, 2.0, -0.5, 0.0, 3.0, 4.0] {
        expected.extend(value.to_le_bytes());
    }
    assert_eq!(fs::read(&path).unwrap(), expected);
}

#[test]
fn transposed_views_are_written_in_their_own_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.npy");
    let matrix = array![[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
    save_npy(&path, matrix.t()).unwrap();
    assert_eq!(load_npy(&path).unwrap(), matrix.t());
    save_npy(&path, Array2::<f32>::zeros((0, 4)).view()).unwrap();
    assert_eq!(load_npy(&path).unwrap().dim(), (0, 4));
}

fn rejected(path: &Path, bytes: &[u8], part: &str) {
    fs::write(path, bytes).unwrap();
    match load_npy(path) {
        Err(Error::Format { field, .. }) => assert_eq!(field, part),
        other => panic!("{part}: {other:?}"),
    }
}

#[test]
fn damaged_npy_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    save_npy(&path, array![[1.0f32, 2.0], [3.0, 4.0]].view()).unwrap();
    let good = fs::read(&path).unwrap();
    let edited = |from: &str, to: &str| {
        let text: Vec<u8> = good.clone();
        let at = text.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let mut text = text;
        text.splice(at..at + from.len(), to.bytes());
        text
    };
    rejected(&path, b"", "file size");
    rejected(&path, b"PK\x03\x04 and so on", "magic number");
    rejected(&path, &good[..good.len() - 1], "file size");
    rejected(&path, &good[..40], "file size");
    rejected(&path, &[&good[..], &[0]].concat(), "file size");
    rejected(&path, &edited("<f4", "<f8"), "element type");
    rejected(&path, &edited("False", "True "), "fortran_order");
    rejected(&path, &edited("(2, 2)", "(2, x)"), "shape");
    rejected(&path, &edited("(2, 2)", "(4, ) "), "shape");
    rejected(&path, &edited("(2, 2), ", "(9999999999999999, 9999999999999999), "), "shape");
    rejected(&path, &edited("(2, 2), ", "(2, 3), "), "file size");
    let mut version = good.clone();
    version[6] = 9;
    rejected(&path, &version, "format version");
    assert!(matches!(load_npy(&folder.path().join("absent.npy")), Err(Error::Io { action: "open", .. })));
}

#[test]
fn lists_and_factors_that_do_not_belong_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = config(6, Solver::Cholesky).fit(&matrix()).unwrap();
    assert!(matches!(
        save(folder.path(), &model, &ids("u", 3), &ids("i", ITEMS)),
        Err(Error::IdCount { expected: USERS, got: 3, .. })
    ));
    save(folder.path(), &model, &ids("u", USERS), &ids("i", ITEMS)).unwrap();
    save_ids(&folder.path().join(USER_IDS), &ids("u", USERS - 1)).unwrap();
    assert!(matches!(load(folder.path()), Err(Error::IdCount { expected: USERS, .. })));
    save_ids(&folder.path().join(USER_IDS), &ids("u", USERS)).unwrap();
    fs::copy(folder.path().join(USER_FACTORS), folder.path().join(ITEM_FACTORS)).unwrap();
    assert!(matches!(load(folder.path()), Err(Error::IdCount { expected: USERS, .. })));
    assert!(matches!(
        save_ids(&folder.path().join("x.txt"), &["fine", "two\nlines"]),
        Err(Error::IdLineBreak { index: 1, .. })
    ));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let model = config(2, Solver::Cholesky).fit(&matrix()).unwrap();
    match save(&file.join("below"), &model, &ids("u", USERS), &ids("i", ITEMS)) {
        Err(Error::Io { path, .. }) => assert!(path.starts_with(&file)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_checkpoint_replaces_the_one_before_and_damaged_ones_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let matrix = matrix();
    let model = config(4, Solver::Cholesky).fit(&matrix).unwrap();
    let (users, items) = (model.user_factors(), model.item_factors());
    let write = |iteration| Checkpoint::save(path, model.config(), &matrix, iteration, users, items);
    write(1).unwrap();
    write(2).unwrap();
    let loaded = Checkpoint::load(path, &matrix).unwrap();
    assert_eq!(loaded.completed_iterations, 2);
    assert_eq!(&loaded.config, model.config());
    assert_eq!(loaded.user_factors, users);
    assert_eq!(loaded.item_factors, items);
    assert_eq!(fs::read_dir(path).unwrap().count(), 3);

    let numbers = path.join("item_factors.2.npy");
    let whole = fs::read(&numbers).unwrap();
    fs::write(&numbers, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(Checkpoint::load(path, &matrix), Err(Error::Format { field: "file size", .. })));
    let index = path.join("checkpoint.json");
    let text = fs::read(&index).unwrap();
    fs::write(&index, &text[..text.len() / 2]).unwrap();
    assert!(matches!(Checkpoint::load(path, &matrix), Err(Error::Format { field: "content", .. })));
}

#[test]
fn a_checkpoint_of_the_same_iteration_touches_no_file_of_the_one_that_stands() {
    let folder = tempfile::tempdir().unwrap();
    let matrix = matrix();
    let factors = || -> BTreeSet<String> {
        let names = fs::read_dir(folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "checkpoint.json").collect()
    };
    let mut before = BTreeSet::new();
    for seed in 1..4 {
        let config = WalsConfig { seed, ..config(4, Solver::Cholesky) };
        let model = config.fit(&matrix).unwrap();
        let (users, items) = (model.user_factors(), model.item_factors());
        Checkpoint::save(folder.path(), &config, &matrix, 2, users, items).unwrap();
        let loaded = Checkpoint::load(folder.path(), &matrix).unwrap();
        assert_eq!((loaded.config, loaded.user_factors.view()), (config, users));
        // What was killed before the index was replaced has left the files that the index named.
        assert!(factors().is_disjoint(&before), "{before:?} {:?}", factors());
        before = factors();
        assert_eq!(before.len(), 2);
    }
}

#[test]
fn a_checkpoint_of_another_matrix_or_of_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let matrix = matrix();
    let model = config(4, Solver::Cholesky).fit(&matrix).unwrap();
    let (users, items) = (model.user_factors(), model.item_factors());
    Checkpoint::save(path, model.config(), &matrix, 2, users, items).unwrap();
    // The same shape, the same pairs, one value that differs.
    let mut changed = triplets(5);
    changed[40].2 += 1.0;
    let changed = InteractionMatrix::from_triplets(USERS, ITEMS, changed).unwrap();
    match Checkpoint::load(path, &changed) {
        Err(Error::ForeignState { path: named, field: "the matrix", .. }) => {
            assert_eq!(named, path.join("checkpoint.json"));
        }
        other => panic!("{other:?}"),
    }
    let swapped = Checkpoint::save(path, model.config(), &matrix, 3, items, users);
    assert!(matches!(swapped, Err(Error::FactorShape { what: "user factors", .. })));
    assert_eq!(Checkpoint::load(path, &matrix).unwrap().completed_iterations, 2);

    // What earlier releases wrote: all but the matrix.
    let index = path.join("checkpoint.json");
    let text = fs::read_to_string(&index).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.contains("\"matrix\"")).collect();
    assert_eq!(without.len() + 1, text.lines().count());
    fs::write(&index, without.join("\n")).unwrap();
    let error = Checkpoint::load(path, &matrix).unwrap_err();
    assert!(matches!(error, Error::Format { field: "matrix", .. }), "{error:?}");
    assert!(error.to_string().contains("start anew"), "{error}");
}

#[test]
fn a_header_of_sizes_that_no_array_has_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let written = |shape: &str| {
        let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        text.extend(std::iter::repeat_n(' ', 117 - text.len()));
        let length = (text.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes()].concat()
    };
    for shape in ["(0, 18446744073709551615)", "(18446744073709551615, 0)", "(0, 2305843009213693952)"] {
        rejected(&path, &written(shape), "shape");
        fs::copy(&path, folder.path().join(USER_FACTORS)).unwrap();
        assert!(matches!(load(folder.path()), Err(Error::Format { field: "shape", .. })), "{shape}");
    }
    for (rows, columns) in [(0, 1 << 60), (1 << 60, 0)] {
        fs::write(&path, written(&format!("({rows}, {columns})"))).unwrap();
        assert_eq!(load_npy(&path).unwrap().dim(), (rows, columns));
        assert_eq!(FactorFile::open(&path).unwrap().gather(&[]).unwrap().dim(), (0, columns));
    }
}
