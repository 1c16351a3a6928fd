//! Matrices and fits on disk: what a sharded fit gives is what the fit in memory gives.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regen_wals::shards::{ShardPlan, ShardProgress, ShardStep, ShardWriter, ShardedFit, ShardedMatrix};
use regen_wals::{
    Arithmetic, Confidence, Error, InteractionMatrix, Solver, Stage, UnobservedScope, WalsConfig, WalsModel,
};
use tempfile::TempDir;

use crate::world::config;

/// Three shards of users and three of items, the last of each short and of different size.
pub(crate) const USERS: usize = 4_700;
pub(crate) const ITEMS: usize = 4_300;
const PLAN: ShardPlan = ShardPlan { users_per_shard: 1500, items_per_shard: 2048 };

/// Popular items and busy users, rows without pairs, pairs that occur twice, in no order.
pub(crate) fn triplets() -> Vec<(u32, u32, f32)> {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let mut pairs = Vec::new();
    for _ in 0..24_000 {
        let user = (USERS as f64 * rng.random::<f64>().powi(2)) as u32;
        let item = (ITEMS as f64 * rng.random::<f64>().powi(3)) as u32;
        if user % 97 != 5 {
            pairs.push((user, item, rng.random_range(1..5) as f32));
        }
    }
    // One row longer than any system that is factored side by side.
    pairs.extend((0..300).map(|k| (4_600, k * 7, 1.0)));
    pairs
}

pub(crate) fn matrix() -> InteractionMatrix {
    InteractionMatrix::from_triplets(USERS, ITEMS, triplets()).unwrap()
}

struct Disk {
    folder: TempDir,
    matrix: ShardedMatrix,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = ShardWriter::create(&folder.path().join("shards"), PLAN).unwrap();
        for (user, item, value) in triplets() {
            writer.push(user, item, value).unwrap();
        }
        let matrix = writer.finish(USERS, ITEMS).unwrap();
        Self { folder, matrix }
    }

    fn fit(&self, config: &WalsConfig) -> (Array2<f32>, Array2<f32>) {
        let work = self.folder.path().join("fit");
        match config.fit_shards(&self.matrix, &work, &mut |_| ControlFlow::Continue(())).unwrap() {
            ShardedFit::Finished { user_factors, item_factors } => {
                assert_eq!((user_factors.rows(), item_factors.rows()), (USERS, ITEMS));
                (user_factors.read(0..USERS).unwrap(), item_factors.read(0..ITEMS).unwrap())
            }
            stopped => panic!("{stopped:?}"),
        }
    }

    fn forget(&self) {
        let work = self.folder.path().join("fit");
        fs::remove_dir_all(work).unwrap();
    }
}

fn assert_same(sharded: &(Array2<f32>, Array2<f32>), model: &WalsModel, what: &dyn std::fmt::Debug) {
    assert!(model.item_factors().iter().any(|&v| v.abs() > 1e-3));
    assert_eq!(sharded.0, model.user_factors(), "{what:?}");
    assert_eq!(sharded.1, model.item_factors(), "{what:?}");
}

#[test]
fn a_fit_over_shards_equals_the_fit_in_memory_bit_for_bit() {
    let (disk, memory) = (Disk::new(), matrix());
    assert_eq!((disk.matrix.user_shards(), disk.matrix.item_shards()), (3, 3));
    assert_eq!(disk.matrix.pairs(), memory.pairs());
    let base = WalsConfig { iterations: 2, ..config(12, Solver::Cholesky) };
    let configs = [
        base.clone(),
        WalsConfig { solver: Solver::ConjugateGradient { steps: 2 }, ..base.clone() },
        WalsConfig { solver: Solver::Block { size: 5, relaxation: 1.3 }, ..base.clone() },
        WalsConfig {
            unobserved_scope: UnobservedScope::All,
            confidence: Confidence::Constant { weight: 1.0 },
            unobserved_weight: 0.0,
            ..base.clone()
        },
        // Some pairs lighter than α₀: those rows take another road than their neighbours.
        WalsConfig { confidence: Confidence::Proportional { alpha: 0.15 }, ..base.clone() },
        // Rows on either side of every choice of road.
        WalsConfig { rank: 150, iterations: 1, ..base },
    ];
    for config in configs {
        assert_same(&disk.fit(&config), &config.fit(&memory).unwrap(), &config);
        disk.forget();
    }
}

