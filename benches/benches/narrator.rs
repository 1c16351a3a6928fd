//! The whole on a CPU: item tables, adapter and a 26 M Llama, trained on batches of 8 with 16 soft tokens and 56 of text, and
//! 64 narratives of 48 tokens written in batches of 16.
//!
//! With `--serve`, each case named on stdin is run once and answered with one JSON line, so that `peers/narrator.py` can take
//! turns with it.

use std::io::BufRead;
use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use criterion::{Criterion, Throughput};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regen_fusion::{
    Adapter, AdapterConfig, AdapterKind, DetailInputs, Details, ItemVectors, Normalisation, Side, Sources,
};
use regen_lm::{DecoderConfig, GenerateOptions, train_bpe};
use regen_narrator::{
    Example, ItemIds, ItemTable, ItemTables, Memory, Narrator, NarratorConfig, Request, TableRates,
    TrainConfig, TrainPrecision, Trains, special_tokens,
};
use regen_torch::{keep_freed_memory, seed};
use tch::{Device, Kind, Tensor, nn};

const ITEMS: usize = 20_000;
const CF: usize = 64;
const SEMANTIC: usize = 384;
const VOCAB: i64 = 8192;
/// With the target 16 soft tokens; with three tokens around them and 53 of narrative, 72 positions.
const HISTORY: usize = 15;
const ANSWER: usize = 53;
const BATCH: usize = 8;
const TEXTS: usize = 64;
const NEW: usize = 48;
/// Updates that are timed one by one.
const STEPS: u64 = 6;

const CASES: [(&str, u64); 5] = [
    ("train_f32/8x72", (BATCH * 72) as u64),
    ("train_f32_kernels/8x72", (BATCH * 72) as u64),
    ("train_bf16/8x72", (BATCH * 72) as u64),
    ("adapter_f32/8x16", 128),
    ("write_f32/64x48", (TEXTS * NEW) as u64),
];

/// One case, ready to run as often as wanted; gives the seconds of one unit of work: an update, or the whole.
type Run = Box<dyn FnMut() -> Result<f64>>;

fn word(rng: &mut ChaCha8Rng) -> String {
    const SYLLABLES: [&str; 40] = [
        "ba", "ro", "ti", "ne", "lu", "ka", "so", "mi", "ve", "du", "pa", "lo", "ri", "te", "nu", "ga", "fo",
        "si", "me", "cu", "ral", "ton", "ist", "ent", "und", "arm", "olk", "ith", "est", "ulp", "bra", "cro",
        "dri", "fle", "glu", "pra", "sto", "tri", "whe", "spu",
    ];
    (0..rng.random_range(1..4)).map(|_| SYLLABLES[rng.random_range(0..SYLLABLES.len())]).collect()
}

fn text(rng: &mut ChaCha8Rng, words: usize) -> String {
    let words: Vec<String> = (0..words).map(|_| word(rng)).collect();
    words.join(" ")
}

fn adapter_config(hidden: i64) -> AdapterConfig {
    AdapterConfig {
        sources: Sources::Fusion,
        kind: AdapterKind::Projection,
        normalisation: Normalisation::L2,
        cf_dim: CF as i64,
        semantic_dim: SEMANTIC as i64,
        hidden,
        tokens_per_item: 1,
        initial_rms: 0.02,
        details: DetailInputs::default(),
        user: false,
    }
}

fn narrator() -> Result<Narrator> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let kinds = vec!["purchase_reason".to_owned()];
    let special = special_tokens(&kinds);
    let special: Vec<&str> = special.iter().map(String::as_str).collect();
    let corpus: Vec<String> = (0..4000).map(|_| text(&mut rng, 60)).collect();
    let tokenizer = train_bpe(corpus.iter().map(String::as_str), VOCAB as usize, &special)?;
    let decoder = DecoderConfig::preset("26m", VOCAB)?;
    let mut table = |width: usize| {
        let numbers: Vec<f32> = (0..ITEMS * width).map(|_| rng.random_range(-1.0..1.0)).collect();
        ItemTable::new(&numbers, width, &[true; ITEMS])
    };
    let tables = ItemTables::new(Some(table(CF)?), Some(table(SEMANTIC)?))?;
    let config = NarratorConfig {
        adapter: Some(adapter_config(decoder.hidden())),
        decoder,
        next_item: false,
        kinds,
        max_history: HISTORY,
        max_narrative_tokens: ANSWER,
        passage: None,
        words: None,
        lora: None,
        injection: None,
    };
    let ids = ItemIds::new((0..ITEMS).map(|item| item.to_string()))?;
    Ok(Narrator::new(config, tables, ids, tokenizer, Device::Cpu, 7)?)
}

fn request(rng: &mut ChaCha8Rng) -> Request {
    Request {
        kind: "purchase_reason".into(),
        history: (0..HISTORY).map(|_| rng.random_range(0..ITEMS as u32)).collect(),
        target: Some(rng.random_range(0..ITEMS as u32)),
        passage: Vec::new(),
        details: Vec::new(),
    }
}

