//! What a language model computes: logits and greedy continuations of ids, embeddings, soft tokens or text.
//!
//! ```text
//! cargo run --release --example inspect_lm -- --model DIR --text "Once upon a time" --generate 60
//! cargo run --release --example inspect_lm -- --model DIR --ids ids.npy --mask mask.npy --generate 8 --json
//! cargo run --release --example inspect_lm -- --model DIR --text "A user like <u> buys" --soft user.npy --soft-marker "<u>"
//! ```

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use regen_examples::cli::Common;
use regen_examples::prompts::{self, Soft, SoftPlace, Source};
use regen_lm::{Decoder, GenerateOptions, Sampling, TextTokenizer, Writer};
use regen_torch::{Placement, Precision};
use serde_json::json;
use tch::Kind;

/// Writes the logits of a model for given inputs to OUT/logits.npy, and continues them greedily.
///
/// The input is one of --ids, --embeds and --text. Vectors of --soft replace the first positions of every row, or go before the
/// prompts or to a marker in them (--soft-at, --soft-marker), which makes rows longer and pads them on the left. Exactly N ids are
/// generated per row: an id that ends a text ends nothing here unless --stop is given.
#[derive(Debug, Parser)]
#[command(name = "inspect_lm")]
struct Args {
    #[command(flatten)]
    common: Common,
    /// Hugging Face folder: config.json, safetensors, and a tokenizer for --text.
    #[arg(long)]
    model: PathBuf,
    /// Token ids, i64 [batch, seq].
    #[arg(long, group = "input")]
    ids: Option<PathBuf>,
    /// Embeddings, f32 [batch, seq, hidden], taken as they are.
    #[arg(long, group = "input")]
    embeds: Option<PathBuf>,
    /// Text to continue; may be given several times, one row each.
    #[arg(long, group = "input")]
    text: Vec<String>,
    /// Vectors, f32 [batch, soft, hidden], that stand in the prompts; where is for --soft-at or --soft-marker.
    #[arg(long)]
    soft: Option<PathBuf>,
    /// Where the vectors of --soft go.
    #[arg(long, default_value = "first", requires = "soft")]
    soft_at: SoftPlace,
    /// What the vectors of --soft stand in the place of: a piece of each text, or of --ids an id, that is there once.
    #[arg(long, requires = "soft", conflicts_with = "soft_at")]
    soft_marker: Option<String>,
    /// Which positions are real, i64 [batch, seq] of 0 and 1; padding on either side.
    #[arg(long)]
    mask: Option<PathBuf>,
    /// Tokens to generate after each row.
    #[arg(long, default_value_t = 0)]
    generate: usize,
    /// End rows at the ids that end a text according to the model's files.
    #[arg(long)]
    stop: bool,
    /// Draw at this temperature instead of taking the most probable token.
    #[arg(long)]
    temperature: Option<f64>,
    /// Number type to compute in: f32, bf16 or f16.
    #[arg(long, default_value = "f32")]
    dtype: Precision,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let session = args.common.start()?;
    let placement = Placement::choose(args.common.device, args.dtype)?;
    let _guard = tch::no_grad_guard();

    let started = Instant::now();
    let (_vs, decoder) = Decoder::load(&args.model, placement)
        .with_context(|| format!("cannot load the model in {}", args.model.display()))?;
    session.note(&format!(
        "{:?}, {} parameters, loaded in {:.1} s",
        decoder.config().family,
        decoder.config().parameters(),
        started.elapsed().as_secs_f64()
    ));
    let tokenizer = match args.text.is_empty() {
        true => None,
        false => {
            let tokenizer = TextTokenizer::load(&args.model)?;
            tokenizer
                .check_fits(decoder.config().vocab)
                .with_context(|| format!("tokenizer.json in {} is not this model's", args.model.display()))?;
            Some(tokenizer)
        }
    };
    let source = match (&args.ids, &args.embeds, &tokenizer) {
        (Some(path), _, _) => Source::Ids(path),
        (_, Some(path), _) => Source::Embeds(path),
        (_, _, Some(tokenizer)) => Source::Texts(&args.text, tokenizer),
        _ => bail!("one of --ids, --embeds and --text is needed"),
    };
    let marker = args.soft_marker.as_deref();
    let soft = args.soft.as_deref().map(|path| Soft { path, place: args.soft_at, marker });
    let prompts = prompts::read(source, args.mask.as_deref(), soft.as_ref(), &decoder)?;
    let (embeds, mask) = (&prompts.embeds, &prompts.mask);
    if let Some(columns) = &prompts.soft_columns {
        session.note(&format!("the vectors of --soft begin in columns {columns:?} of the rows"));
    }

    let started = Instant::now();
    let hidden = decoder.forward(embeds, mask, None)?;
    let logits = decoder.logits(&hidden)?.f_to_kind(Kind::Float)?.f_to_device(tch::Device::Cpu)?;
    let forward_secs = started.elapsed().as_secs_f64();
    std::fs::create_dir_all(&args.common.out)
        .with_context(|| format!("cannot make {}", args.common.out.display()))?;
    let path = args.common.out.join("logits.npy");
    logits.write_npy(&path).with_context(|| format!("cannot write {}", path.display()))?;
    session.note(&format!("logits {:?} in {}", logits.size(), path.display()));

    let started = Instant::now();
    let (prompt, prompt_mask) = mask.pad_left(embeds)?;
    let options = GenerateOptions {
        max_new_tokens: args.generate,
        sampling: match args.temperature {
            None => Sampling::Greedy,
            Some(temperature) => Sampling::Sample { temperature, top_k: None, top_p: None, min_p: None },
        },
        stop: if args.stop { decoder.config().special.eos.clone() } else { Vec::new() },
        seed: args.common.seed,
        ..GenerateOptions::default()
    };
    let rows = match args.generate {
        0 => Vec::new(),
        _ => Writer::plain(&decoder).generate_with(&prompt, &prompt_mask, &options, |_, _| match session
            .interrupted()
        {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })?,
    };
    let generate_secs = started.elapsed().as_secs_f64();

    let generated: Vec<&[i64]> = rows.iter().map(|row| row.ids.as_slice()).collect();
    let texts = match &tokenizer {
        Some(tokenizer) => {
            rows.iter().map(|row| tokenizer.decode(&row.ids)).collect::<Result<Vec<_>, _>>()?
        }
        None => Vec::new(),
    };
    if args.common.json {
        let report = json!({
            "generated": generated,
            "texts": texts,
            "logits": path,
            "shape": logits.size(),
            "soft_columns": prompts.soft_columns,
            "parameters": decoder.config().parameters(),
            "forward_secs": forward_secs,
            "generate_secs": generate_secs,
        });
        println!("{report}");
    } else if texts.is_empty() {
        generated.iter().for_each(|ids| println!("{ids:?}"));
    } else {
        args.text.iter().zip(&texts).for_each(|(prompt, text)| println!("{prompt}{text}\n"));
    }
    Ok(())
}
