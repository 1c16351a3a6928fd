//! What recomputed activations save in memory and cost in time: training steps of a preset, each way in a process of its own,
//! since a process's highest memory never falls.
//!
//! ```text
//! cargo bench --bench recompute                       # 26m, 8 × 256 and 32 × 256
//! cargo bench --bench recompute -- 135m 4 512         # another preset, batch and length
//! ```

use std::process::Command;
use std::time::Instant;

use regen_lm::train::{AdamW, AdamWConfig, ParameterGroup};
use regen_lm::{Decoder, DecoderConfig, PaddingMask, masked_loss};
use regen_torch::seed;
use tch::{Device, Tensor, nn};

const VOCAB: i64 = 8192;
const STEPS: usize = 4;
const CHILD: &str = "REGEN_BENCH_RECOMPUTE";

fn main() {
    let given: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let number = |text: &String| text.parse::<i64>().expect("a number");
    if let Some(recompute) = std::env::var_os(CHILD) {
        return steps(&given[0], number(&given[1]), number(&given[2]), recompute == "true");
    }
    let cases = match &given[..] {
        [preset, batch, seq] => vec![[preset.clone(), batch.clone(), seq.clone()]],
        _ => ["8", "32"].map(|batch| ["26m".into(), batch.to_owned(), "256".into()]).into(),
    };
    for case in cases {
        for recompute in [false, true] {
            let program = std::env::current_exe().expect("a path");
            let child = Command::new(program).args(&case).env(CHILD, recompute.to_string()).status();
            assert!(child.expect("a child").success());
        }
    }
}

/// Memory in MiB, as Linux tells it.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1024
}

/// Seconds that the processor worked for this process: what other programs on the machine do hardly moves them.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after = stat.rsplit(')').next().expect("fields after the name");
    let ticks: f64 =
        after.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().expect("a number")).sum();
    ticks / 100.0
}

fn steps(preset: &str, batch: i64, seq: i64, recompute: bool) {
    let vs = nn::VarStore::new(Device::Cpu);
    let config = DecoderConfig::preset(preset, VOCAB).expect("a known preset");
    let decoder = Decoder::new(&vs.root(), &config, &mut seed::rng(1, 0)).expect("a model");
    let tensors =
        decoder.parameters().iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
    let group = ParameterGroup { name: "all".into(), tensors, learning_rate: 1e-4, weight_decay: 0.1 };
    let mut optimiser = AdamW::new(vec![group], AdamWConfig::default()).expect("an optimiser");
    let all: Vec<i64> = (0..batch * (seq + 1)).map(|i| (i * 7919 + 3) % VOCAB).collect();
    let tokens = Tensor::from_slice(&all).view([batch, seq + 1]);
    let mask = PaddingMask::full(batch, seq);
    // As a narrator's loss: the last quarter is the narrative, and logits of the rest are never computed.
    let chosen = mask.to_tensor(Device::Cpu).unwrap();
    let _ = chosen.narrow(1, 0, seq * 3 / 4).fill_(0);
    let targets = tokens.narrow(1, 1, seq);
    let before = memory("VmRSS:");
    let (mut times, mut work) = (Vec::new(), Vec::new());
    let mut last = 0.0;
    for _ in 0..STEPS {
        let (start, worked) = (Instant::now(), processor_seconds());
        let embeds = decoder.embed(&tokens.narrow(1, 0, seq)).expect("embeddings");
        let loss_of = |hidden: &Tensor| masked_loss(&decoder, hidden, &targets, &chosen).expect("a loss");
        let loss = if recompute {
            let pass = decoder.forward_recomputed(&embeds, &mask, None).expect("hidden states");
            let loss = loss_of(pass.hidden());
            pass.backward(&loss).expect("gradients");
            loss
        } else {
            let loss = loss_of(&decoder.forward(&embeds, &mask, None).expect("hidden states"));
            loss.backward();
            loss
        };
        optimiser.step(1.0).expect("a step");
        optimiser.zero_gradients();
        last = loss.double_value(&[]);
        times.push(start.elapsed().as_secs_f64());
        work.push(processor_seconds() - worked);
    }
    times.sort_by(f64::total_cmp);
    work.sort_by(f64::total_cmp);
    let way = if recompute { "recomputed" } else { "kept" };
    println!(
        "{preset} {batch} x {seq}, activations {way}: {:.2} s a step ({:.2} of the processor's), {} MiB above the model at most, loss {last:.6}",
        times[STEPS / 2],
        work[STEPS / 2],
        memory("VmHWM:") - before
    );
}
