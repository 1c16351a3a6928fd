//! Checkpoints as their users meet them: round trips, and every way in which a file can be wrong.

mod rows;

use std::fs;
use std::path::Path;

use regen_torch::{Checkpoint, Error, Surplus, save_tensors, tensor_from_f32, tensor_to_vec_f32};
use tch::{Device, Kind, Tensor, nn};
use tempfile::tempdir;

fn example() -> Vec<(String, Tensor)> {
    vec![
        ("layer.weight".into(), tensor_from_f32(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]).unwrap()),
        ("layer.bias".into(), tensor_from_f32(&[0.5, -0.5], &[2]).unwrap().to_kind(Kind::BFloat16)),
        ("positions".into(), Tensor::arange(4, (Kind::Int64, Device::Cpu))),
    ]
}

fn store() -> nn::VarStore {
    let vs = nn::VarStore::new(Device::Cpu);
    let layer = vs.root() / "layer";
    let _ = layer.zeros("weight", &[2, 3]);
    let _ = layer.zeros("bias", &[2]);
    vs
}

fn open_error(path: &Path) -> Error {
    Checkpoint::open(path).expect_err("the file must be refused")
}

#[test]
fn tensors_come_back_with_name_shape_type_and_values() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    save_tensors(&path, &example(), &[("format", "pt")]).unwrap();
    assert!(!dir.path().join("model.safetensors.tmp").exists());

    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["layer.bias", "layer.weight", "positions"]);
    assert_eq!(checkpoint.shape("layer.weight"), Some(&[2i64, 3][..]));
    assert_eq!(checkpoint.shape("absent"), None);
    let bias = checkpoint.tensor("layer.bias", &[2]).unwrap();
    assert_eq!(bias.kind(), Kind::BFloat16);
    assert_eq!(tensor_to_vec_f32(&bias).unwrap(), [0.5, -0.5]);
    let weight = checkpoint.tensor("layer.weight", &[2, 3]).unwrap();
    assert_eq!(tensor_to_vec_f32(&weight).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn loading_fills_every_variable_and_keeps_its_precision() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("weights.safetensors");
    save_tensors(&path, &example(), &[]).unwrap();
    let vs = store();
    Checkpoint::open(&path).unwrap().load_into(&vs, str::to_owned, Surplus::Allow(&["positions"])).unwrap();
    let bias = &vs.variables()["layer.bias"];
    assert_eq!((bias.kind(), tensor_to_vec_f32(bias).unwrap()), (Kind::Float, vec![0.5, -0.5]));
}

#[test]
fn surplus_missing_and_misshaped_tensors_are_refused_by_name() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("weights.safetensors");
    save_tensors(&path, &example(), &[]).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();

    let error = checkpoint.load_into(&store(), str::to_owned, Surplus::Refuse).unwrap_err();
    assert!(matches!(error, Error::SurplusTensors { tensors, .. } if tensors == ["positions"]));

    let vs = store();
    let _ = (vs.root() / "head").zeros("weight", &[1]);
    let error = checkpoint.load_into(&vs, str::to_owned, Surplus::Allow(&["positions"])).unwrap_err();
    assert!(matches!(error, Error::MissingTensor { tensor, .. } if tensor == "head.weight"));

    let error = checkpoint.tensor("layer.weight", &[3, 2]).unwrap_err();
    assert!(
        matches!(error, Error::ShapeMismatch { expected, got, .. } if expected == [3, 2] && got == [2, 3])
    );
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("weights.safetensors");
    for bad in [f32::NAN, f32::INFINITY] {
        let tensors = [("w".to_owned(), tensor_from_f32(&[1.0, bad], &[2]).unwrap())];
        save_tensors(&path, &tensors, &[]).unwrap();
        let error = Checkpoint::open(&path).unwrap().tensor("w", &[2]).unwrap_err();
        assert!(matches!(error, Error::NonFinite { tensor, .. } if tensor == "w"));
    }
}

#[test]
fn every_truncation_of_a_file_is_a_typed_error() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("weights.safetensors");
    save_tensors(&path, &example(), &[]).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(open_error(&path), Error::CorruptCheckpoint { .. }), "cut to {length}");
    }
    let mut longer = whole;
    longer.push(0);
    fs::write(&path, &longer).unwrap();
    assert!(matches!(open_error(&path), Error::CorruptCheckpoint { .. }));
}

#[test]
fn a_folder_without_checkpoint_and_a_missing_file_say_so() {
    let dir = tempdir().unwrap();
    assert!(matches!(open_error(dir.path()), Error::NoCheckpoint { .. }));
    let absent = dir.path().join("absent.safetensors");
    assert!(matches!(open_error(&absent), Error::Io { path, .. } if path == absent));
}

#[test]
fn shards_are_read_through_their_index() {
    let dir = tempdir().unwrap();
    let tensors = example();
    save_tensors(&dir.path().join("a.safetensors"), &tensors[..1], &[]).unwrap();
    save_tensors(&dir.path().join("b.safetensors"), &tensors[1..2], &[]).unwrap();
    let index = dir.path().join("model.safetensors.index.json");
    fs::write(&index, r#"{"weight_map": {"layer.weight": "a.safetensors", "layer.bias": "b.safetensors"}}"#)
        .unwrap();
    let vs = store();
    Checkpoint::open(dir.path()).unwrap().load_into(&vs, str::to_owned, Surplus::Refuse).unwrap();
    assert_eq!(vs.variables()["layer.weight"].double_value(&[1, 2]), 6.0);

    fs::write(&index, r#"{"weight_map": {"layer.weight": "b.safetensors"}}"#).unwrap();
    assert!(
        matches!(open_error(dir.path()), Error::MissingTensor { tensor, .. } if tensor == "layer.weight")
    );
    fs::write(&index, r#"{"weight_map": {"layer.weight": "../b.safetensors"}}"#).unwrap();
    assert!(matches!(open_error(dir.path()), Error::CorruptIndex { .. }));
    fs::write(&index, "{").unwrap();
    assert!(matches!(open_error(dir.path()), Error::CorruptIndex { .. }));
    fs::write(&index, r#"{"weight_map": {"layer.weight": "gone.safetensors"}}"#).unwrap();
    assert!(matches!(open_error(dir.path()), Error::Io { .. }));
}
