//! A disk without room: whatever is being written, the error names the file, what stood there before still stands,
//! nothing half written stays, and what was interrupted goes on.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use ndarray::Array2;
use regen_wals::evaluate::RankingMetric;
use regen_wals::persist::{
    Checkpoint, FACTORS, FactorFormat, ITEM_FACTORS, ITEM_IDS, USER_FACTORS, USER_IDS, save, save_as,
    save_ids, save_npy, save_safetensors,
};
use regen_wals::search::{Search, SearchSpace, Strategy, Trial};
use regen_wals::shards::{ShardPlan, ShardWriter, ShardedFit, ShardedMatrix};
use regen_wals::{EarlyStopping, Error, HoldOut, Solver, WalsConfig};

use crate::world::{ITEMS, USERS, config, matrix, triplets};

/// All files below a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            all.insert(path, bytes);
        }
    }
    all
}

/// The name under which a file is written before it gets its own.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap().to_str().unwrap();
    path.with_file_name(format!("{name}.{}.tmp", std::process::id()))
}

/// Lets a device that is always full stand in for the disk under one file.
fn fill(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", temporary(path)).unwrap();
}

fn assert_no_room<T: Debug>(got: Result<T, Error>, path: &Path, kind: ErrorKind) {
    match got {
        Err(Error::Io { action: "write", path: named, source }) => {
            assert_eq!(named, path);
            assert_eq!(source.kind(), kind);
        }
        other => panic!("{}: {other:?}", path.display()),
    }
}

/// Writes while there is no room for `path`: the folder is as it was before.
fn refused<T: Debug>(folder: &Path, path: &Path, write: impl FnOnce() -> Result<T, Error>) {
    let before = contents(folder);
    fill(path);
    assert_no_room(write(), path, ErrorKind::StorageFull);
    assert_eq!(contents(folder), before, "{}", path.display());
    assert!(fs::symlink_metadata(temporary(path)).is_err(), "left behind for {}", path.display());
}

fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|k| format!("{prefix}{k}")).collect()
}

#[test]
fn matrices_and_ids_that_find_no_room_leave_the_file_before() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (old, new) = (Array2::<f32>::zeros((2, 3)), Array2::<f32>::ones((4, 3)));
    let [npy, tensors, list] = ["a.npy", "a.safetensors", "a.txt"].map(|name| folder.join(name));
    save_npy(&npy, old.view()).unwrap();
    save_safetensors(&tensors, &[("a", old.view())]).unwrap();
    save_ids(&list, &["one"]).unwrap();
    refused(folder, &npy, || save_npy(&npy, new.view()));
    refused(folder, &tensors, || save_safetensors(&tensors, &[("a", new.view())]));
    refused(folder, &list, || save_ids(&list, &["two", "three"]));
}

#[test]
fn a_model_that_finds_no_room_leaves_all_files_of_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let fit = |seed| WalsConfig { seed, ..config(4, Solver::Cholesky) }.fit(&matrix()).unwrap();
    let (old, new) = (fit(1), fit(2));
    save(folder, &old, &ids("u", USERS), &ids("i", ITEMS)).unwrap();
    for name in [USER_IDS, ITEM_IDS, USER_FACTORS, ITEM_FACTORS] {
        refused(folder, &folder.join(name), || save(folder, &new, &ids("v", USERS), &ids("j", ITEMS)));
    }
    refused(folder, &folder.join(FACTORS), || {
        save_as(folder, FactorFormat::Safetensors, &new, &ids("v", USERS), &ids("j", ITEMS))
    });
}

#[test]
fn a_checkpoint_that_finds_no_room_leaves_the_one_before_and_no_factors() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let matrix = matrix();
    let model = config(4, Solver::Cholesky).fit(&matrix).unwrap();
    let (users, items) = (model.user_factors(), model.item_factors());
    let write = |iteration| Checkpoint::save(folder, model.config(), &matrix, iteration, users, items);
    write(1).unwrap();
    for name in ["user_factors.2.npy", "item_factors.2.npy", "checkpoint.json"] {
        refused(folder, &folder.join(name), || write(2));
        assert_eq!(Checkpoint::load(folder, &matrix).unwrap().completed_iterations, 1);
    }
}

const PLAN: ShardPlan = ShardPlan { users_per_shard: 2048, items_per_shard: 2048 };
const ROWS: usize = 3_000;

/// Enough triplets of two shards that buckets are appended to.
fn many() -> Vec<(u32, u32, f32)> {
    (0..20_000u32).map(|k| (k * 7 % ROWS as u32, (k * k % 2_999 + k) % ROWS as u32, 1.0)).collect()
}