#[test]
fn the_loss_over_shards_equals_the_loss_in_memory_and_never_rises() {
    let (disk, memory) = (Disk::new(), matrix());
    let config = WalsConfig { iterations: 2, ..config(7, Solver::Cholesky) };
    let mut expected = Vec::new();
    config
        .fit_with(&memory, &mut |progress| {
            expected.push((progress.stage, progress.objective()));
            ControlFlow::Continue(())
        })
        .unwrap();
    let mut got = Vec::new();
    let work = disk.folder.path().join("fit");
    let mut watch = |progress: ShardProgress<'_>| {
        let stage = match progress.step {
            ShardStep::Begun => Stage::Start,
            ShardStep::UsersSolved => Stage::UsersSolved,
            ShardStep::IterationDone => Stage::IterationDone,
            ShardStep::UserShard(_) | ShardStep::ItemShard(_) => return ControlFlow::Continue(()),
        };
        got.push((stage, progress.objective().unwrap()));
        ControlFlow::Continue(())
    };
    config.fit_shards(&disk.matrix, &work, &mut watch).unwrap();
    assert_eq!(got, expected);
    assert!(got.windows(2).all(|pair| pair[1].1 <= pair[0].1 * (1.0 + 1e-6)));
}

/// Runs until the given step of the given iteration comes by.
fn run_until(disk: &Disk, config: &WalsConfig, iteration: usize, step: ShardStep) -> (usize, usize) {
    let work = disk.folder.path().join("fit");
    let mut seen = 0;
    let fitted = config.fit_shards(&disk.matrix, &work, &mut |progress| {
        seen += 1;
        if (progress.iteration, progress.step) == (iteration, step) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    match fitted.unwrap() {
        ShardedFit::Stopped { completed } => (completed, seen),
        finished => panic!("{finished:?}"),
    }
}

#[test]
fn an_interrupted_fit_goes_on_after_the_last_finished_shard_to_the_same_result() {
    let (disk, memory) = (Disk::new(), matrix());
    for solver in [Solver::Cholesky, Solver::ConjugateGradient { steps: 2 }] {
        let config = WalsConfig { iterations: 3, ..config(9, solver) };
        assert_eq!(run_until(&disk, &config, 0, ShardStep::Begun), (0, 1));
        assert_eq!(run_until(&disk, &config, 1, ShardStep::ItemShard(2)).0, 1 - 1);
        assert_eq!(run_until(&disk, &config, 2, ShardStep::UserShard(1)).0, 1);
        let work = disk.folder.path().join("fit");
        let solved = work.join("factors-000003").join("users").join("00000.npy");
        let written = fs::metadata(&solved).unwrap().modified().unwrap();
        // A block that was being written when the machine went down has not got its name yet.
        fs::write(solved.with_file_name("00001.npy.123.tmp"), "half a block").unwrap();
        assert_eq!(run_until(&disk, &config, 2, ShardStep::UserShard(3)).0, 1);
        assert_eq!(fs::metadata(&solved).unwrap().modified().unwrap(), written, "solved again");
        assert_same(&disk.fit(&config), &config.fit(&memory).unwrap(), &solver);
        // A finished fit is asked for more.
        let longer = WalsConfig { iterations: 4, ..config };
        assert_same(&disk.fit(&longer), &longer.fit(&memory).unwrap(), &solver);
        // One generation and the result.
        assert_eq!(fs::read_dir(&work).unwrap().count(), 4);
        disk.forget();
    }
}

/// As somebody does who is told that the folder holds another fit.
#[test]
fn factors_of_a_fit_whose_state_was_removed_are_not_taken_for_those_of_the_next() {
    let disk = Disk::new();
    let begun = WalsConfig { iterations: 2, ..config(3, Solver::Cholesky) };
    disk.fit(&begun);
    fs::remove_file(disk.folder.path().join("fit/fit.json")).unwrap();
    let next = WalsConfig { regularization: 0.5, ..begun };
    let found = disk.fit(&next);
    disk.forget();
    assert_eq!(found, disk.fit(&next));
}

#[test]
fn a_fit_of_another_matrix_or_configuration_is_refused() {
    let disk = Disk::new();
    let work = disk.folder.path().join("fit");
    let base = WalsConfig { iterations: 2, ..config(3, Solver::Cholesky) };
    run_until(&disk, &base, 2, ShardStep::UsersSolved);
    let refused =
        |config: &WalsConfig, matrix: &ShardedMatrix| match config
            .fit_shards(matrix, &work, &mut |_| ControlFlow::Continue(()))
        {
            Err(Error::ForeignState { field, .. }) => field,
            other => panic!("{other:?}"),
        };
    let other = WalsConfig { regularization: 0.5, ..base.clone() };
    assert_eq!(refused(&other, &disk.matrix), "the configuration");
    let fewer = WalsConfig { iterations: 1, ..base.clone() };
    assert_eq!(refused(&fewer, &disk.matrix), "iterations");
    let mut changed = triplets();
    changed[17].2 += 1.0;
    let changed = InteractionMatrix::from_triplets(USERS, ITEMS, changed).unwrap();
    let changed = ShardedMatrix::write(&disk.folder.path().join("changed"), &changed, PLAN).unwrap();
    assert_eq!(refused(&base, &changed), "the matrix");
    fs::write(work.join("fit.json"), "{").unwrap();
    let damaged = base.fit_shards(&disk.matrix, &work, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(damaged, Err(Error::Format { field: "content", .. })));
}

#[test]
fn a_matrix_in_memory_and_a_stream_give_the_same_shards() {
    let disk = Disk::new();
    let written = disk.folder.path().join("written");
    ShardedMatrix::write(&written, &matrix(), PLAN).unwrap();
    let streamed = disk.folder.path().join("shards");
    for name in ["shards.json", "users/00000.shard", "users/00002.shard", "items/00001.shard"] {
        assert_eq!(fs::read(written.join(name)).unwrap(), fs::read(streamed.join(name)).unwrap(), "{name}");
    }
    assert_eq!(fs::read_dir(&streamed).unwrap().count(), 3, "no bucket stays behind");
    assert_eq!(ShardedMatrix::open(&streamed).unwrap().pairs(), disk.matrix.pairs());
}

#[test]
fn triplets_that_cannot_be_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let writer = || ShardWriter::create(folder.path(), PLAN).unwrap();
    let finish = |triplets: &[(u32, u32, f32)]| {
        let mut writer = writer();
        triplets.iter().try_for_each(|&(user, item, value)| writer.push(user, item, value))?;
        writer.finish(3000, 5000)
    };
    assert!(matches!(finish(&[(1, 1, f32::NAN)]), Err(Error::InvalidValue { user: 1, item: 1, .. })));
    assert!(matches!(finish(&[(1, 1, -1.0)]), Err(Error::InvalidValue { .. })));
    assert!(matches!(finish(&[(3000, 1, 1.0)]), Err(Error::UserOutOfRange { user: 3000, users: 3000 })));
    assert!(matches!(finish(&[(1, 5000, 1.0)]), Err(Error::ItemOutOfRange { item: 5000, items: 5000 })));
    let sum = finish(&[(2500, 4500, 3e38), (2500, 4500, 3e38)]);
    assert!(matches!(sum, Err(Error::InvalidValue { user: 2500, item: 4500, .. })), "{sum:?}");
    assert!(matches!(writer().finish(1 << 33, 1), Err(Error::TooLarge { axis: "users", .. })));
    let none = ShardPlan { users_per_shard: 0, items_per_shard: 1 };
    assert!(matches!(
        ShardWriter::create(folder.path(), none),
        Err(Error::InvalidSetting { field: "users_per_shard", .. })
    ));

    let empty = writer().finish(3000, 5000).unwrap();
    let fitted =
        config(2, Solver::Cholesky).fit_shards(&empty, folder.path(), &mut |_| ControlFlow::Continue(()));
    assert!(matches!(fitted, Err(Error::NoPairs { users: 3000, items: 5000 })));
    let twice = ShardWriter::create(folder.path(), PLAN);
    assert!(matches!(twice, Err(Error::AlreadyThere { .. })));

    let targets = InteractionMatrix::from_weighted_targets(1, 1, [(0, 0, 1.0, 2.0)]).unwrap();
    let sharded = ShardedMatrix::write(&folder.path().join("targets"), &targets, PLAN);
    assert!(matches!(sharded, Err(Error::ShardedTargets)));
    let double = WalsConfig { arithmetic: Arithmetic::F64, ..config(2, Solver::Cholesky) };
    let fitted = double.fit_shards(&empty, folder.path(), &mut |_| ControlFlow::Continue(()));
    assert!(matches!(fitted, Err(Error::ShardedArithmetic)));
}

#[test]
fn a_row_without_a_solution_is_named_by_its_number_in_the_whole_matrix() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = ShardWriter::create(&folder.path().join("shards"), PLAN).unwrap();
    writer.push(2300, 1, 1.0).unwrap();
    let matrix = writer.finish(3000, 3).unwrap();
    let config = WalsConfig { rank: 3, regularization: 0.0, unobserved_weight: 0.0, ..WalsConfig::default() };
    let fitted = config.fit_shards(&matrix, &folder.path().join("fit"), &mut |_| ControlFlow::Continue(()));
    assert!(matches!(fitted, Err(Error::NotPositiveDefinite { side: "user", row: 2300 })), "{fitted:?}");
}

