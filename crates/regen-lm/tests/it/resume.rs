//! A run that is really killed, and goes on.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use regen_lm::train::{AdamW, AdamWConfig, ParameterGroup, load_snapshot, save_snapshot};
use regen_lm::{PaddingMask, masked_loss};
use regen_torch::{Checkpoint, save_tensors, seed};
use tch::{Device, Tensor};

use crate::support::{ids, random_model, small_config, stored};

const STEPS: u64 = 30;
const FOLDER: &str = "REGEN_LM_TEST_RUN";

/// What the loop needs beside parameters and optimiser.
#[derive(serde::Serialize, serde::Deserialize)]
struct Cursor {
    batches: u64,
}

fn train(dir: &Path) {
    let (_vs, decoder) = random_model(&small_config(), 3);
    let parameters: Vec<(String, Tensor)> =
        decoder.parameters().iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
    let tensors = parameters.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
    let group = ParameterGroup { name: "all".into(), tensors, learning_rate: 1e-3, weight_decay: 0.1 };
    let mut optimiser = AdamW::new(vec![group], AdamWConfig::default()).unwrap();
    let snapshots = dir.join("snapshots");
    let mut cursor =
        load_snapshot(&snapshots, &parameters, &mut optimiser).unwrap().unwrap_or(Cursor { batches: 0 });
    while cursor.batches < STEPS {
        let noise = seed::normal(&mut seed::rng(5, cursor.batches), &[2, 6, 20], 0.1);
        let embeds = decoder.embed(&ids(2, 6, 53)).unwrap() + noise;
        let mask = PaddingMask::full(2, 6);
        let hidden = decoder.forward(&embeds, &mask, None).unwrap();
        let targets = (ids(2, 6, 53) + cursor.batches as i64).remainder(53);
        masked_loss(&decoder, &hidden, &targets, &mask.to_tensor(Device::Cpu)).unwrap().backward();
        optimiser.step(1.0).unwrap();
        optimiser.zero_gradients();
        cursor.batches += 1;
        save_snapshot(&snapshots, &parameters, &optimiser, &cursor).unwrap();
    }
    save_tensors(&dir.join("final.safetensors"), &parameters, &[]).unwrap();
}

#[test]
#[ignore = "the process that a_run_killed_at_any_step_ends_with_the_same_weights starts and kills"]
fn run_to_the_end() {
    if let Some(dir) = std::env::var_os(FOLDER) {
        train(Path::new(&dir));
    }
}

fn start(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "resume::run_to_the_end", "--ignored"])
        .env(FOLDER, dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Whether a snapshot of at least `step` steps is there.
fn reached(dir: &Path, step: u64) -> bool {
    let Ok(entries) = std::fs::read_dir(dir.join("snapshots")) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let name = entry.file_name().into_string().unwrap();
        name.strip_prefix("step-")
            .and_then(|n| n.trim_end_matches(".tmp").parse().ok())
            .is_some_and(|n: u64| n >= step)
    })
}

#[test]
fn a_run_killed_at_any_step_ends_with_the_same_weights() {
    let (calm, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    train(calm.path());
    for step in [2, 9, 17] {
        let mut child = start(broken.path());
        let begin = Instant::now();
        while !reached(broken.path(), step) {
            assert!(begin.elapsed() < Duration::from_secs(120), "the run makes no progress");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!broken.path().join("final.safetensors").exists(), "killed too late to say anything");
    }
    assert!(start(broken.path()).wait().unwrap().success());
    let open = |dir: &Path| Checkpoint::open(&dir.join("final.safetensors")).unwrap();
    let (calm, broken) = (open(calm.path()), open(broken.path()));
    assert!(calm.names().eq(broken.names()));
    for name in calm.names() {
        assert_eq!(stored(&calm, name), stored(&broken, name), "{name}");
    }
}