fn shard(folder: &Path) -> Result<ShardedMatrix, Error> {
    let mut writer = ShardWriter::create(folder, PLAN)?;
    many().into_iter().try_for_each(|(user, item, value)| writer.push(user, item, value))?;
    writer.finish(ROWS, ROWS)
}

#[test]
fn triplets_that_find_no_room_are_kept_and_written_once_there_is_some() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, resumed) = (folder.path().join("whole"), folder.path().join("resumed"));
    shard(&whole).unwrap();
    let mut writer = ShardWriter::create(&resumed, PLAN).unwrap();
    let bucket = resumed.join("writing.tmp/users-00000");
    std::os::unix::fs::symlink("/dev/full", &bucket).unwrap();
    let mut failures = 0;
    for (user, item, value) in many() {
        let pushed = writer.push(user, item, value);
        if pushed.is_err() {
            failures += 1;
            assert_no_room(pushed, &bucket, ErrorKind::StorageFull);
            // Room again; a part of what was to be appended had gone through.
            fs::remove_file(&bucket).unwrap();
            fs::write(&bucket, "half a rec").unwrap();
        }
    }
    assert_eq!(failures, 1);
    writer.finish(ROWS, ROWS).unwrap();
    let relative = |folder: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
        let strip = |path: PathBuf| path.strip_prefix(folder).unwrap().to_path_buf();
        contents(folder).into_iter().map(|(path, bytes)| (strip(path), bytes)).collect()
    };
    assert_eq!(relative(&resumed), relative(&whole));
}

#[test]
fn shards_that_find_no_room_leave_no_index_and_no_buckets() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["users/00001.shard", "items/00000.shard", "shards.json"] {
        let path = folder.join(name);
        fill(&path);
        assert_no_room(shard(folder), &path, ErrorKind::StorageFull);
        assert!(fs::symlink_metadata(temporary(&path)).is_err());
        assert!(!path.exists() && !folder.join("shards.json").exists());
        assert!(!folder.join("writing.tmp").exists());
    }
    let mut writer = ShardWriter::create(folder, PLAN).unwrap();
    many().into_iter().try_for_each(|(user, item, value)| writer.push(user, item, value)).unwrap();
    drop(writer);
    assert!(!folder.join("writing.tmp").exists());
    assert!(shard(folder).is_ok());
}

#[test]
fn a_sharded_fit_that_finds_no_room_goes_on_to_the_same_factors() {
    let folder = tempfile::tempdir().unwrap();
    let (shards, work) = (folder.path().join("shards"), folder.path().join("fit"));
    let mut writer = ShardWriter::create(&shards, PLAN).unwrap();
    triplets(5).into_iter().try_for_each(|(user, item, value)| writer.push(user, item, value)).unwrap();
    let sharded = writer.finish(USERS, ITEMS).unwrap();
    let config = WalsConfig { iterations: 1, ..config(4, Solver::Cholesky) };
    let fit = |config: &WalsConfig| config.fit_shards(&sharded, &work, &mut |_| ControlFlow::Continue(()));
    for name in [
        "factors-000000/items/00000.npy",
        "fit.json",
        "factors-000001/items/00000.npy",
        "factors-000001/users/00000.npy",
        "factors-000001/basis.f64",
        "factors-000002/basis.f64",
        "user_factors.npy",
        "item_factors.npy",
    ] {
        let path = work.join(name);
        let state = fs::read(work.join("fit.json")).ok();
        fill(&path);
        assert_no_room(fit(&config), &path, ErrorKind::StorageFull);
        assert!(fs::symlink_metadata(temporary(&path)).is_err() && !path.exists(), "{name}");
        // Where the fit stands is known as before, or better.
        assert!(state.is_none() || work.join("fit.json").exists(), "{name}");
        let stray = contents(&work).into_keys().find(|path| path.extension().is_some_and(|e| e == "tmp"));
        assert_eq!(stray, None, "{name}");
    }
    assert!(!work.join(USER_FACTORS).exists(), "one side alone");
    let factors = |fitted| match fitted {
        Ok(ShardedFit::Finished { user_factors, item_factors }) => {
            (user_factors.read(0..USERS).unwrap(), item_factors.read(0..ITEMS).unwrap())
        }
        other => panic!("{other:?}"),
    };
    let model = config.fit(&matrix()).unwrap();
    let (users, items) = factors(fit(&config));
    assert_eq!((users.view(), items.view()), (model.user_factors(), model.item_factors()));

    // A longer fit replaces both sides or none.
    let longer = WalsConfig { iterations: 2, ..config };
    let before = [USER_FACTORS, ITEM_FACTORS].map(|name| fs::read(work.join(name)).unwrap());
    fill(&work.join(ITEM_FACTORS));
    assert_no_room(fit(&longer), &work.join(ITEM_FACTORS), ErrorKind::StorageFull);
    assert_eq!([USER_FACTORS, ITEM_FACTORS].map(|name| fs::read(work.join(name)).unwrap()), before);
    assert_eq!(factors(fit(&longer)).0, longer.fit(&matrix()).unwrap().user_factors());
}

