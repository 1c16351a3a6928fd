//! Matrices and factors that come from, or go to, other programs.

use std::fs;

use ndarray::{Array2, array};
use regen_wals::persist::{
    FACTORS, FactorFile, FactorFormat, ITEM_FACTORS, USER_FACTORS, load, load_safetensors, open, save,
    save_as, save_npy, save_safetensors,
};
use regen_wals::{Confidence, Error, InteractionMatrix, Solver, WalsConfig};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::world::{ITEMS, USERS, config, matrix, triplets};

fn numbers(rows: usize, columns: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |(i, j)| (i * 31 + j) as f32 / 7.0 - 3.0)
}

fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|k| format!("{prefix}{k}")).collect()
}

#[test]
fn the_reference_library_reads_what_is_written_as_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.safetensors");
    let (a, b) = (numbers(5, 3), numbers(3, 4));
    save_safetensors(&path, &[("a", a.view()), ("turned", b.t())]).unwrap();
    let bytes = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for (name, expected) in [("a", a.view()), ("turned", b.t())] {
        let tensor = file.tensor(name).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, expected.shape()));
        let data: Vec<u8> = expected.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(tensor.data(), data);
        assert_eq!(load_safetensors(&path, name).unwrap(), expected);
    }
    assert_eq!(file.len(), 2);
}

#[test]
fn what_the_reference_library_writes_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.safetensors");
    let expected = numbers(6, 5);
    let data: Vec<u8> = expected.iter().flat_map(|value| value.to_le_bytes()).collect();
    let flat = vec![0u8; 12];
    let half = vec![0u8; 8];
    let tensors = [
        ("wanted", TensorView::new(Dtype::F32, vec![6, 5], &data).unwrap()),
        ("flat", TensorView::new(Dtype::F32, vec![3], &flat).unwrap()),
        ("half", TensorView::new(Dtype::F16, vec![2, 2], &half).unwrap()),
    ];
    let about = Some([("made by".to_owned(), "a test".to_owned())].into());
    fs::write(&path, safetensors::serialize(tensors, about).unwrap()).unwrap();
    assert_eq!(load_safetensors(&path, "wanted").unwrap(), expected);
    let refused = |name: &str, part: &str| match load_safetensors(&path, name) {
        Err(Error::Format { field, .. }) => assert_eq!(field, part),
        other => panic!("{name}: {other:?}"),
    };
    refused("flat", "shape");
    refused("half", "element type");
    refused("absent", "content");
    refused("__metadata__", "element type");
}

#[test]
fn damaged_safetensors_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.safetensors");
    save_safetensors(&path, &[("a", numbers(4, 2).view())]).unwrap();
    let good = fs::read(&path).unwrap();
    let refused = |bytes: &[u8], part: &str| {
        fs::write(&path, bytes).unwrap();
        match load_safetensors(&path, "a") {
            Err(Error::Format { field, .. }) => assert_eq!(field, part),
            other => panic!("{part}: {other:?}"),
        }
    };
    let edited = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let mut bytes = good.clone();
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    refused(b"", "file size");
    refused(&good[..20], "file size");
    refused(&good[..good.len() - 1], "file size");
    refused(&[&u64::MAX.to_le_bytes()[..], &good[8..]].concat(), "header length");
    refused(&edited("{\"a\"", "?\"a\""), "header");
    refused(&edited("[0,32]", "[0,28]"), "data_offsets");
    refused(&edited("[0,32]", "[9,32]"), "data_offsets");
    refused(&edited("[0,32]", "[4,0] "), "data_offsets");
    refused(&edited("[4,2]", "[4,-]"), "header");
    refused(&edited("[4,2]", "[4.2]"), "shape");
    let with_header = |header: &str| {
        let header = header.as_bytes();
        [&(header.len() as u64).to_le_bytes()[..], header, &[0; 32]].concat()
    };
    let tensor = |shape: &str, offsets: &str| {
        let header = format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":{offsets}}}}}");
        with_header(&header)
    };
    let most = u64::MAX;
    refused(&tensor("[4,2]", &format!("[{},{most}]", most - 32)), "file size");
    refused(&tensor("[4,2]", &format!("[{most},31]")), "data_offsets");
    refused(&tensor(&format!("[0,{most}]"), "[0,0]"), "shape");
    refused(&tensor(&format!("[{most},{most}]"), "[0,0]"), "shape");
}

