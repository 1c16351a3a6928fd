//! Tensors that are written in blocks of rows, and read by rows.

use regen_torch::{Checkpoint, Error, TensorWriter, save_tensors, tensor_from_f32, tensor_to_vec_f32};
use tch::{Kind, Tensor};
use tempfile::tempdir;

#[test]
fn rows_come_in_blocks_of_any_size_and_order_of_tensors() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("table.safetensors");
    let declared: [(&str, Kind, &[i64]); 3] =
        [("present", Kind::Bool, &[3]), ("vectors", Kind::Half, &[3, 2]), ("scale", Kind::Float, &[])];
    let mut writer = TensorWriter::create(&path, &declared, &[("made by", "a test")]).unwrap();
    writer.append("vectors", &tensor_from_f32(&[1.0, 2.0], &[1, 2]).unwrap()).unwrap();
    writer.append("present", &Tensor::from_slice(&[true, false, true])).unwrap();
    writer.append("vectors", &tensor_from_f32(&[3.0, 4.0, 5.0, 6.0], &[2, 2]).unwrap()).unwrap();
    writer.append("scale", &Tensor::from(0.5f32)).unwrap();
    assert!(!path.exists(), "a file has its name only when it is whole");
    writer.finish().unwrap();

    let checkpoint = Checkpoint::open(&path).unwrap();
    let vectors = checkpoint.rows("vectors", &[3, 2]).unwrap();
    assert_eq!((vectors.kind(), vectors.size()), (Kind::Half, vec![3, 2]));
    let gathered = vectors.gather(&[2, 0, 0, 1, 2]).unwrap();
    assert_eq!(gathered.size(), [5, 2]);
    assert_eq!(tensor_to_vec_f32(&gathered).unwrap(), [5.0, 6.0, 1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(vectors.gather(&[]).unwrap().size(), [0, 2]);
    let present = checkpoint.rows("present", &[3]).unwrap().gather(&[1, 2]).unwrap();
    assert_eq!(Vec::<bool>::try_from(present).unwrap(), [false, true]);
    assert_eq!(checkpoint.tensor("scale", &[]).unwrap().double_value(&[]), 0.5);
}

#[test]
fn rows_that_do_not_fit_are_refused_and_nothing_stays_behind() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("table.safetensors");
    let two = tensor_from_f32(&[1.0; 4], &[2, 2]).unwrap();
    let one = two.narrow(0, 0, 1);
    let mut writer = TensorWriter::create(&path, &[("vectors", Kind::Float, &[2, 2])], &[]).unwrap();
    assert!(matches!(writer.append("other", &one), Err(Error::MissingTensor { .. })));
    let narrow = tensor_from_f32(&[1.0], &[1, 1]).unwrap();
    assert!(matches!(writer.append("vectors", &narrow), Err(Error::ShapeMismatch { .. })));
    let flat = tensor_from_f32(&[1.0, 2.0], &[2]).unwrap();
    assert!(matches!(writer.append("vectors", &flat), Err(Error::ShapeMismatch { .. })));
    writer.append("vectors", &one).unwrap();
    assert!(matches!(writer.append("vectors", &two), Err(Error::RowCount { got: 3, expected: 2, .. })));
    assert!(matches!(writer.finish(), Err(Error::RowCount { got: 1, expected: 2, .. })));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn rows_are_those_of_the_whole_tensor_and_are_refused_for_the_same_reasons() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    let values: Vec<f32> = (0..600).map(|n| n as f32 * 0.25 - 7.0).collect();
    let a = tensor_from_f32(&values, &[100, 3, 2]).unwrap();
    let tensors = vec![
        ("a".to_owned(), a.shallow_clone()),
        ("half".to_owned(), a.to_kind(Kind::BFloat16)),
        ("scalar".to_owned(), Tensor::from(1.0f32)),
    ];
    save_tensors(&path, &tensors, &[]).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let wanted = [99i64, 0, 7, 7, 50, 51, 52, 6, 7, 8];
    for name in ["a", "half"] {
        let whole = checkpoint.tensor(name, &[100, 3, 2]).unwrap();
        let rows = checkpoint.rows(name, &[100, 3, 2]).unwrap();
        assert_eq!(rows.gather(&wanted).unwrap(), whole.index_select(0, &Tensor::from_slice(&wanted)));
    }
    assert!(matches!(checkpoint.rows("b", &[100, 3, 2]), Err(Error::MissingTensor { .. })));
    assert!(matches!(checkpoint.rows("a", &[3, 200]), Err(Error::ShapeMismatch { .. })));
    assert!(matches!(checkpoint.rows("scalar", &[]), Err(Error::ShapeMismatch { .. })));
    let rows = checkpoint.rows("a", &[100, 3, 2]).unwrap();
    for row in [-1, 100] {
        let gathered = rows.gather(&[5, row]);
        assert!(matches!(gathered, Err(Error::RowOutOfRange { rows: 100, .. })), "{row}");
    }

    // A file that is replaced by renaming leaves those who hold it what they had; one that is cut short is an error.
    save_tensors(&path, &[("a".to_owned(), tensor_from_f32(&[0.0; 3], &[1, 3]).unwrap())], &[]).unwrap();
    assert_eq!(rows.gather(&[3]).unwrap(), a.narrow(0, 3, 1));
    let rows = Checkpoint::open(&path).unwrap().rows("a", &[1, 3]).unwrap();
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
    assert!(matches!(rows.gather(&[0]), Err(Error::Io { .. })));
}
