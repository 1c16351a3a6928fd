//! Training steps, prefill and greedy decoding of the 26 M Llama (and a training step of the 2 M one that the quickstart
//! trains).
//!
//! `cargo bench --bench lm` measures by itself. `--serve DIR` writes the model's folder into DIR and then runs one
//! case for each line on stdin, answering with one JSON line, so that `peers/lm.py` can take turns with it.

use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use criterion::{Criterion, Throughput};
use regen_lm::train::{AdamW, AdamWConfig, ParameterGroup, clip_gradients};
use regen_lm::{
    Decoder, DecoderConfig, GenerateOptions, LoraConfig, LoraTargets, PaddingMask, Storage, TrainingKernels,
    Writer, masked_loss,
};
use regen_torch::{keep_freed_memory, seed};
use tch::{Device, Kind, Tensor, nn};

const VOCAB: i64 = 8192;

/// Presets and their vocabularies.
const BIG: (&str, i64) = ("26m", VOCAB);
const SMALL: (&str, i64) = ("2m", 2048);

/// Name, and the tokens that its throughput counts.
const CASES: [(&str, u64); 22] = [
    ("train_f32_kernels/8x256", 8 * 256),
    ("train_f32/8x256", 8 * 256),
    ("train_bf16/8x256", 8 * 256),
    ("train_lora_f32_kernels/8x256", 8 * 256),
    ("train_lora_f32/8x256", 8 * 256),
    ("train_2m_f32_kernels/32x68", 32 * 68),
    ("train_2m_f32/32x68", 32 * 68),
    ("generate_f32/1x64+64", 64),
    ("generate_f32_packed/1x64+64", 64),
    ("generate_bf16/1x64+64", 64),
    ("generate_bf16_packed/1x64+64", 64),
    ("generate_int8_packed/1x64+64", 64),
    ("generate_f32/16x64+64", 16 * 64),
    ("generate_f32_packed/16x64+64", 16 * 64),
    ("generate_bf16/16x64+64", 16 * 64),
    ("generate_bf16_packed/16x64+64", 16 * 64),
    ("generate_int8_packed/16x64+64", 16 * 64),
    ("prefill_f32/1x512", 512),
    ("prefill_f32_packed/1x512", 512),
    ("prefill_bf16/1x512", 512),
    ("prefill_bf16_packed/1x512", 512),
    ("prefill_int8_packed/1x512", 512),
];

/// One case, ready to run as often as wanted; gives what a peer can compare: a loss, or the sum of new ids.
type Run = Box<dyn FnMut() -> f64>;

fn model(preset: &str, vocab: i64, kind: Kind) -> (nn::VarStore, Decoder) {
    let mut vs = nn::VarStore::new(Device::Cpu);
    let config = DecoderConfig::preset(preset, vocab).expect("a known preset");
    let decoder = Decoder::new(&vs.root(), &config, &mut seed::rng(1, 0)).expect("a model");
    if kind == Kind::Float {
        return (vs, decoder);
    }
    let dir = std::env::temp_dir().join(format!("regen-lm-bench-{}", std::process::id()));
    decoder.save(&dir).expect("a folder");
    vs = nn::VarStore::new(Device::Cpu);
    let decoder = Decoder::load_under(&vs.root(), &dir, kind).expect("the folder again");
    std::fs::remove_dir_all(&dir).ok();
    (vs, decoder)
}

/// Ids that both sides can make: no generator is shared between languages.
fn ids(batch: i64, seq: i64, vocab: i64) -> Tensor {
    let all: Vec<i64> = (0..batch * seq).map(|i| (i * 7919 + i / seq * 104_729 + 3) % vocab).collect();
    Tensor::from_slice(&all).view([batch, seq])
}

/// A step by kernels or by libtorch alone.
fn training(
    (preset, vocab): (&str, i64),
    kind: Kind,
    batch: i64,
    seq: i64,
    lora: bool,
    kernels: bool,
) -> Run {
    let (vs, mut decoder) = model(preset, vocab, kind);
    let tensors = if lora {
        let targets = LoraTargets::Named(vec!["q_proj".into(), "v_proj".into()]);
        let config = LoraConfig { rank: 8, alpha: 16.0, rank_stabilised: false, dropout: 0.0, targets };
        decoder.add_lora(&vs.root(), &config, &mut seed::rng(1, 1)).expect("an adapter");
        decoder.lora_parameters()
    } else {
        decoder.parameters().iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    };
    let group = ParameterGroup { name: "all".into(), tensors, learning_rate: 1e-4, weight_decay: 0.1 };
    let mut optimiser = AdamW::new(vec![group], AdamWConfig::default()).expect("an optimiser");
    let tokens = ids(batch, seq + 1, vocab);
    let mask = PaddingMask::full(batch, seq);
    let chosen = mask.to_tensor(Device::Cpu).unwrap();
    let mut kernels = if kernels { TrainingKernels::new(&decoder).expect("kernels") } else { None };
    Box::new(move || {
        let _parameters = &vs;
        let embeds = decoder.embed(&tokens.narrow(1, 0, seq)).expect("embeddings");
        let loss_of = |hidden: &Tensor| {
            masked_loss(&decoder, hidden, &tokens.narrow(1, 1, seq), &chosen).expect("a loss")
        };
        let loss = match &mut kernels {
            Some(kernels) => {
                let mut pass = kernels.forward(&decoder, &embeds, &mask).expect("hidden states");
                let loss = pass.masked_loss(&tokens.narrow(1, 1, seq), &chosen).expect("a loss");
                pass.backward(&loss).expect("gradients");
                loss
            }
            None => {
                let loss = loss_of(&decoder.forward(&embeds, &mask, None).expect("hidden states"));
                loss.backward();
                loss
            }
        };
        clip_gradients(optimiser.tensors(), 1.0, 1).expect("finite gradients");
        optimiser.step(1.0).expect("a step");
        optimiser.zero_gradients();
        loss.double_value(&[])
    })
}

