//! Texts of a catalogue to one embedding each, streamed to disk: `embeddings.npy` in input order, with a manifest.
//!
//! ```text
//! cargo run --release --example embed_items -- --model ENCODER --input titles.txt --out out
//! cargo run --release --example embed_items -- --model ENCODER --input items.jsonl \
//!     --template "{title}. {brand}. {description:60}" --neighbours 5 --out out
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use indicatif::ProgressBar;
use regen_examples::cli::{Common, Session, wrong_usage};
use regen_examples::encoder;
use regen_examples::item_texts::ItemTexts;
use regen_examples::pipeline::{self, WITHOUT_TEXT};
use regen_examples::println;
use regen_examples::run_log::peak_rss_bytes;
use regen_semantic::{
    EmbeddingFile, EmbeddingStore, EncodeOptions, Error, Origin, Prompt, SentenceEncoder, Storage,
    hash_model, nearest_in_file,
};
use regen_torch::{Placement, Precision, tensor_to_vec_f32};
use serde_json::json;
use tch::{Device, Tensor};

/// Embeds texts with a sentence-transformers encoder. Memory does not grow with the number of texts; a run that was
/// killed goes on with --resume and computes at most one block again.
#[derive(Debug, Parser)]
#[command(name = "embed_items")]
struct Args {
    /// Folder of the encoder, as sentence-transformers writes it.
    #[arg(long)]
    model: PathBuf,
    /// A .txt file with one text a line, a .jsonl file with one object (or string) a line, or a prepared folder, whose items
    /// are such objects.
    #[arg(long)]
    input: PathBuf,
    /// Of an object: how its fields make the text; {field:60} is cut after 60 words [default: {text}].
    #[arg(long)]
    template: Option<String>,
    /// Review files that the prepared folder was made from: {reviews:120} in the template stands for what the item's buyers said,
    /// those of training users only, without markup and without reviews that give orders to a model.
    #[arg(long, num_args = 1..)]
    reviews: Vec<PathBuf>,
    /// Precision of the computation.
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Dtype,
    /// Precision of the file.
    #[arg(long, value_enum, default_value = "f32")]
    store: Store,
    /// Text to put before every text, instead of the encoder's own default.
    #[arg(long)]
    prompt: Option<String>,
    /// Texts embedded between two notes in the manifest. Threads wait for the last ones of a block: with eight or more, larger
    /// blocks are faster.
    #[arg(long, default_value_t = 2048)]
    block: usize,
    /// Go on where an earlier run with the same model, texts and settings ended.
    #[arg(long)]
    resume: bool,
    /// Begin anew even if --out holds a run that was broken off. A finished one is replaced without it.
    #[arg(long, conflicts_with = "resume")]
    overwrite: bool,
    /// At the end, print the nearest neighbours of a few items to look at, found on --device.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(i64).range(1..))]
    neighbours: Option<i64>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Dtype {
    F32,
    Bf16,
    F16,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Store {
    F32,
    F16,
    /// One byte a number and a scale a row, in scales.npy.
    Int8,
}

impl Args {
    /// Why flags do not go together.
    fn refusal(&self) -> Option<String> {
        let lines =
            self.input.extension().is_some_and(|extension| extension == "txt") && !self.input.is_dir();
        let reason = "a template makes texts of objects, and the lines of a .txt file are texts already";
        (lines && self.template.is_some())
            .then(|| format!("--template cannot be used with {}: {reason}", self.input.display()))
    }

    /// Refuses to throw away what a run that was broken off has done.
    fn check_out(&self) -> Result<()> {
        if self.resume || self.overwrite {
            return Ok(());
        }
        match EmbeddingStore::broken_off(&self.common.out)? {
            None => Ok(()),
            Some((rows, of)) => bail!(
                "{} holds a run that was broken off after {rows} of {of} texts: --resume goes on with it, --overwrite begins anew",
                self.common.out.display()
            ),
        }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(reason) = args.refusal() {
        wrong_usage::<Args>(&reason);
    }
    args.check_out()?;
    let session = args.common.start()?;
    let template = args.template.as_deref().unwrap_or("{text}");
    let precision = match args.dtype {
        Dtype::F32 => Precision::F32,
        Dtype::Bf16 => Precision::Bf16,
        Dtype::F16 => Precision::F16,
    };
    let placement = Placement::choose(args.common.device, precision)?;
    let encoder = encoder::load(&args.model, "--model", placement)?;
    let texts = ItemTexts::open(&args.input, template, &args.reviews)?;
    let survey = texts.survey()?;
    let total = survey.texts;
    if !survey.empty.is_empty() {
        let (empty, input) = (survey.empty.len(), args.input.display());
        if empty == total && texts.of_records() {
            bail!(
                "none of the {total} texts of {input} holds a word: does --template {template:?} name fields that are there?"
            );
        }
        session.note(&format!(
            "{empty} of {total} texts of {input} are empty; their rows stand in {WITHOUT_TEXT}"
        ));
    }
    if texts.instructing_reviews() > 0 {
        let count = texts.instructing_reviews();
        session.note(&format!("{count} reviews give orders to a model and are left out"));
    }
    let origin = Origin {
        model: hash_model(&args.model)?,
        input: survey.hash,
        template: texts.of_records().then(|| template.to_owned()),
        prompt: args.prompt.clone(),
        precision: format!("{precision:?}").to_lowercase(),
        storage: match args.store {
            Store::F32 => Storage::F32,
            Store::F16 => Storage::F16,
            Store::Int8 => Storage::Int8,
        },
        texts: total,
        dim: usize::try_from(encoder.dim())?,
    };
    let out = &args.common.out;
    let mut store = match args.resume {
        true => EmbeddingStore::resume(out, origin)?,
        false => EmbeddingStore::create(out, origin)?,
    };
    pipeline::write_without_text(out, &survey.empty)?;
    let resumed = store.rows();
    let prompt = args.prompt.map_or(Prompt::OfFolder, Prompt::Text);
    let options = EncodeOptions { prompt, ..EncodeOptions::default() };

    let started = Instant::now();
    let bar = session.bar("embedding", total as u64);
    let mut rows = texts.rows()?.skip(resumed);
    let mut lowered = false;
    while !store.is_complete() && store.rows() < total {
        let block = rows.by_ref().take(args.block.max(1)).collect::<Result<Vec<String>>>()?;
        if block.is_empty() {
            bail!("{} became shorter while it was read", args.input.display());
        }
        let vectors = embed(&encoder, &block, &options, &session, &bar, store.rows())?;
        store.append(&tensor_to_vec_f32(&vectors)?)?;
        if let (false, Some(tokens)) = (lowered, encoder.lowered_batch_tokens()) {
            lowered = true;
            bar.suspend(|| {
                session.note(&format!(
                    "memory ran out: batches hold at most {tokens} tokens from here on, or one text; nothing is lost but time"
                ));
            });
        }
    }
    bar.finish_and_clear();
    let least_cosine = store.least_cosine();
    let path = store.finish()?;
    let seconds = started.elapsed().as_secs_f64();

    let computed = total - resumed;
    let rate = if computed > 0 { computed as f64 / seconds } else { 0.0 };
    session.note(&format!("{computed} texts in {seconds:.2} s, {rate:.0} a second"));
    if let Some(cosine) = least_cosine {
        session.note(&format!("stored as {:?}: loses at most {:.1e} of cosine", args.store, 1.0 - cosine));
    }
    println!("{}", path.display());
    if let Some(k) = args.neighbours {
        look(&path, &texts, k, session.placement.device, args.common.json)?;
    }
    if args.common.json {
        let report = json!({
            "texts": total, "seconds": seconds, "texts_per_second": rate, "resumed": resumed,
            "least_cosine_of_storage": least_cosine, "peak_rss_bytes": peak_rss_bytes(),
            "dim": encoder.dim(), "threads": session.threads, "device": format!("{:?}", placement.device),
        });
        println!("{report}");
    }
    Ok(())
}

/// One block; Ctrl-C ends it between two batches, and what the manifest counts stays usable.
fn embed(
    encoder: &SentenceEncoder,
    block: &[String],
    options: &EncodeOptions,
    session: &Session,
    bar: &ProgressBar,
    before: usize,
) -> Result<Tensor> {
    let vectors = encoder.encode_with(block, options, &mut |done, _| {
        bar.set_position((before + done) as u64);
        session.flow()
    });
    match vectors {
        Err(Error::Stopped { .. }) => bail!("stopped by the user; --resume goes on after {before} texts"),
        // Whatever number of a text the encoder tells is one of this block's.
        vectors => vectors.with_context(|| format!("in the block that begins with text {before} (from 0)")),
    }
}

/// Prints the neighbours of ten items spread over the file.
fn look(path: &Path, texts: &ItemTexts, k: i64, device: Device, quietly: bool) -> Result<()> {
    let vectors = EmbeddingFile::open(path)?;
    let total = vectors.rows();
    if total == 0 {
        return Ok(());
    }
    let shown: Vec<usize> = (0..total.min(10)).map(|row| row * total / total.min(10)).collect();
    let queries =
        shown.iter().map(|&row| vectors.read(row..row + 1)).collect::<Result<Vec<Tensor>, Error>>()?;
    let queries = Tensor::f_cat(&queries, 0)?.f_to_device(device)?;
    let shown: Vec<i64> = shown.into_iter().map(|row| row as i64).collect();
    // One more than asked: the nearest of all is the item itself.
    let (rows, scores) = nearest_in_file(&queries, &vectors, k.saturating_add(1))?;
    let (rows, scores) = (rows.f_to_device(Device::Cpu)?, scores.f_to_device(Device::Cpu)?);
    let mut wanted: HashMap<i64, String> = shown
        .iter()
        .copied()
        .chain(Vec::<i64>::try_from(rows.reshape([-1]))?)
        .map(|row| (row, String::new()))
        .collect();
    for (row, text) in (0..).zip(texts.rows()?) {
        if let Some(wanted) = wanted.get_mut(&row) {
            *wanted = text?.chars().take(90).collect();
        }
    }
    let short = |row: i64| wanted.get(&row).map_or("", String::as_str);
    for (line, &item) in shown.iter().enumerate() {
        println!("\n{}", short(item));
        let columns = rows.size()[1];
        let found = (0..columns).map(|column| {
            let at = [line as i64, column];
            (rows.int64_value(&at), scores.double_value(&at))
        });
        for (row, score) in found.filter(|&(row, _)| row != item).take(k as usize) {
            println!("  {score:.3}  {}", short(row));
        }
    }
    if !quietly {
        println!();
    }
    Ok(())
}
