//! Files whose bytes were changed at random: what they hold is read or refused by a typed error, and nothing is taken from them
//! that asks for more memory than they have bytes.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regen_wals::persist::{Checkpoint, FactorFile, FactorFormat, load, load_npy, load_safetensors, save_as};
use regen_wals::shards::{ShardPlan, ShardedFit, ShardedMatrix};
use regen_wals::{InteractionMatrix, Solver, Stage, WalsConfig};

use crate::world::{config, triplets};

/// What formats are made of: a change to one of these says more than a random byte.
const TELLING: &[u8] = b"0123456789(),:{}[]'\"-+eE. \xff\x00";

/// One to four changes: bits, telling bytes, extreme numbers, a cut, or a part that is written twice.
fn changed(whole: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..rng.random_range(1..5) {
        if bytes.is_empty() {
            break;
        }
        // Headers stand in front and are short.
        let near = bytes.len().min(200);
        let at =
            if rng.random_bool(0.7) { rng.random_range(0..near) } else { rng.random_range(0..bytes.len()) };
        match rng.random_range(0..6) {
            0 | 1 => bytes[at] ^= 1 << rng.random_range(0..8),
            2 | 3 => bytes[at] = TELLING[rng.random_range(0..TELLING.len())],
            4 => {
                let number = [u64::MAX, 1 << 63, 1 << 32, u64::from(u32::MAX), 0][rng.random_range(0..5)];
                let end = bytes.len().min(at + 8);
                let width = end - at;
                bytes[at..end].copy_from_slice(&number.to_le_bytes()[..width]);
            }
            _ if rng.random_bool(0.5) => bytes.truncate(at),
            _ => {
                let part = bytes[at..bytes.len().min(at + 16)].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

/// Changes each of `files` some hundred times, calls `read`, and puts back what was there.
fn each_change(files: &[PathBuf], times: usize, seed: u64, mut read: impl FnMut(&Path)) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for file in files {
        let whole = fs::read(file).unwrap();
        for _ in 0..times {
            fs::write(file, changed(&whole, &mut rng)).unwrap();
            read(file);
        }
        fs::write(file, whole).unwrap();
    }
}

/// A matrix small enough that a file of it is read in no time.
fn small() -> InteractionMatrix {
    let few = triplets(5).into_iter().filter(|&(user, item, _)| user < 12 && item < 9);
    InteractionMatrix::from_triplets(12, 9, few).unwrap()
}

#[test]
fn factors_whose_bytes_were_changed_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = config(3, Solver::Cholesky).fit(&small()).unwrap();
    let ids = |count: usize| (0..count).map(|id| id.to_string()).collect::<Vec<_>>();
    for (seed, format) in [(1, FactorFormat::Npy), (2, FactorFormat::Safetensors)] {
        let folder = folder.path().join(seed.to_string());
        save_as(&folder, format, &model, &ids(12), &ids(9)).unwrap();
        let files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        each_change(&files, 500, seed, |file| {
            let _ = load(&folder);
            let bytes = fs::metadata(file).unwrap().len() as usize;
            match file.extension().unwrap().to_str().unwrap() {
                "npy" => {
                    if let Ok(read) = load_npy(file) {
                        assert!(4 * read.len() <= bytes);
                    }
                    if let Ok(open) = FactorFile::open(file) {
                        let _ = open.gather(&[0, 8, 3]);
                        let _ = open.read(2..4);
                    }
                }
                "safetensors" => {
                    for name in ["user_factors", "item_factors"] {
                        if let Ok(read) = load_safetensors(file, name) {
                            assert!(4 * read.len() <= bytes);
                        }
                    }
                }
                _ => {}
            }
        });
        assert!(load(&folder).is_ok());
    }
}

#[test]
fn checkpoints_whose_bytes_were_changed_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let matrix = small();
    let fitted = config(3, Solver::Cholesky).fit_with(&matrix, &mut |progress| {
        if progress.stage == Stage::IterationDone {
            progress.save_checkpoint(folder.path()).unwrap();
        }
        ControlFlow::Continue(())
    });
    fitted.unwrap();
    let files: Vec<PathBuf> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4);
    let mut read = 0;
    each_change(&files, 300, 3, |_| {
        let Ok(checkpoint) = Checkpoint::load(folder.path(), &matrix) else { return };
        read += 1;
        let _ = checkpoint.factors();
        // Numbers may be anything that is a number: the fit refuses or goes on.
        let config = WalsConfig {
            iterations: checkpoint.completed_iterations.min(1 << 20) + 1,
            ..checkpoint.config.clone()
        };
        let mut points = 0;
        let _ = config.fit_from(&matrix, checkpoint.initial(), &mut |_| {
            points += 1;
            if points < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
    });
    assert!(read > 0);
    assert!(Checkpoint::load(folder.path(), &matrix).is_ok());
}

#[test]
fn shards_whose_bytes_were_changed_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (shards, work) = (folder.path().join("shards"), folder.path().join("work"));
    let plan = ShardPlan { users_per_shard: 512, items_per_shard: 512 };
    let matrix = ShardedMatrix::write(&shards, &small(), plan).unwrap();
    let config = WalsConfig { iterations: 1, ..config(3, Solver::Cholesky) };
    let stop_after = |points: usize| {
        let mut seen = 0;
        move |_: regen_wals::shards::ShardProgress<'_>| {
            seen += 1;
            if seen < points { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        }
    };
    // Stopped in the middle: the state, a basis and factors of one half-sweep are there.
    let stopped = config.fit_shards(&matrix, &work, &mut stop_after(3)).unwrap();
    assert!(matches!(stopped, ShardedFit::Stopped { .. }));
    let mut files = Vec::new();
    let mut folders = vec![shards.clone(), work.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    assert!(files.len() >= 6, "{files:?}");
    let state: Vec<(PathBuf, Vec<u8>)> =
        files.iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect();
    each_change(&files, 120, 4, |changed| {
        if let Ok(matrix) = ShardedMatrix::open(&shards) {
            let _ = config.fit_shards(&matrix, &work, &mut |_| ControlFlow::Continue(()));
        }
        // The next change is to a fit that is where the first was.
        for folder in fs::read_dir(&work).unwrap() {
            let path = folder.unwrap().path();
            let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            removed.unwrap();
        }
        for (file, bytes) in state.iter().filter(|(file, _)| file != changed) {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
        fs::create_dir_all(changed.parent().unwrap()).unwrap();
    });
    let matrix = ShardedMatrix::open(&shards).unwrap();
    let whole = config.fit_shards(&matrix, &work, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(matches!(whole, ShardedFit::Finished { .. }));
}