/// How a case writes: libtorch's path in a precision, or f32 weights packed in a storage.
enum Way {
    Plain(Kind),
    Packed(Storage),
}

/// It lives as long as the program: weights are packed once, as whoever writes many texts would.
fn writer(way: &Way) -> Writer<'static> {
    let kind = if let Way::Plain(kind) = way { *kind } else { Kind::Float };
    let (vs, decoder) = model("26m", VOCAB, kind);
    Box::leak(Box::new(vs));
    let decoder: &'static Decoder = Box::leak(Box::new(decoder));
    match way {
        Way::Plain(_) => Writer::plain(decoder),
        Way::Packed(storage) => Writer::with_storage(decoder, *storage).expect("packed weights"),
    }
}

fn generation(way: Way, batch: i64, seq: i64, new: usize) -> Run {
    let writer = writer(&way);
    let prompt = ids(batch, seq, VOCAB);
    let options = GenerateOptions { max_new_tokens: new, ..GenerateOptions::default() };
    Box::new(move || {
        let embeds = writer.decoder().embed(&prompt).expect("embeddings");
        let rows = writer.generate(&embeds, &PaddingMask::full(batch, seq), &options).expect("new ids");
        assert!(rows.iter().all(|row| row.len() == new));
        rows.iter().flatten().sum::<i64>() as f64
    })
}

fn build(case: &str) -> Option<Run> {
    Some(match case {
        "train_f32_kernels/8x256" => training(BIG, Kind::Float, 8, 256, false, true),
        "train_f32/8x256" => training(BIG, Kind::Float, 8, 256, false, false),
        "train_bf16/8x256" => training(BIG, Kind::BFloat16, 8, 256, false, false),
        "train_lora_f32_kernels/8x256" => training(BIG, Kind::Float, 8, 256, true, true),
        "train_lora_f32/8x256" => training(BIG, Kind::Float, 8, 256, true, false),
        "train_2m_f32_kernels/32x68" => training(SMALL, Kind::Float, 32, 68, false, true),
        "train_2m_f32/32x68" => training(SMALL, Kind::Float, 32, 68, false, false),
        "generate_f32/1x64+64" => generation(Way::Plain(Kind::Float), 1, 64, 64),
        "generate_f32_packed/1x64+64" => generation(Way::Packed(Storage::F32), 1, 64, 64),
        "generate_bf16/1x64+64" => generation(Way::Plain(Kind::BFloat16), 1, 64, 64),
        "generate_bf16_packed/1x64+64" => generation(Way::Packed(Storage::Bf16), 1, 64, 64),
        "generate_int8_packed/1x64+64" => generation(Way::Packed(Storage::Int8), 1, 64, 64),
        "generate_f32/16x64+64" => generation(Way::Plain(Kind::Float), 16, 64, 64),
        "generate_f32_packed/16x64+64" => generation(Way::Packed(Storage::F32), 16, 64, 64),
        "generate_bf16/16x64+64" => generation(Way::Plain(Kind::BFloat16), 16, 64, 64),
        "generate_bf16_packed/16x64+64" => generation(Way::Packed(Storage::Bf16), 16, 64, 64),
        "generate_int8_packed/16x64+64" => generation(Way::Packed(Storage::Int8), 16, 64, 64),
        "prefill_f32/1x512" => generation(Way::Plain(Kind::Float), 1, 512, 1),
        "prefill_f32_packed/1x512" => generation(Way::Packed(Storage::F32), 1, 512, 1),
        "prefill_bf16/1x512" => generation(Way::Plain(Kind::BFloat16), 1, 512, 1),
        "prefill_bf16_packed/1x512" => generation(Way::Packed(Storage::Bf16), 1, 512, 1),
        "prefill_int8_packed/1x512" => generation(Way::Packed(Storage::Int8), 1, 512, 1),
        _ => return None,
    })
}

/// Answers `{"case", "seconds", "check"}` for each case named on stdin.
fn serve(dir: &Path) {
    for (preset, vocab) in [("26m", VOCAB), ("2m", 2048)] {
        model(preset, vocab, Kind::Float).1.save(&dir.join(preset)).expect("the model's folder");
    }
    println!("{{\"threads\": {}}}", tch::get_num_threads());
    let mut current: Option<(String, Run)> = None;
    for line in std::io::stdin().lock().lines() {
        let case = line.expect("a line");
        let mut run = match current.take() {
            Some((name, run)) if name == case => run,
            _ => match build(&case) {
                Some(run) => run,
                None => {
                    println!("{{\"error\": \"no such case\"}}");
                    continue;
                }
            },
        };
        let start = Instant::now();
        let check = run();
        let seconds = start.elapsed().as_secs_f64();
        println!("{{\"case\": \"{case}\", \"seconds\": {seconds}, \"check\": {check}}}");
        current = Some((case, run));
    }
}

fn main() {
    keep_freed_memory();
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--serve") {
        serve(Path::new(arguments.get(at + 1).expect("a folder after --serve")));
        return;
    }
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("lm");
    for (case, tokens) in CASES {
        let mut run: Option<Run> = None;
        group.throughput(Throughput::Elements(tokens));
        group.bench_function(case, |bencher| {
            let run = run.get_or_insert_with(|| build(case).expect("a listed case"));
            bencher.iter(run);
        });
    }
    group.finish();
    criterion.final_summary();
}
