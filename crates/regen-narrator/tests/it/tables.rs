//! Item tables that stay on disk: they give what tables in memory give, and a file that does not fit is refused.

use std::fs;
use std::ops::ControlFlow;

use regen_fusion::Sources;
use regen_narrator::{
    Error, ItemTable, ItemTableWriter, ItemTables, Narrator, TableNumbers, TablePlace, TableRates,
    TrainConfig, Withheld, reseal,
};
use regen_torch::Checkpoint;
use tch::{Device, Kind};
use tempfile::tempdir;

use crate::world;

#[test]
fn a_bundle_read_by_rows_writes_scores_trains_and_saves_as_one_in_memory() {
    let dir = tempdir().unwrap();
    let (path, again) = (dir.path().join("narrator"), dir.path().join("again"));
    let mut trained = world::narrator(Sources::Fusion, 1);
    world::train(&mut trained, 20);
    trained.save(&path).unwrap();
    let mut stored = Narrator::open_stored(&path, Device::Cpu).unwrap();
    let mut read = Narrator::open(&path, Device::Cpu).unwrap();

    let examples = world::examples();
    let requests: Vec<_> = examples.iter().map(|example| example.request.clone()).collect();
    assert_eq!(world::write(&stored, &requests, 4), world::write(&read, &requests, 4));
    let losses = |narrator: &Narrator| narrator.losses(&examples, Withheld::Cf, 4).unwrap();
    assert_eq!(format!("{:?}", losses(&stored)), format!("{:?}", losses(&read)));

    stored.save(&again).unwrap();
    for part in ["items.safetensors", "item_ids.txt", "narrator.json"] {
        assert_eq!(fs::read(path.join(part)).unwrap(), fs::read(again.join(part)).unwrap(), "{part}");
    }
    for narrator in [&mut stored, &mut read] {
        world::train(narrator, 5);
    }
    assert_eq!(stored.loss(&examples, 4).unwrap(), read.loss(&examples, 4).unwrap(), "training goes on");
}

#[test]
fn tables_on_disk_cannot_be_trained() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("narrator");
    world::narrator(Sources::Fusion, 1).save(&path).unwrap();
    let mut stored = Narrator::open_stored(&path, Device::Cpu).unwrap();
    let tables = TableRates { cf: None, semantic: Some(0.01) };
    let config = TrainConfig { tables, ..world::training(2) };
    let examples = world::examples();
    let report = stored.train(&examples, &examples, &config, &mut |_| ControlFlow::Continue(()));
    let error = report.unwrap_err();
    assert!(matches!(error, Error::InvalidConfig { field: "tables.semantic", .. }), "{error}");
}

#[test]
fn tables_written_in_blocks_come_back_to_the_precision_of_their_numbers() {
    const ITEMS: usize = 300;
    let dir = tempdir().unwrap();
    let value = |item: usize, k: usize| ((item * 7 + k * 3) as f32).sin();
    let present: Vec<bool> = (0..ITEMS).map(|item| item % 5 != 3).collect();
    for (numbers, tolerance) in [(TableNumbers::F32, 0.0), (TableNumbers::F16, 5e-4)] {
        let path = dir.path().join(format!("{numbers:?}.safetensors"));
        let mut writer = ItemTableWriter::create(&path, ITEMS, Some(4), Some(6), numbers).unwrap();
        for items in (0..ITEMS).collect::<Vec<_>>().chunks(77) {
            let rows = |dim: usize| -> Vec<f32> {
                items.iter().flat_map(|&item| (0..dim).map(move |k| value(item, k))).collect()
            };
            writer.append_cf(&rows(4), &present[items[0]..=items[items.len() - 1]]).unwrap();
            writer.append_semantic(&rows(6), &vec![true; items.len()]).unwrap();
        }
        writer.finish().unwrap();

        for place in [TablePlace::Memory, TablePlace::Disk] {
            let tables = ItemTables::open(&path, place).unwrap();
            let (cf, semantic) = (tables.cf().unwrap(), tables.semantic().unwrap());
            assert_eq!((tables.items(), cf.dim(), semantic.dim()), (ITEMS, 4, 6));
            assert_eq!(cf.is_stored(), place == TablePlace::Disk);
        }
        let stored = Checkpoint::open(&path).unwrap();
        let vectors = stored.tensor("semantic", &[ITEMS as i64, 6]).unwrap().to_kind(Kind::Double);
        for item in 0..ITEMS {
            for k in 0..6 {
                let got = vectors.double_value(&[item as i64, k as i64]);
                assert!((got - f64::from(value(item, k))).abs() <= tolerance, "{numbers:?} {item} {k}");
            }
        }
        let there = stored.tensor("cf_present", &[ITEMS as i64]).unwrap();
        assert_eq!(Vec::<bool>::try_from(there).unwrap(), present);
    }
}

