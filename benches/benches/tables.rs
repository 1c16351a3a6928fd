//! A narrator over a catalogue whose item tables stay on disk: how long it takes to open, to read a batch of histories,
//! and how much memory and reading that costs.
//!
//! `cargo bench --bench tables` makes a bundle of 200,000 items (64 + 384 numbers each, f16) in a temporary folder;
//! `-- --items 10000000 --folder DIR` one of ten million (9 GB) in DIR, where a second run finds it again. To see reads from
//! the disk, empty the system's page cache between the two. Memory and reads come from `/proc`, so on Linux alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regen_fusion::{AdapterConfig, AdapterKind, Normalisation, Sources};
use regen_lm::{DecoderConfig, train_bpe};
use regen_narrator::{
    ItemIds, ItemTableWriter, ItemTables, Narrator, NarratorConfig, Request, TableNumbers, TablePlace,
    special_tokens,
};
use tch::Device;

const CF: usize = 64;
const SEMANTIC: usize = 384;
/// Requests of a batch and purchases of each.
const BATCH: usize = 16;
const HISTORY: usize = 50;
const BATCHES: usize = 100;

fn main() -> Result<()> {
    let Some((items, folder)) = arguments()? else { return Ok(()) };
    let temporary = tempfile::tempdir()?;
    let folder = folder.unwrap_or_else(|| temporary.path().to_owned());
    fs::create_dir_all(&folder)?;
    let bundle = folder.join(format!("narrator-{items}"));
    if !bundle.exists() {
        let start = Instant::now();
        make(&bundle, items)?;
        let seconds = start.elapsed().as_secs_f64();
        let bytes = fs::metadata(bundle.join("items.safetensors"))?.len() as f64;
        println!("written     {:>9.2} s   {:.2} GB of vectors", seconds, bytes / 1e9);
    }

    let before = Use::now();
    let start = Instant::now();
    let narrator = Narrator::open_stored(&bundle, Device::Cpu)?;
    report("opened", start, &before, 1);

    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for (name, batches) in [("first batch", 1), ("batches", BATCHES)] {
        let before = Use::now();
        let start = Instant::now();
        for _ in 0..batches {
            let requests: Vec<Request> = (0..BATCH).map(|_| request(items, &mut rng)).collect();
            narrator.attribution(&requests)?;
        }
        report(name, start, &before, batches);
    }
    Ok(())
}

/// Items and folder; nothing where the tests only ask whether it runs.
fn arguments() -> Result<Option<(usize, Option<PathBuf>)>> {
    let (mut items, mut folder) = (200_000, None);
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut value = || given.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--items" => items = value()?.parse()?,
            "--folder" => folder = Some(PathBuf::from(value()?)),
            "--bench" => {}
            "--test" => items = 1_000,
            "--list" => return Ok(None),
            other => bail!("unknown argument {other}: --items N --folder DIR"),
        }
    }
    Ok(Some((items, folder)))
}

fn request(items: usize, rng: &mut ChaCha8Rng) -> Request {
    Request {
        kind: "purchase_reason".into(),
        history: (0..HISTORY).map(|_| rng.random_range(0..items as u32)).collect(),
        target: Some(rng.random_range(0..items as u32)),
        ..Request::default()
    }
}

/// Every number is written, so that the file has no holes.
fn make(bundle: &Path, items: usize) -> Result<()> {
    const BLOCK: usize = 50_000;
    let path = bundle.with_extension("safetensors");
    let mut writer = ItemTableWriter::create(&path, items, Some(CF), Some(SEMANTIC), TableNumbers::F16)?;
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let pool: Vec<f32> = (0..BLOCK * SEMANTIC + 4099).map(|_| rng.random_range(-1.0..1.0)).collect();
    for first in (0..items).step_by(BLOCK) {
        let rows = BLOCK.min(items - first);
        // Another part of the pool for each block, so that blocks differ.
        let shift = first / BLOCK % 4099;
        let present = vec![true; rows];
        writer.append_cf(&pool[shift..shift + rows * CF], &present)?;
        writer.append_semantic(&pool[shift..shift + rows * SEMANTIC], &present)?;
    }
    writer.finish()?;

    let kinds = vec!["purchase_reason".to_owned()];
    let special = special_tokens(&kinds);
    let special: Vec<&str> = special.iter().map(String::as_str).collect();
    let tokenizer = train_bpe(["You bought it because it writes."].into_iter(), 280, &special)?;
    let decoder = DecoderConfig::preset("1m", tokenizer.vocab_size())?;
    let adapter = AdapterConfig {
        sources: Sources::Fusion,
        kind: AdapterKind::Projection,
        normalisation: Normalisation::L2,
        cf_dim: CF as i64,
        semantic_dim: SEMANTIC as i64,
        hidden: decoder.hidden(),
        tokens_per_item: 1,
        initial_rms: 0.02,
        details: regen_fusion::DetailInputs::default(),
        user: false,
    };
    let config = NarratorConfig {
        adapter: Some(adapter),
        decoder,
        next_item: false,
        kinds,
        max_history: HISTORY,
        max_narrative_tokens: 64,
        passage: None,
        words: None,
        lora: None,
        injection: None,
    };
    let ids = ItemIds::new((0..items).map(|item| format!("B{item:09}")))?;
    let tables = ItemTables::open(&path, TablePlace::Disk)?;
    Narrator::new(config, tables, ids, tokenizer, Device::Cpu, 7)?.save(bundle)?;
    fs::remove_file(&path)?;
    Ok(())
}

/// What the process holds and has read, in bytes.
struct Use {
    own: f64,
    shared: f64,
    read: f64,
}

impl Use {
    fn now() -> Self {
        let number = |file: &str, field: &str| -> f64 {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(field));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
        };
        Self {
            own: number("/proc/self/status", "RssAnon:") * 1024.0,
            shared: number("/proc/self/status", "RssFile:") * 1024.0,
            read: number("/proc/self/io", "read_bytes:"),
        }
    }
}

fn report(what: &str, start: Instant, before: &Use, times: usize) {
    let seconds = start.elapsed().as_secs_f64();
    let now = Use::now();
    let mb = |bytes: f64| bytes / 1e6;
    println!(
        "{what:<11} {:>9.4} s   own memory {:+.1} to {:.1} MB, of files {:+.1} to {:.1} MB, read from disk {:.1} MB",
        seconds / times as f64,
        mb(now.own - before.own),
        mb(now.own),
        mb(now.shared - before.shared),
        mb(now.shared),
        mb(now.read - before.read),
    );
}
