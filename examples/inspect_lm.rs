//! What a language model computes: logits and greedy continuations of ids, embeddings, soft tokens or text.
//!
//! ```text
//! cargo run --release --example inspect_lm -- --model DIR --text "Once upon a time" --generate 60
//! cargo run --release --example inspect_lm -- --model DIR --ids ids.npy --mask mask.npy --generate 8 --json
//! ```

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use regen_examples::cli::Common;
use regen_lm::{Decoder, GenerateOptions, PaddingMask, Sampling, TextTokenizer, Writer};
use regen_torch::{Placement, Precision, read_npy};
use serde_json::json;
use tch::{Kind, Tensor};

/// Writes the logits of a model for given inputs to OUT/logits.npy, and continues them greedily.
///
/// The input is one of --ids, --embeds and --text. Exactly N ids are generated per row: an id that
/// ends a text ends nothing here unless --stop is given.
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
    /// Vectors, f32 [batch, soft, hidden], that replace the embeddings of the first positions.
    #[arg(long)]
    soft: Option<PathBuf>,
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
    let (embeds, mask) = read_input(&args, &decoder, tokenizer.as_ref())?;

    let started = Instant::now();
    let hidden = decoder.forward(&embeds, &mask, None)?;
    let logits = decoder.logits(&hidden)?.to_kind(Kind::Float).to_device(tch::Device::Cpu);
    let forward_secs = started.elapsed().as_secs_f64();
    std::fs::create_dir_all(&args.common.out)
        .with_context(|| format!("cannot make {}", args.common.out.display()))?;
    let path = args.common.out.join("logits.npy");
    logits.write_npy(&path).with_context(|| format!("cannot write {}", path.display()))?;
    session.note(&format!("logits {:?} in {}", logits.size(), path.display()));

    let started = Instant::now();
    let (prompt, prompt_mask) = mask.pad_left(&embeds)?;
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

/// The embeddings of the prompt and which of its positions are real.
fn read_input(
    args: &Args,
    decoder: &Decoder,
    tokenizer: Option<&TextTokenizer>,
) -> Result<(Tensor, PaddingMask)> {
    let mut given_mask = args.mask.as_deref().map(mask_of).transpose()?;
    let mut embeds = match (&args.ids, &args.embeds, tokenizer) {
        (Some(path), _, _) => decoder.embed(&whole_numbers(path)?)?,
        (_, Some(path), _) => vectors(path, decoder)?,
        (_, _, Some(tokenizer)) => {
            if given_mask.is_some() {
                bail!("--mask belongs to --ids or --embeds: texts are padded here");
            }
            let rows = args.text.iter().map(|text| tokenizer.encode_with_special(text));
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            if let Some(empty) = rows.iter().position(Vec::is_empty) {
                bail!("text {} of --text has no tokens: there is nothing to go on from", empty + 1);
            }
            let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
            if args.soft.is_some() && rows.iter().any(|row| row.len() != longest) {
                bail!(
                    "--soft replaces first positions, which in texts of different length are padding: give one text"
                );
            }
            let padded: Vec<i64> = rows
                .iter()
                .flat_map(|row| std::iter::repeat_n(0, longest - row.len()).chain(row.iter().copied()))
                .collect();
            let lengths: Vec<i64> = rows.iter().map(|row| row.len() as i64).collect();
            let mask = PaddingMask::left(&lengths, longest as i64)?;
            given_mask = Some(mask.to_tensor(tch::Device::Cpu));
            decoder.embed(&Tensor::from_slice(&padded).view([rows.len() as i64, longest as i64]))?
        }
        _ => bail!("one of --ids, --embeds and --text is needed"),
    };
    if embeds.dim() != 3 {
        bail!("the embeddings have shape {:?}, expected [batch, seq, hidden]", embeds.size());
    }
    if let Some(path) = &args.soft {
        let soft = vectors(path, decoder)?;
        let (size, whole) = (soft.size(), embeds.size());
        if size.len() != 3 || size[0] != whole[0] || size[1] > whole[1] || size[2] != whole[2] {
            bail!("--soft has shape {size:?}, expected [{}, up to {}, {}]", whole[0], whole[1], whole[2]);
        }
        embeds = Tensor::cat(&[&soft, &embeds.narrow(1, size[1], whole[1] - size[1])], 1);
    }
    let mask = match &given_mask {
        Some(mask) => {
            let real = mask.f_sum_dim_intlist([-1i64].as_slice(), false, Kind::Int64)?;
            if mask.dim() == 2 && real.numel() > 0 && real.min().int64_value(&[]) == 0 {
                bail!("a row of --mask has no real position: there is nothing to go on from");
            }
            PaddingMask::from_tensor(mask)?
        }
        None => PaddingMask::full(embeds.size()[0], embeds.size()[1]),
    };
    Ok((embeds, mask))
}

/// i64, from whatever whole numbers a file holds.
fn whole_numbers(path: &Path) -> Result<Tensor> {
    let array = read_npy(path)?;
    if !matches!(array.kind(), Kind::Int64 | Kind::Int | Kind::Int16 | Kind::Int8 | Kind::Uint8 | Kind::Bool)
    {
        bail!("{} holds {:?}, expected whole numbers (i64)", path.display(), array.kind());
    }
    Ok(array.f_to_kind(Kind::Int64)?)
}

/// Ones at real positions, zeros at padding.
fn mask_of(path: &Path) -> Result<Tensor> {
    let mask = whole_numbers(path)?;
    if mask.numel() > 0 && (mask.min().int64_value(&[]) < 0 || mask.max().int64_value(&[]) > 1) {
        bail!("{} holds other numbers than 1 (real) and 0 (padding)", path.display());
    }
    Ok(mask)
}

/// Given vectors as the model computes.
fn vectors(path: &Path, decoder: &Decoder) -> Result<Tensor> {
    let array = read_npy(path)?;
    if !matches!(array.kind(), Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16) {
        bail!("{} holds {:?}, expected floats", path.display(), array.kind());
    }
    let array = array.f_to_kind(decoder.kind())?.f_to_device(decoder.device())?;
    if array.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        bail!("{} holds a number that is not finite in {:?}", path.display(), decoder.kind());
    }
    Ok(array)
}