#[test]
fn rows_that_a_table_cannot_hold_are_refused_by_number_and_leave_no_file() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("items.safetensors");
    let create = |numbers| ItemTableWriter::create(&path, 3, Some(2), None, numbers).unwrap();

    let mut writer = create(TableNumbers::F16);
    writer.append_cf(&[1.0, f32::NAN], &[false]).unwrap();
    let error = writer.append_cf(&[1.0, 2.0, 70_000.0, 0.0], &[true, true]).unwrap_err();
    assert!(error.to_string().contains("row 2"), "{error}");
    assert!(matches!(writer.append_cf(&[1.0; 3], &[true]), Err(Error::Torch(_))));
    assert!(matches!(writer.append_semantic(&[], &[true]), Err(Error::Torch(_))));
    assert!(matches!(writer.finish(), Err(Error::Torch(regen_torch::Error::RowCount { .. }))));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

    let mut writer = create(TableNumbers::F32);
    writer.append_cf(&[70_000.0; 6], &[true; 3]).unwrap();
    writer.finish().unwrap();
    assert!(ItemTables::open(&path, TablePlace::Disk).is_ok());
}

/// A table on disk is not read when it is opened, so what is wrong with a row shows when the row is asked for.
#[test]
fn a_value_that_is_not_finite_is_found_when_its_row_is_read() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("narrator");
    let narrator = world::narrator(Sources::Fusion, 1);
    narrator.save(&path).unwrap();
    let items = path.join("items.safetensors");
    let checkpoint = Checkpoint::open(&items).unwrap();
    let shapes = [("cf", vec![7, 3]), ("cf_present", vec![7]), ("semantic", vec![7, 7])];
    let mut tensors: Vec<_> = shapes
        .iter()
        .map(|(name, shape)| ((*name).to_owned(), checkpoint.tensor(name, shape).unwrap()))
        .collect();
    let _ = tensors[2].1.get(4).fill_(f64::NAN);
    tensors.push(("semantic_present".into(), checkpoint.tensor("semantic_present", &[7]).unwrap()));
    regen_torch::save_tensors(&items, &tensors, &[]).unwrap();
    reseal(&path).unwrap();

    assert!(matches!(Narrator::open(&path, Device::Cpu), Err(Error::Torch(_))));
    let stored = Narrator::open_stored(&path, Device::Cpu).unwrap();
    let loss = |history: &[u32]| stored.loss(&[world::example(history, 1)], 1);
    assert!(loss(&[0, 2, 6]).is_ok());
    let error = loss(&[0, 4, 6]).unwrap_err();
    assert!(error.to_string().contains("row 4"), "{error}");
}

#[test]
fn a_file_of_tables_of_another_shape_is_refused() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("items.safetensors");
    let flat = ItemTable::new(&[1.0, 2.0], 1, &[true, true]).unwrap();
    assert!(!flat.is_stored());
    let save = |tensors: &[(&str, &[i64], Kind)]| {
        let tensors: Vec<_> = tensors
            .iter()
            .map(|(name, shape, kind)| ((*name).to_owned(), tch::Tensor::zeros(*shape, (*kind, Device::Cpu))))
            .collect();
        regen_torch::save_tensors(&path, &tensors, &[]).unwrap();
        ItemTables::open(&path, TablePlace::Disk)
    };
    let mismatch = |opened: regen_narrator::Result<ItemTables>| {
        matches!(opened, Err(Error::Torch(regen_torch::Error::ShapeMismatch { .. })))
    };
    assert!(mismatch(save(&[("cf", &[4], Kind::Float), ("cf_present", &[4], Kind::Bool)])));
    assert!(mismatch(save(&[("cf", &[4, 2], Kind::Float), ("cf_present", &[3], Kind::Bool)])));
    let absent = save(&[("cf", &[4, 2], Kind::Float)]);
    assert!(matches!(absent, Err(Error::Torch(regen_torch::Error::MissingTensor { .. }))));
    assert!(matches!(save(&[]), Err(Error::Mismatch { .. })));
    let different = save(&[
        ("cf", &[4, 2], Kind::Float),
        ("cf_present", &[4], Kind::Bool),
        ("semantic", &[3, 2], Kind::Float),
        ("semantic_present", &[3], Kind::Bool),
    ]);
    assert!(matches!(different, Err(Error::Mismatch { .. })));
}