#[test]
fn a_search_that_finds_no_room_goes_on_to_the_same_report() {
    let folder = tempfile::tempdir().unwrap();
    let all = matrix();
    let (train, held_out) = HoldOut { share: 0.25, users: None, seed: 3 }.split(&all).unwrap();
    let space = SearchSpace {
        base: WalsConfig { iterations: 4, ..config(4, Solver::Cholesky) },
        ranks: vec![2, 4],
        regularizations: vec![0.02],
        unobserved_weights: vec![0.1, 0.6],
        frequency_exponents: vec![0.0],
    };
    let run = |folder: Option<&Path>| {
        let stopping = EarlyStopping { held_out: &held_out, metric: RankingMetric::Ndcg, k: 5, patience: 9 };
        let strategy = Strategy::SuccessiveHalving { first_iterations: 2, factor: 2 };
        let search = Search { space: &space, strategy, train: &train, stopping, folder };
        search.run(&mut |_| ControlFlow::Continue(())).map(|report| -> Vec<Trial> {
            report.trials.into_iter().map(|trial| Trial { seconds: 0.0, ..trial }).collect()
        })
    };
    let journal = folder.path().join("trials.jsonl");
    for path in [folder.path().join("factors/cell-00001/checkpoint.json"), journal.clone()] {
        let before = fs::read(&journal).ok();
        fill(&path);
        assert_no_room(run(Some(folder.path())), &path, ErrorKind::StorageFull);
        assert!(fs::symlink_metadata(temporary(&path)).is_err());
        // Trials only ever join the journal whole.
        if let Some(before) = before {
            assert!(fs::read(&journal).unwrap().starts_with(&before));
        }
    }
    assert_eq!(run(Some(folder.path())).unwrap(), run(None).unwrap());
}

/// The variable that tells a test that it runs where files cannot grow beyond a limit.
const LIMITED: &str = "REGEN_WALS_TEST_LIMITED";

#[test]
fn files_that_outgrow_the_room_on_the_way_leave_the_file_before_and_no_part() {
    if std::env::var_os(LIMITED).is_none() {
        // This test again, in a process whose files end at 128 blocks of 512 bytes or 1 KiB.
        let script = "trap '' XFSZ; ulimit -f 128; exec \"$0\" --exact \"$1\"";
        let name = "full_disk::files_that_outgrow_the_room_on_the_way_leave_the_file_before_and_no_part";
        let limited = Command::new("sh")
            .args(["-c", script])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env(LIMITED, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&limited.stdout);
        assert!(limited.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (small, large) = (Array2::<f32>::zeros((2, 3)), Array2::<f32>::ones((50_000, 10)));
    let [npy, tensors, list] = ["a.npy", "a.safetensors", "a.txt"].map(|name| folder.join(name));
    save_npy(&npy, small.view()).unwrap();
    save_safetensors(&tensors, &[("a", small.view())]).unwrap();
    save_ids(&list, &["one"]).unwrap();
    let before = contents(folder);
    let full = ErrorKind::FileTooLarge;
    assert_no_room(save_npy(&npy, large.view()), &npy, full);
    assert_no_room(save_safetensors(&tensors, &[("a", large.view())]), &tensors, full);
    assert_no_room(save_ids(&list, &ids("number ", 50_000)), &list, full);
    assert_eq!(contents(folder), before);
    // The second append to a bucket goes beyond the limit.
    let shards = folder.join("shards");
    let mut writer = ShardWriter::create(&shards, PLAN).unwrap();
    let failure = (0..50_000u32).find_map(|k| writer.push(k % 2_000, k % 3_000, 1.0).err());
    assert_no_room(failure.map_or(Ok(()), Err), &shards.join("writing.tmp/users-00000"), full);
    drop(writer);
    assert_eq!(contents(folder), before);
}