#[test]
fn a_model_is_saved_in_either_format_and_never_in_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let model = config(6, Solver::Cholesky).fit(&matrix()).unwrap();
    let (users, items) = (ids("u", USERS), ids("i", ITEMS));
    save(path, &model, &users, &items).unwrap();
    let before = load(path).unwrap();
    save_as(path, FactorFormat::Safetensors, &model, &users, &items).unwrap();
    assert!(!path.join(USER_FACTORS).exists() && !path.join(ITEM_FACTORS).exists());
    assert_eq!(load(path).unwrap(), before);
    assert_eq!(before.user_factors, model.user_factors());
    let [file, _] = open(path).unwrap();
    assert_eq!((file.rows(), file.rank()), (USERS, 6));
    save(path, &model, &users, &items).unwrap();
    assert!(!path.join(FACTORS).exists());
    assert_eq!(load(path).unwrap(), before);
}

#[test]
fn rows_of_a_file_are_gathered_without_reading_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (npy, tensors) = (folder.path().join("a.npy"), folder.path().join("a.safetensors"));
    let all = numbers(3000, 7);
    save_npy(&npy, all.view()).unwrap();
    save_safetensors(&tensors, &[("other", numbers(9, 9).view()), ("a", all.view())]).unwrap();
    for file in [FactorFile::open(&npy).unwrap(), FactorFile::open_tensor(&tensors, "a").unwrap()] {
        assert_eq!((file.rows(), file.rank()), (3000, 7));
        // Runs, gaps, a step back, a repetition, the first and the last row, more than one task.
        let mut rows: Vec<u32> = vec![2999, 0, 1, 2, 40, 41, 41, 12, 2000];
        rows.extend((0..1500).map(|k| k * 2));
        let gathered = file.gather(&rows).unwrap();
        assert_eq!(gathered.dim(), (rows.len(), 7));
        for (row, &number) in gathered.rows().into_iter().zip(&rows) {
            assert_eq!(row, all.row(number as usize));
        }
        assert_eq!(file.read(17..2040).unwrap(), all.slice(ndarray::s![17..2040, ..]));
        assert_eq!(file.read(5..5).unwrap().dim(), (0, 7));
        assert!(matches!(file.gather(&[1, 3000]), Err(Error::RowOutOfRange { row: 3000, rows: 3000, .. })));
        assert!(matches!(file.read(2990..3001), Err(Error::RowOutOfRange { row: 3000, .. })));
        assert_eq!(file.gather(&[]).unwrap().dim(), (0, 7));
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_open_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    save_npy(&path, numbers(100, 3).view()).unwrap();
    let file = FactorFile::open(&path).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(200).unwrap();
    assert!(matches!(file.gather(&[99]), Err(Error::Io { action: "read", .. })));
}

#[test]
fn every_way_to_build_the_matrix_gives_the_same() {
    let expected = matrix();
    let pairs = triplets(5);
    let stream = pairs.iter().copied().map(Ok::<_, Error>);
    assert_eq!(InteractionMatrix::from_stream(USERS, ITEMS, stream).unwrap(), expected);

    let mut dense = Array2::<f32>::zeros((USERS, ITEMS));
    let mut coordinates = sprs::TriMat::<f32>::new((USERS, ITEMS));
    for &(user, item, value) in &pairs {
        dense[[user as usize, item as usize]] += value;
        coordinates.add_triplet(user as usize, item as usize, value);
    }
    assert_eq!(InteractionMatrix::from_dense(dense.view()).unwrap(), expected);
    let rows: sprs::CsMat<f32> = coordinates.to_csr();
    let (starts, columns) = (rows.indptr().raw_storage().to_vec(), rows.indices());
    let built = InteractionMatrix::from_compressed(rows.cols(), &starts, columns, rows.data());
    assert_eq!(built.unwrap(), expected);
    // SciPy's indices are i32, or i64 beyond 2³¹ pairs.
    let starts: Vec<i64> = starts.iter().map(|&start| start as i64).collect();
    let columns: Vec<i32> = columns.iter().map(|&column| column as i32).collect();
    let built = InteractionMatrix::from_compressed(ITEMS, &starts, &columns, rows.data());
    assert_eq!(built.unwrap(), expected);
}

#[derive(Debug)]
enum Failure {
    Reading(usize),
    Matrix(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Matrix(error)
    }
}

#[test]
fn a_stream_ends_at_its_first_failure() {
    let mut taken = 0;
    let stream =
        [Ok((0, 0, 1.0)), Err(Failure::Reading(2)), Ok((9, 9, 1.0))].into_iter().inspect(|_| taken += 1);
    assert!(matches!(InteractionMatrix::from_stream(2, 2, stream), Err(Failure::Reading(2))));
    assert_eq!(taken, 2);
    let stream = [Ok::<_, Failure>((0, 0, 1.0)), Ok((2, 0, 1.0))];
    assert!(matches!(
        InteractionMatrix::from_stream(2, 2, stream),
        Err(Failure::Matrix(Error::UserOutOfRange { user: 2, users: 2 }))
    ));
}

