//! What a language model computes: logits and greedy continuations of ids, embeddings, soft tokens or text.
//!
//! ```text
//! cargo run --release --example inspect_lm -- --model DIR --text "Once upon a time" --generate 60
//! cargo run --release --example inspect_lm -- --model DIR --ids ids.npy --mask mask.npy --generate 8 --json
//! cargo run --release --example inspect_lm -- --model DIR --text "Once upon a time" --as-folder-says
//! cargo run --release --example inspect_lm -- --model DIR --text "A user like <u> buys" --soft user.npy --soft-marker "<u>"
//! ```

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{ArgGroup, Parser};
use regen_examples::cli::{Common, positive};
use regen_examples::println;
use regen_examples::prompts::{self, Soft, SoftPlace, Source};
use regen_examples::writing_args::Settings;
use regen_lm::generate::GenerationDefaults;
use regen_lm::{Decoder, DecoderConfig, GenerateOptions, Sampling, TextTokenizer, Writer};
use regen_narrator::{Said, SaidBy};
use regen_torch::{Placement, Precision};
use serde_json::json;
use tch::Kind;

/// Writes the logits of a model for given inputs to OUT/logits.npy, and continues them greedily.
///
/// The input is one of --ids, --embeds and --text. Vectors of --soft replace the first positions of every row, or go before the
/// prompts or to a marker in them (--soft-at, --soft-marker), which makes rows longer and pads them on the left. Exactly N ids are
/// generated per row: an id that ends a text ends nothing here unless --stop or --as-folder-says is given.
#[derive(Debug, Parser)]
#[command(name = "inspect_lm", group = ArgGroup::new("input").required(true).args(["ids", "embeds", "text"]))]
struct Args {
    #[command(flatten)]
    common: Common,
    /// Hugging Face folder: config.json, safetensors, and a tokenizer for --text.
    #[arg(long)]
    model: PathBuf,
    /// Token ids, i64 [batch, seq].
    #[arg(long)]
    ids: Option<PathBuf>,
    /// Embeddings, f32 [batch, seq, hidden], taken as they are.
    #[arg(long)]
    embeds: Option<PathBuf>,
    /// Text to continue; may be given several times, one row each.
    #[arg(long)]
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
    /// Tokens to generate after each row [default: 0; with --as-folder-says as many as the folder says].
    #[arg(long)]
    generate: Option<usize>,
    /// End rows at the ids that end a text according to the model's files.
    #[arg(long)]
    stop: bool,
    /// Draw at this temperature instead of taking the most probable token.
    #[arg(long, value_parser = positive)]
    temperature: Option<f64>,
    /// Continue as generation_config.json in the folder says, which chat models usually want: draws and their cuts, penalties, beams,
    /// lengths, and the ids that end a text. --temperature and --generate go before it.
    #[arg(long)]
    as_folder_says: bool,
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
        _ => unreachable!("clap asks for one of them"),
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
    let settings = settings(&args, decoder.config(), prompt_mask.seq())?;
    let mut options = settings.options(args.common.seed);
    // As in transformers, where a prompt is given by its ids.
    options.prompt_ids = prompts.ids.clone().filter(|_| args.as_folder_says);
    let writer = Writer::plain(&decoder);
    let rows: Vec<Vec<i64>> = match (options.max_new_tokens, &settings.beam) {
        (0, _) => Vec::new(),
        (_, Some(beam)) => {
            let found = writer.beam_search(&prompt, &prompt_mask, &options, beam, None)?;
            found
                .into_iter()
                .map(|best| best.into_iter().next().map(|text| text.ids).unwrap_or_default())
                .collect()
        }
        (_, None) => {
            let flow = |_, _| session.flow();
            let written = writer.generate_with(&prompt, &prompt_mask, &options, flow)?;
            written.into_iter().map(|row| row.ids).collect()
        }
    };
    if options.max_new_tokens > 0 {
        session.note(&format!("continued: {}", settings.in_words()));
    }
    let generate_secs = started.elapsed().as_secs_f64();

    let texts = match &tokenizer {
        Some(tokenizer) => rows.iter().map(|row| tokenizer.decode(row)).collect::<Result<Vec<_>, _>>()?,
        None => Vec::new(),
    };
    if args.common.json {
        let report = json!({
            "generated": rows,
            "texts": texts,
            "settings": Some(&settings).filter(|_| options.max_new_tokens > 0),
            "logits": path,
            "shape": logits.size(),
            "soft_columns": prompts.soft_columns,
            "parameters": decoder.config().parameters(),
            "forward_secs": forward_secs,
            "generate_secs": generate_secs,
        });
        println!("{report}");
    } else if texts.is_empty() {
        rows.iter().for_each(|ids| println!("{ids:?}"));
    } else {
        args.text.iter().zip(&texts).for_each(|(prompt, text)| println!("{prompt}{text}\n"));
    }
    Ok(())
}

/// How prompts of at most so many tokens are continued: by flags, by the folder where it is asked, and otherwise plainly.
fn settings(args: &Args, config: &DecoderConfig, prompt_tokens: i64) -> Result<Settings> {
    let model = &args.model;
    let folder = match args.as_folder_says {
        false => None,
        true => Some(GenerationDefaults::find(model, config)?.with_context(|| {
            format!("--as-folder-says: {} has no {}", model.display(), GenerationDefaults::FILE)
        })?),
    };
    let drawn =
        args.temperature.map(|temperature| match folder.as_ref().map(|folder| &folder.options.sampling) {
            Some(Sampling::Sample { top_k, top_p, min_p, .. }) => {
                Sampling::Sample { temperature, top_k: *top_k, top_p: *top_p, min_p: *min_p }
            }
            _ => Sampling::Sample { temperature, top_k: None, top_p: None, min_p: None },
        });
    let beam = folder.as_ref().and_then(|folder| folder.beam).filter(|_| drawn.is_none());
    let plain = GenerateOptions::default();
    let (says, by) = match &folder {
        None => (GenerateOptions { max_new_tokens: 0, ..plain }, SaidBy::Library),
        Some(folder) if args.generate.is_some() => (folder.options.clone(), SaidBy::Folder),
        Some(folder) => (folder.after(usize::try_from(prompt_tokens)?)?, SaidBy::Folder),
    };
    let ends = if args.stop { config.special.eos.clone() } else { Vec::new() };
    let flag = SaidBy::Caller;
    Ok(Settings {
        sampling: drawn.map_or(Said { value: says.sampling, by }, |value| Said { value, by: flag }),
        repetition_penalty: Said { value: says.repetition_penalty, by },
        no_repeat_ngram: Said { value: says.no_repeat_ngram, by },
        max_tokens: args
            .generate
            .map_or(Said { value: says.max_new_tokens, by }, |value| Said { value, by: flag }),
        beam,
        stop: if folder.is_some() { says.stop } else { ends },
    })
}