fn training(kernels: bool, precision: TrainPrecision) -> Result<Run> {
    let mut narrator = narrator()?;
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let examples: Vec<Example> =
        (0..64).map(|_| Example { request: request(&mut rng), text: text(&mut rng, 90) }).collect();
    let config = TrainConfig {
        steps: STEPS,
        batch: BATCH,
        learning_rate: 1e-4,
        adapter_learning_rate: 1e-3,
        warmup_steps: 1,
        final_rate: 1.0,
        weight_decay: 0.1,
        clip_norm: 1.0,
        evaluate_every: STEPS,
        seed: 3,
        next_item: None,
        trains: Trains::All,
        patience: None,
        tables: TableRates::default(),
        memory: Memory { kernels, ..Memory::default() },
        precision,
    };
    Ok(Box::new(move || {
        let (mut seconds, mut last, mut positions) = (Vec::new(), Instant::now(), 0);
        narrator.train(&examples, &[], &config, &mut |progress| {
            seconds.push(last.elapsed().as_secs_f64());
            last = Instant::now();
            positions = progress.positions;
            ControlFlow::Continue(())
        })?;
        if positions != STEPS * BATCH as u64 * 72 {
            bail!("{positions} positions: the narratives are shorter than they are to be");
        }
        // The first has the optimiser's state made.
        seconds.remove(0);
        seconds.sort_by(f64::total_cmp);
        Ok(seconds[seconds.len() / 2])
    }))
}

/// The adapter alone, forward and backward, for as many soft tokens as a batch has.
fn adapter() -> Result<Run> {
    let store = nn::VarStore::new(Device::Cpu);
    let adapter = Adapter::new(&store.root(), &adapter_config(512), &mut seed::rng(1, 0))?;
    let items = [BATCH as i64, 16];
    let side = |width: usize, stream| Side {
        vectors: seed::normal(&mut seed::rng(1, stream), &[items[0], items[1], width as i64], 1.0),
        present: Tensor::ones(items, (Kind::Bool, Device::Cpu)),
    };
    let vectors = ItemVectors {
        cf: Some(side(CF, 1)),
        semantic: Some(side(SEMANTIC, 2)),
        mask: Tensor::ones(items, (Kind::Bool, Device::Cpu)),
        details: Details::default(),
    };
    Ok(Box::new(move || {
        let _parameters = &store;
        let start = Instant::now();
        adapter.forward(&vectors)?.embeddings.sum(Kind::Float).backward();
        Ok(start.elapsed().as_secs_f64())
    }))
}

fn writing() -> Result<Run> {
    let narrator = narrator()?;
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let requests: Vec<Request> = (0..TEXTS).map(|_| request(&mut rng)).collect();
    let options = GenerateOptions { max_new_tokens: NEW, ..GenerateOptions::default() };
    Ok(Box::new(move || {
        let start = Instant::now();
        let texts = narrator.narrate(&requests, &options, 16, &mut |_| ControlFlow::Continue(()))?;
        let seconds = start.elapsed().as_secs_f64();
        if texts.len() != TEXTS || texts.iter().any(Option::is_none) {
            bail!("not every text was written");
        }
        Ok(seconds)
    }))
}

fn build(case: &str) -> Result<Run> {
    match case.split('/').next() {
        Some("train_f32") => training(false, TrainPrecision::F32),
        Some("train_f32_kernels") => training(true, TrainPrecision::F32),
        Some("train_bf16") => training(false, TrainPrecision::Bf16),
        Some("adapter_f32") => adapter(),
        Some("write_f32") => writing(),
        _ => bail!("no case {case:?}"),
    }
}

/// Answers `{"case", "seconds"}` for each case named on stdin.
fn serve() -> Result<()> {
    println!("{{\"threads\": {}}}", tch::get_num_threads());
    let mut current: Option<(String, Run)> = None;
    for line in std::io::stdin().lock().lines() {
        let case = line.context("a case")?;
        let mut run = match current.take() {
            Some((name, run)) if name == case => run,
            _ => build(&case)?,
        };
        println!("{{\"case\": \"{case}\", \"seconds\": {}}}", run()?);
        current = Some((case, run));
    }
    Ok(())
}

fn main() -> Result<()> {
    keep_freed_memory();
    if std::env::args().any(|argument| argument == "--serve") {
        return serve();
    }
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("narrator");
    for (case, elements) in CASES {
        let mut run: Option<Run> = None;
        group.throughput(Throughput::Elements(elements));
        group.bench_function(case, |bencher| {
            let run = run.get_or_insert_with(|| build(case).expect("a listed case"));
            bencher.iter_custom(|rounds| {
                let one = |_| std::time::Duration::from_secs_f64(run().expect("a run"));
                (0..rounds).map(one).sum()
            });
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
