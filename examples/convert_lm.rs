//! A llama2.c checkpoint as a Hugging Face folder, which `inspect_lm`, `train_narrator` and transformers load.
//!
//! ```text
//! cargo run --release --example convert_lm -- --llama2c stories260K.bin --tokenizer tok512.bin --out DIR
//! ```

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Parser;
use regen_examples::println;
use regen_lm::{DecoderConfig, Error, llama2c};

/// Converts a llama2.c version 0 checkpoint and its tokenizer into a Hugging Face folder.
#[derive(Debug, Parser)]
#[command(name = "convert_lm")]
struct Args {
    /// The checkpoint: seven integers, then f32 tensors.
    #[arg(long)]
    llama2c: PathBuf,
    /// Its tokenizer.bin.
    #[arg(long)]
    tokenizer: PathBuf,
    /// Folder to write; made if absent.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Err(error) = llama2c::convert(&args.llama2c, &args.tokenizer, &args.out) {
        let asked = is_no_checkpoint(&error, &args.llama2c).then(|| {
            format!(
                "{} is no whole llama2.c checkpoint of version 0; were --llama2c and --tokenizer exchanged?",
                args.llama2c.display()
            )
        });
        return Err(asked.into_iter().fold(error.into(), anyhow::Error::context));
    }
    let config = DecoderConfig::from_hf(&args.out)?;
    println!(
        "{}: {} parameters, {} layers, hidden {}, vocabulary {}",
        args.out.display(),
        config.parameters(),
        config.layers,
        config.hidden(),
        config.vocab()
    );
    Ok(())
}

/// Whether the header of `checkpoint` describes nothing, or something of another length.
fn is_no_checkpoint(error: &Error, checkpoint: &Path) -> bool {
    match error {
        Error::InvalidConfig { path: Some(path), .. } | Error::Truncated { path, .. } => path == checkpoint,
        _ => false,
    }
}