/// Changes one shard and fits; the part of the file that is refused.
fn damaged(disk: &Disk, change: impl Fn(&mut Vec<u8>)) -> &'static str {
    let path = disk.folder.path().join("shards/users/00001.shard");
    let good = fs::read(&path).unwrap();
    let mut bytes = good.clone();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
    let work = tempfile::tempdir().unwrap();
    let config = WalsConfig { iterations: 1, ..config(2, Solver::Cholesky) };
    let fitted = config.fit_shards(&disk.matrix, work.path(), &mut |_| ControlFlow::Continue(()));
    fs::write(&path, good).unwrap();
    match fitted {
        Err(Error::Format { field, path: named, .. }) => {
            assert_eq!(named, path);
            field
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn damaged_shards_are_told_apart() {
    let disk = Disk::new();
    let rows = 2048;
    assert_eq!(damaged(&disk, |bytes| bytes.truncate(100)), "file size");
    assert_eq!(damaged(&disk, |bytes| bytes[0] = b'x'), "magic number");
    assert_eq!(damaged(&disk, |bytes| bytes[8] ^= 1), "shape");
    assert_eq!(damaged(&disk, |bytes| bytes[24] ^= 1), "pairs of all rows");
    assert_eq!(damaged(&disk, |bytes| bytes[24 + 4 * rows + 3] = 0xff), "columns of a row");
    let infinite = f32::INFINITY.to_le_bytes();
    let at_end = |bytes: &mut Vec<u8>| {
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&infinite);
    };
    assert_eq!(damaged(&disk, at_end), "a value");
    let index = disk.folder.path().join("shards/shards.json");
    let text = fs::read_to_string(&index).unwrap();
    let open = |text: &str| {
        fs::write(&index, text).unwrap();
        ShardedMatrix::open(index.parent().unwrap_or(Path::new(""))).map(|matrix| matrix.pairs())
    };
    assert!(matches!(open(&text[..40]), Err(Error::Format { field: "content", .. })));
    let fewer = text.replacen("\"pairs\": ", "\"pairs\": 1", 1);
    assert!(matches!(open(&fewer), Err(Error::Format { field: "user_shards", .. })));
    let crooked = text.replacen("2048", "2047", 1);
    assert!(matches!(open(&crooked), Err(Error::Format { field: "users_per_shard", .. })));
    let crooked = text.replacen("\"items_per_shard\": 2048", "\"items_per_shard\": 2047", 1);
    match open(&crooked) {
        Err(Error::Format { field: "items_per_shard", expected, got, .. }) => {
            assert_eq!((expected.as_str(), got.as_str()), ("2048", "2047"));
        }
        other => panic!("{other:?}"),
    }
    let mut edited: serde_json::Value = serde_json::from_str(&text).unwrap();
    edited["user_shards"] = serde_json::json!([usize::MAX, usize::MAX, 2]);
    assert!(matches!(open(&edited.to_string()), Err(Error::Format { field: "user_shards", .. })));
    // Sums that fit, of shards that no file could hold.
    edited["user_shards"] = serde_json::json!([usize::MAX, 0, 0]);
    edited["item_shards"] = serde_json::json!([usize::MAX, 0, 0]);
    edited["pairs"] = serde_json::json!(usize::MAX);
    fs::write(&index, edited.to_string()).unwrap();
    let folder = index.parent().unwrap();
    let huge = ShardedMatrix::open(folder).unwrap();
    let work = tempfile::tempdir().unwrap();
    let fitted =
        config(2, Solver::Cholesky).fit_shards(&huge, work.path(), &mut |_| ControlFlow::Continue(()));
    assert!(matches!(fitted, Err(Error::Format { field: "file size", .. })), "{fitted:?}");
    edited["users"] = serde_json::json!(usize::MAX);
    assert!(matches!(open(&edited.to_string()), Err(Error::Format { field: "users", .. })));
    assert!(open(&text).is_ok());
}
