//! A run that is really killed, and goes on.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use regen_lm::train::{
    AdamW, AdamWConfig, ParameterGroup, Schedule, clip_gradients, load_snapshot, save_snapshot,
};
use regen_lm::{DropoutDraw, LoraConfig, LoraTargets, PaddingMask, masked_loss};
use regen_torch::{Checkpoint, save_tensors, seed};
use tch::{Device, Tensor};

use crate::support::{ids, random_model, small_config, stored};

const STEPS: u64 = 30;
const FOLDER: &str = "REGEN_LM_TEST_RUN";
const WHAT: &str = "REGEN_LM_TEST_RUN_OF";

/// What a run trains.
#[derive(Clone, Copy)]
enum Run {
    /// Every parameter, at one rate, a batch a step.
    Whole,
    /// Low-rank updates with dropout, under a warm-up and a cosine, with clipped sums of several batches a step.
    Updates,
}

impl Run {
    const BOTH: [(&str, Self); 2] = [("whole", Self::Whole), ("updates", Self::Updates)];

    fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Updates => "updates",
        }
    }

    fn train(self, dir: &Path) {
        match self {
            Self::Whole => train(dir),
            Self::Updates => train_updates(dir),
        }
    }
}

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
        masked_loss(&decoder, &hidden, &targets, &mask.to_tensor(Device::Cpu).unwrap()).unwrap().backward();
        optimiser.step(1.0).unwrap();
        optimiser.zero_gradients();
        cursor.batches += 1;
        save_snapshot(&snapshots, &parameters, &optimiser, &cursor).unwrap();
    }
    save_tensors(&dir.join("final.safetensors"), &parameters, &[]).unwrap();
}

/// Batches whose gradients a step adds up.
const BATCHES_A_STEP: u64 = 3;

fn train_updates(dir: &Path) {
    let (vs, mut decoder) = random_model(&small_config(), 3);
    let targets = LoraTargets::Named(["q_proj", "v_proj", "down_proj"].map(str::to_owned).to_vec());
    let lora = LoraConfig { rank: 2, alpha: 4.0, rank_stabilised: false, dropout: 0.2, targets };
    decoder.add_lora(&vs.root(), &lora, &mut seed::rng(4, 0)).unwrap();
    let parameters = decoder.lora_parameters();
    let tensors = decoder.lora_parameters();
    let group = ParameterGroup { name: "updates".into(), tensors, learning_rate: 1e-2, weight_decay: 0.1 };
    let mut optimiser = AdamW::new(vec![group], AdamWConfig::default()).unwrap();
    let schedule = Schedule::WarmupCosine { warmup_steps: 8, total_steps: STEPS, floor: 0.1 };
    let snapshots = dir.join("snapshots");
    let mut cursor =
        load_snapshot(&snapshots, &parameters, &mut optimiser).unwrap().unwrap_or(Cursor { batches: 0 });
    while optimiser.steps() < STEPS {
        for _ in 0..BATCHES_A_STEP {
            let draw = cursor.batches;
            let noise = seed::normal(&mut seed::rng(5, draw), &[2, 6, 20], 0.1);
            let embeds = decoder.embed(&ids(2, 6, 53)).unwrap() + noise;
            let mask = PaddingMask::full(2, 6);
            let hidden =
                decoder.forward_training(&embeds, &mask, Some(DropoutDraw { seed: 6, draw })).unwrap();
            let targets = (ids(2, 6, 53) + draw as i64).remainder(53);
            let loss =
                masked_loss(&decoder, &hidden, &targets, &mask.to_tensor(Device::Cpu).unwrap()).unwrap();
            (loss / BATCHES_A_STEP as f64).backward();
            cursor.batches += 1;
            std::fs::write(dir.join(format!("batch-{}", cursor.batches)), "").unwrap();
        }
        clip_gradients(optimiser.tensors(), 0.5, optimiser.steps() + 1).unwrap();
        optimiser.step(schedule.factor(optimiser.steps())).unwrap();
        optimiser.zero_gradients();
        save_snapshot(&snapshots, &parameters, &optimiser, &cursor).unwrap();
    }
    save_tensors(&dir.join("final.safetensors"), &parameters, &[]).unwrap();
}

#[test]
#[ignore = "the process that the tests of runs that are killed start and kill"]
fn run_to_the_end() {
    if let (Some(dir), Ok(what)) = (std::env::var_os(FOLDER), std::env::var(WHAT)) {
        let (_, run) = Run::BOTH.into_iter().find(|(name, _)| *name == what).unwrap();
        run.train(Path::new(&dir));
    }
}

fn start(run: Run, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "resume::run_to_the_end", "--ignored"])
        .env(FOLDER, dir)
        .env(WHAT, run.name())
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

/// Kills a run as soon as each of `moments` has come, then lets it end, and compares with a run that nobody killed.
fn killed_and_resumed(run: Run, moments: &[&dyn Fn(&Path) -> bool]) {
    let (calm, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run.train(calm.path());
    for has_come in moments {
        let mut child = start(run, broken.path());
        let begin = Instant::now();
        while !has_come(broken.path()) {
            assert!(begin.elapsed() < Duration::from_secs(120), "the run makes no progress");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        assert!(!ended.success() && !broken.path().join("final.safetensors").exists(), "killed too late");
    }
    assert!(start(run, broken.path()).wait().unwrap().success());
    let open = |dir: &Path| Checkpoint::open(&dir.join("final.safetensors")).unwrap();
    let (calm, broken) = (open(calm.path()), open(broken.path()));
    assert!(calm.names().eq(broken.names()));
    for name in calm.names() {
        assert_eq!(stored(&calm, name), stored(&broken, name), "{name}");
    }
}

#[test]
fn a_run_killed_at_any_step_ends_with_the_same_weights() {
    let after = |step| move |dir: &Path| reached(dir, step);
    killed_and_resumed(Run::Whole, &[&after(2), &after(9), &after(17)]);
}

#[test]
fn updates_killed_in_a_step_of_several_batches_end_with_the_same_weights() {
    // While the rate rises, and while it falls; after the first and the second batch of a step.
    let after = |batch: u64| move |dir: &Path| dir.join(format!("batch-{batch}")).exists();
    killed_and_resumed(Run::Updates, &[&after(4 * 3 + 1), &after(7 * 3 + 2), &after(18 * 3 + 1)]);
}