#[test]
fn compressed_rows_that_do_not_belong_together_are_refused_by_name() {
    let refused = |starts: &[i32], columns: &[i32], values: &[f32], part: &str| {
        match InteractionMatrix::from_compressed(3, starts, columns, values) {
            Err(Error::CompressedRows { field, .. }) => assert_eq!(field, part),
            other => panic!("{part}: {other:?}"),
        }
    };
    refused(&[0, 2], &[0, 1], &[1.0], "the number of values");
    refused(&[], &[], &[], "the number of starts");
    refused(&[1, 2], &[0, 1], &[1.0, 1.0], "the first start");
    refused(&[0, 1], &[0, 1], &[1.0, 1.0], "the last start");
    refused(&[0, 2, 1, 2], &[0, 1], &[1.0, 1.0], "a start");
    refused(&[0, -1, 2], &[0, 1], &[1.0, 1.0], "a start");
    // The number that is reported is the one that was given.
    for column in [3, 1 << 33, i64::from(u32::MAX)] {
        let built = InteractionMatrix::from_compressed(3, &[0, 1], &[column], &[1.0]);
        match built {
            Err(Error::ItemOutOfRange { item, items: 3 }) => assert_eq!(item as i64, column),
            other => panic!("{other:?}"),
        }
    }
    let given = |built: Result<InteractionMatrix, Error>| match built {
        Err(Error::CompressedRows { field, got, .. }) => (field, got),
        other => panic!("{other:?}"),
    };
    let built = InteractionMatrix::from_compressed(3, &[0, 1], &[-1], &[1.0]);
    assert_eq!(given(built), ("a column", "-1".to_owned()));
    let built = InteractionMatrix::from_compressed(3, &[0, -7, 1], &[1], &[1.0]);
    assert_eq!(given(built), ("a start", "-7".to_owned()));
    let nan = InteractionMatrix::from_dense(array![[0.0, f32::NAN]].view());
    assert!(matches!(nan, Err(Error::InvalidValue { user: 0, item: 1, .. })));
}

#[test]
fn row_and_column_weights_multiply() {
    let targets = [(0, 1, -2.0), (1, 0, 0.5), (1, 2, 3.0)];
    let built =
        InteractionMatrix::from_row_and_column_weights(&[2.0, 3.0], &[1.0, 0.5, 4.0], targets).unwrap();
    let spelt = [(0, 1, 1.0, -2.0), (1, 0, 3.0, 0.5), (1, 2, 12.0, 3.0)];
    assert_eq!(built, InteractionMatrix::from_weighted_targets(2, 3, spelt).unwrap());
    let built = |rows: &[f32]| InteractionMatrix::from_row_and_column_weights(rows, &[1.0; 3], targets);
    assert!(matches!(built(&[1.0]), Err(Error::UserOutOfRange { user: 1, users: 1 })));
    assert!(matches!(built(&[1.0, -1.0]), Err(Error::InvalidWeight { side: "user", index: 1, value: -1.0 })));
    // A product of two that looks sound, a weight that no entry uses, and a product that overflows.
    let both = InteractionMatrix::from_row_and_column_weights(&[-1.0], &[-1.0], [(0, 0, 1.0)]);
    assert!(matches!(both, Err(Error::InvalidWeight { side: "user", index: 0, .. })), "{both:?}");
    for (unused, weights) in [f32::NAN, f32::INFINITY, -0.5].map(|weight| (weight, [1.0, 1.0, weight])) {
        let built = InteractionMatrix::from_row_and_column_weights(&[1.0], &weights, [(0, 0, 1.0)]);
        assert!(matches!(built, Err(Error::InvalidWeight { side: "item", index: 2, .. })), "{unused}");
    }
    let product = InteractionMatrix::from_row_and_column_weights(&[1e30], &[1e30], [(0, 0, 1.0)]);
    assert!(matches!(product, Err(Error::InvalidValue { user: 0, item: 0, .. })));
    let config = WalsConfig { rank: 2, confidence: Confidence::Given, ..WalsConfig::default() };
    assert!(config.fit(&built(&[1.0, 2.0]).unwrap()).is_ok());
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    // The file is written under a temporary name first, so the full device stands in for that.
    let path = folder.path().join("a.npy");
    let temporary = folder.path().join(format!("a.npy.{}.tmp", std::process::id()));
    std::os::unix::fs::symlink("/dev/full", &temporary).unwrap();
    match save_npy(&path, numbers(1000, 9).view()) {
        Err(Error::Io { action: "write", path: named, source }) => {
            assert_eq!((named, source.kind()), (path.clone(), std::io::ErrorKind::StorageFull));
        }
        other => panic!("{other:?}"),
    }
    assert!(!path.exists() && !temporary.is_symlink());
}
